import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { createLog, type LogOptions } from "../log.ts";

/** Collects what is written; `take` decides how each write goes. */
function setUp(options: Partial<LogOptions> = {}, take = (bytes: Uint8Array) => Promise.resolve(bytes.length)) {
  const writes: string[] = [];
  const log = createLog({
    format: "json",
    level: "info",
    color: false,
    keys: ["a-long-enough-key", "short"],
    output: {
      async write(bytes) {
        const taken = await take(bytes);
        writes.push(new TextDecoder().decode(bytes.subarray(0, taken)));
        return taken;
      },
    },
    ...options,
  });
  return { log, writes };
}

async function written(options: Partial<LogOptions>, message: string, fields = {}) {
  const { log, writes } = setUp(options);
  log.warn(message, fields);
  await log.flush(1000);
  return writes.join("");
}

Deno.test("createLog() writes JSON: time, level, message and fields; one line for each event", async () => {
  const text = await written({}, "it\nhappened", { count: 1, yes: true, none: null, left_out: undefined, text: 'a "b"\n' });
  assertMatch(text, /^[^\n]+\n$/);
  const { time, ...rest } = JSON.parse(text);
  assertMatch(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert(Math.abs(Date.parse(time) - Date.now()) < 5000);
  assertEquals(rest, { level: "warn", message: "it\nhappened", count: 1, yes: true, none: null, text: 'a "b"\n' });
});

Deno.test("createLog() writes text: values with blanks, quotes or nothing in them in quotes", async () => {
  const fields = { plain: "a/b", blank: "a b", quote: 'a"b', equals: "a=b", empty: "", none: undefined, line: "a\nb", n: 0 };
  assertMatch(
    await written({ format: "text" }, "happened", fields),
    /^\S+Z WARN {2}happened plain=a\/b blank="a b" quote="a\\"b" equals="a=b" empty="" line="a\\nb" n=0\n$/,
  );
});

Deno.test("createLog() colours text where it is asked to, and only there", async () => {
  assertStringIncludes(await written({ format: "text", color: true }, "happened"), "\x1b[33mWARN\x1b[0m");
  assert(!(await written({ format: "text", color: false }, "happened")).includes("\x1b"));
  assert(!(await written({ format: "json", color: true }, "happened")).includes("\x1b"));
});

for (const [level, expected] of [["debug", 4], ["info", 3], ["warn", 2], ["error", 1]] as const) {
  Deno.test(`createLog() at level ${level} writes ${expected} of the four levels`, async () => {
    const { log, writes } = setUp({ level });
    for (const asked of ["debug", "info", "warn", "error"] as const) log.log(asked, asked);
    await log.flush(1000);
    assertEquals(writes.join("").split("\n").length - 1, expected);
    assertEquals([log.enabled("debug"), log.enabled("error")], [level === "debug", true]);
  });
}

Deno.test("createLog() gathers lines and writes them in one go, in their order", async () => {
  const { log, writes } = setUp();
  for (let line = 0; line < 100; line++) log.info(String(line));
  assertEquals(writes, []);
  await log.flush(1000);
  assertEquals(writes.length, 1);
  assertEquals(
    writes[0]!.trim().split("\n").map((line) => JSON.parse(line).message),
    Array.from({ length: 100 }, (_, line) => String(line)),
  );
});

Deno.test("createLog() writes by itself after a short while", async () => {
  const { log, writes } = setUp();
  log.info("x");
  await new Promise((resolve) => setTimeout(resolve, 500));
  assertEquals(writes.length, 1);
});

Deno.test("createLog() goes on after a write that took only a part", async () => {
  const { log, writes } = setUp({}, (bytes) => Promise.resolve(Math.min(7, bytes.length)));
  log.info("one");
  log.info("two");
  await log.flush(1000);
  assertEquals(writes.join("").trim().split("\n").map((line) => JSON.parse(line).message), ["one", "two"]);
});

Deno.test("createLog() never waits for a reader that has stopped reading: it drops what does not fit, counts it, and says so", async () => {
  const stuck = Promise.withResolvers<void>();
  const { log, writes } = setUp({}, async (bytes) => {
    await stuck.promise;
    return bytes.length;
  });
  const line = "x".repeat(1000);
  for (let count = 0; count < 3000; count++) log.info(line);
  assert(log.dropped > 1500 && log.dropped < 2500, `dropped ${log.dropped} of 3000 lines of 1 KB`);
  const started = performance.now();
  await log.flush(50);
  assert(performance.now() - started < 1000, "flush() waited for a reader that does not read");
  const lost = log.dropped;
  stuck.resolve();
  await log.flush(1000);
  const lines = writes.join("").trim().split("\n").map((line) => JSON.parse(line));
  assertEquals(lines.filter(({ message }) => message === line).length, 3000 - lost);
  assertEquals(lines.filter(({ lines }) => lines !== undefined).map(({ lines }) => lines), [lost]);
});

Deno.test("createLog() tries again after an output that failed, and loses nothing", async () => {
  let calls = 0;
  const { log, writes } = setUp(
    {},
    (bytes) => calls++ === 0 ? Promise.reject(new Error("disk full")) : Promise.resolve(bytes.length),
  );
  log.info("kept");
  await log.flush(3000);
  assertEquals(writes.map((text) => JSON.parse(text).message), ["kept"]);
});

Deno.test("clean() cuts what is long and shows control characters as codes", () => {
  const { log } = setUp();
  assertEquals(log.clean("a".repeat(256)), "a".repeat(256));
  assertEquals(log.clean("a".repeat(257)), `${"a".repeat(256)}…`);
  assertEquals(log.clean("a\r\n\x1b[31m\x7f\x9b\u2028b"), "a\\u000d\\u000a\\u001b[31m\\u007f\\u009b\\u2028b");
  assertEquals(log.clean("Konnichiwa, 今日は"), "Konnichiwa, 今日は");
});

Deno.test("clean() hides text that a key is in; of a short key, which any text might hold, only the key itself", () => {
  const { log } = setUp();
  assertEquals(log.clean("xa-long-enough-keyx"), "[a key]");
  // Where the cut goes through the key, and where the key is cut off anyway.
  assertEquals(log.clean(`${"x".repeat(250)}a-long-enough-key`), "[a key]");
  assertEquals(log.clean(`${"x".repeat(1000)}a-long-enough-key`), `${"x".repeat(256)}…`);
  assertEquals([log.isSecret("xa-long-enough-keyx"), log.isSecret("a-long-enough-ke")], [true, false]);
  assertEquals([log.clean("short"), log.clean("shorter"), log.isSecret("short")], ["[a key]", "shorter", true]);
});
