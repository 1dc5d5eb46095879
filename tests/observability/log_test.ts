import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import { FROM_SOURCE, KEY, start } from "../service.ts";

/** Two keys that are valid at once, one of them with what JSON has to escape. */
const KEYS = [KEY, 'k"ey\\of{the}tests'];
/** Control, format, and line-separating characters: what moves a cursor, turns text around, or ends a line. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/u;
const FIELDS = ["method", "path", "status", "duration_ms", "remote", "forwarded_for", "user_agent", "request_id"];

/** A line as `text` writes it: time, level, message, then fields whose values are in quotes where they have to be. */
const TEXT_LINE =
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO |WARN |ERROR) [a-z ,]+( [a-z_]+=([^\s"=\\]+|"([^"\\]|\\.)*"))*$/u;

function linesOf(output: string): string[] {
  assert(output.endsWith("\n"), "the last line is whole");
  return output.slice(0, -1).split("\n");
}

Deno.test("under 64 clients every line of the JSON log parses, and each answer has exactly one access line", async () => {
  await using service = await start({ env: { LOG_LEVEL: "debug" } });
  const given: string[] = [];
  const answered: string[] = [];
  const paths = ["/", "/health", "/inspect", "/metrics", "/none", "/none?secret=1"];
  await Promise.all(Array.from({ length: 64 }, async (_, client) => {
    for (let round = 0; round < 40; round++) {
      const own = round % 10 === 9 ? `client-${client}-${round}` : null;
      if (own !== null) given.push(own);
      const response = await service.get(
        paths[(client + round) % paths.length]!,
        own === null ? {} : { "X-Request-Id": own },
      );
      await response.body?.cancel();
      answered.push(response.headers.get("x-request-id")!);
    }
  }));
  service.kill();
  const { code, stdout, stderr } = await service.ended;
  assertEquals([code, stderr], [0, ""]);

  const events = linesOf(stdout).map((line) => JSON.parse(line));
  const access = events.filter(({ message }) => message === "request");
  assertEquals(answered.length, 64 * 40);
  assertEquals(access.length, answered.length);
  assertEquals(new Set(access.map(({ request_id }) => request_id)).size, access.length, "no two share an id");
  assertEquals(access.map(({ request_id }) => request_id).sort(), answered.sort());
  assertEquals(given.filter((id) => !answered.includes(id)), [], "a sane id is kept");
  assertEquals(events.map(({ message }) => message).filter((message) => message !== "request"), [
    "listening",
    "stopping",
    "stopped",
  ]);
  for (const { time, level, path, query } of access) {
    assertEquals(new Date(time).toISOString(), time);
    assertEquals(level, path === "/health" ? "debug" : "info");
    assertEquals([path.includes("?"), query], [false, undefined]);
  }
});

Deno.test("access lines of /health are left out unless LOG_LEVEL is debug", async () => {
  await using service = await start();
  for (const path of ["/health", "/", "/health"]) await (await service.get(path)).body?.cancel();
  service.kill();
  const paths = linesOf((await service.ended).stdout).map((line) => JSON.parse(line).path);
  assertEquals(paths.filter((path) => path !== undefined), ["/"]);
});

/** What a client may put somewhere to break a line, forge one, or have a key written; one character for each byte. */
function hostileValues(): string[] {
  const bytes = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code));
  const utf8 = (text: string) => String.fromCharCode(...new TextEncoder().encode(text));
  return [
    ...bytes.filter((byte) => !/[\r\n]/.test(byte)).map((byte) => `a${byte}b`),
    ...["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\x9d0;title\x9c", "\x90q\x9c", "%1b%5b2J", "\\x1b[31m", "\\u001b"],
    ...["\u0085", "\u009b31m", "\u2028", "\u2029", "\u202e", "\u2066", "\u200b", "\ufeff", "\ufff9", "\u{e0041}", "é漢😀"]
      .map(utf8),
    ...["\xed\xa0\x80", "\xc0\x8a", "\xff\xfe", "\xf4\x90\x80\x80", "\x9b".repeat(1000), utf8("\u009b".repeat(1000))],
    ...["%0a", "%0d%0a", "%0D%0A", "%E2%80%A8", "%c2%85", "%00", "%", "%zz", "\\n", "\\r\\n"],
    ...['"', '"}', '\\"', "\\", '"}\\n{"level":"error"', '{"a":1}', "'", "a=b c=d", 'x" status=200 y="', "$(id)", "${7*7}"],
    ...[255, 256, 257, 1000, 8000, 60_000].map((length) => "x".repeat(length)),
    ...[255, 256, 257].map((length) => `${"x".repeat(length)}\x9b\xff`),
    ...KEYS.flatMap((key) => [
      ...[key, `x${key}y`, `Bearer ${key}`, `${key},${key}`, `"${key}"`, `?key=${key}`],
      ...[240, 250, 256, 300, 60_000].map((length) => "x".repeat(length) + key),
    ]),
  ];
}

/** Ways to send a value: most that are not valid HTTP are refused by the runtime, and are not ours to log. */
const PLACES: ((value: string) => string)[] = [
  (value) => request({ path: `/${value}` }),
  (value) => request({ path: `/none?${value}` }),
  (value) => request({ headers: `User-Agent: ${value}\r\nX-Forwarded-For: ${value}\r\nX-Request-Id: ${value}\r\n` }),
  (value) => request({ method: value }),
  (value) => request({ host: value }),
  (value) => request({ path: "/inspect", headers: `Authorization: Bearer ${value}\r\nCookie: ${value}\r\n` }),
];

function request({ method = "GET", path = "/none", host = "a", headers = "" }): string {
  return `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${headers}\r\n`;
}

for (const format of ["json", "text"]) {
  Deno.test(`no header and no path breaks or forges a line in ${format}, or gets a key into anything that is written`, async () => {
    await using service = await start({ env: { LOG_FORMAT: format, LOG_LEVEL: "debug", API_KEY: KEYS.join(",") } });
    const hostile = hostileValues().flatMap((value) => PLACES.map((place) => place(value)));
    assertGreater(hostile.length, 500);
    const answers: string[] = [];
    await Promise.all(Array.from({ length: 16 }, async () => {
      for (let bytes; (bytes = hostile.pop()) !== undefined;) answers.push(await service.raw(bytes, 5000));
    }));
    const metrics = await (await service.get("/metrics")).text();
    service.kill();
    const { code, stdout, stderr } = await service.ended;
    assertEquals([code, stderr], [0, ""]);

    const lines = linesOf(stdout);
    for (const line of lines) {
      assert(!UNPRINTABLE.test(line), `Unprintable: ${JSON.stringify(line)}`);
      assert(line.length < 8000, `Long: ${line}`);
      if (format === "text") assertMatch(line, TEXT_LINE);
      else if (JSON.parse(line).message === "request") {
        const { time: _time, level: _level, message: _message, ...fields } = JSON.parse(line);
        assertEquals(Object.keys(fields).filter((name) => !FIELDS.includes(name)), []);
      }
    }
    // The runtime's own refusals have no request id.
    const ours = answers.filter((answer) => /\r\nx-request-id: /i.test(answer));
    assertGreater(ours.length, 500);
    const access = lines.filter((line) => / request method=|"message":"request"/.test(line));
    assertEquals(access.length, ours.length + 1, "one line for each answer, and one for /metrics");

    for (const [where, text] of Object.entries({ log: stdout, metrics, answers: answers.join("\n") })) {
      for (const key of KEYS) {
        for (const written of [key, JSON.stringify(key).slice(1, -1), key.slice(0, 12)]) {
          assert(!text.includes(written), `A key is in the ${where}`);
        }
      }
    }
  });
}

const terminal = hasScript() ? "" : " (skipped: no script(1) to make a terminal)";
for (
  const [name, env, colored] of [
    ["text, in colours, on a terminal", {}, true],
    ["text without colours on a terminal where NO_COLOR is set", { NO_COLOR: "1" }, false],
  ] as const
) {
  Deno.test({
    name: `the log is ${name}${terminal}`,
    ignore: terminal !== "",
    fn: async () => {
      const service = FROM_SOURCE.map((word) => `'${word}'`).join(" ");
      await using running = await start({
        command: ["script", "--quiet", "--return", "--flush", "--command", `exec ${service}`, "/dev/null"],
        env: { LOG_FORMAT: null, TERM: "xterm", ...env },
      });
      const first = running.lines.find((line) => line.includes("listening"))!;
      assertEquals(first.includes("\x1b["), colored, JSON.stringify(first));
      assertMatch(first, /^\S+Z\S* \S*INFO\S* {2}listening address=http/);
      running.kill("SIGTERM");
      await running.ended;
    },
  });
}

Deno.test("the log is JSON where it is no terminal, and text that is asked for has no colours there", async () => {
  {
    await using service = await start({ env: { LOG_FORMAT: null } });
    assertEquals(JSON.parse(service.lines[0]!).message, "listening");
  }
  await using service = await start({ env: { LOG_FORMAT: "text" } });
  assertMatch(service.lines[0]!, TEXT_LINE);
});

function hasScript(): boolean {
  try {
    const options = { stdin: "null", stdout: "null", stderr: "null" } as const;
    return new Deno.Command("script", { args: ["--quiet", "--command", "true", "/dev/null"], ...options }).outputSync()
      .success;
  } catch {
    return false;
  }
}
