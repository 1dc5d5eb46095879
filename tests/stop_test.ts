import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type Ended, FROM_SOURCE, KEY, type RunningService, start, type StartOptions } from "./service.ts";

/** The contract's limit with no request open. */
const LIMIT_MS = 200;
/** How often a stop is repeated: the fastest counts, for a machine that is busy with other things can only make it slower. */
const TRIES = 3;

/** Starts and stops the service a few times; `prepare` is done before the signal. */
async function fastestStop(
  signal: Deno.Signal,
  options: StartOptions = {},
  prepare: (service: RunningService) => Promise<Disposable | void> = () => Promise.resolve(),
): Promise<{ milliseconds: number; ended: Ended }> {
  let fastest = Infinity;
  let last: Ended | null = null;
  for (let tries = TRIES; tries > 0; tries--) {
    await using service = await start(options);
    using _held = await prepare(service) ?? { [Symbol.dispose]() {} };
    const asked = performance.now();
    service.kill(signal);
    last = await service.ended;
    const milliseconds = performance.now() - asked;
    assert(milliseconds < 3000, `took ${milliseconds} ms`);
    assertEquals([last.code, last.signal, last.stderr], [0, null, ""]);
    fastest = Math.min(fastest, milliseconds);
    if (fastest < LIMIT_MS) break;
  }
  return { milliseconds: fastest, ended: last! };
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`${signal} stops an idle service within ${LIMIT_MS} ms, with exit 0, and the log says why`, async () => {
    const { milliseconds, ended } = await fastestStop(signal);
    assert(milliseconds < LIMIT_MS, `took ${milliseconds} ms`);
    const lines = ended.stdout.trim().split("\n").map((line) => JSON.parse(line));
    assertEquals(lines.map(({ message }) => message), ["listening", "stopping", "stopped"]);
    assertEquals(lines[1].reason, signal);
    assert(!ended.stdout.includes(KEY));
  });
}

/** Opens a connection, writes, and reads what comes back if anything should. */
async function hold(service: RunningService, text: string, answered: boolean): Promise<Disposable> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: service.port });
  await connection.write(new TextEncoder().encode(text));
  const buffer = new Uint8Array(4096);
  if (answered) {
    const length = await connection.read(buffer) ?? 0;
    assertStringIncludes(new TextDecoder().decode(buffer.subarray(0, length)), '"ok"');
  } else await new Promise((resolve) => setTimeout(resolve, 100));
  return connection;
}

const HELD: [what: string, text: string, answered: boolean][] = [
  ["an idle keep-alive connection", "GET /health HTTP/1.1\r\nHost: h\r\n\r\n", true],
  ["a connection on which nothing was sent", "", false],
  ["a connection with half a request", "GET /health HTTP/1.1\r\nHo", false],
];
for (const [what, text, answered] of HELD) {
  Deno.test(`${what} does not hold the stop up: exit 0 within ${LIMIT_MS} ms`, async () => {
    const { milliseconds } = await fastestStop("SIGTERM", {}, (service) => hold(service, text, answered));
    assert(milliseconds < LIMIT_MS, `took ${milliseconds} ms`);
  });
}

for (
  const [first, second, code] of [["SIGTERM", "SIGTERM", 143], ["SIGTERM", "SIGINT", 130], [
    "SIGINT",
    "SIGTERM",
    143,
  ]] as const
) {
  Deno.test(`${second} after ${first}, while it drains, ends it at once with exit ${code}`, async () => {
    await using service = await start({ env: { DRAIN_SECONDS: "30" } });
    service.kill(first);
    await service.line((line) => line.includes("stopping"));
    const asked = performance.now();
    service.kill(second);
    const { code: actual, signal, stderr } = await service.ended;
    assertEquals([actual, signal, stderr], [code, null, ""]);
    assert(performance.now() - asked < 1000);
  });
}

Deno.test("while draining /health says 503 with Retry-After, all else is served, connections are closed; then exit 0", async () => {
  await using service = await start({ env: { DRAIN_SECONDS: "1.5", SHUTDOWN_SECONDS: "2" } });
  const asked = performance.now();
  service.kill("SIGTERM");
  await service.line((line) => line.includes("stopping"));

  const health = await fetch(`${service.origin}/health`);
  assertEquals([health.status, health.headers.get("content-type")], [503, "application/problem+json"]);
  const retryAfter = health.headers.get("retry-after")!;
  assert(/^[1-9]\d*$/.test(retryAfter) && Number(retryAfter) >= 3.5, `Retry-After: ${retryAfter}`);
  assertEquals((await health.json()).status, 503);
  const greeting = await service.raw("GET / HTTP/1.1\r\nHost: h\r\n\r\n", 1000);
  assertStringIncludes(greeting, "HTTP/1.1 200 OK");
  assertStringIncludes(greeting.toLowerCase(), "connection: close");
  assertStringIncludes(greeting, "Konnichiwa");
  assertEquals(await (await service.get("/inspect")).json().then(({ system }) => typeof system), "object");
  const head = await service.raw("HEAD /health HTTP/1.1\r\nHost: h\r\n\r\n", 1000);
  assertStringIncludes(head, "HTTP/1.1 503");

  assertEquals((await service.ended).code, 0);
  const milliseconds = performance.now() - asked;
  assert(milliseconds >= 1450 && milliseconds < 4000, `took ${milliseconds} ms`);
});

/** A new space of process numbers, in which what is started is PID 1. */
const UNSHARE = ["unshare", "--pid", "--fork", "--kill-child"];

async function canUnshare(): Promise<boolean> {
  try {
    return (await new Deno.Command("unshare", { args: [...UNSHARE.slice(1), "true"], stderr: "null" }).output()).success;
  } catch {
    return false;
  }
}
const asPid1 = await canUnshare();

for (const [signal, second, code] of [["SIGTERM", null, 0], ["SIGINT", null, 0], ["SIGTERM", "SIGTERM", 143]] as const) {
  Deno.test({
    name: `as PID 1, ${signal}${second ? ` and ${second} while it drains` : ""} ends it with exit ${code}` +
      (asPid1 ? "" : " (skipped: unshare is missing or not allowed)"),
    ignore: !asPid1,
    async fn() {
      const env = { DRAIN_SECONDS: second ? "30" : "0" };
      await using service = await start({ command: [...UNSHARE, ...FROM_SOURCE], env });
      const { process } = await (await service.get("/inspect")).json();
      assertEquals(process.pid, 1);
      // The number that it has out here.
      const pid = Number(await Deno.readTextFile(`/proc/${service.pid}/task/${service.pid}/children`));
      assert(pid > 1);
      const asked = performance.now();
      Deno.kill(pid, signal);
      if (second) {
        await service.line((line) => line.includes("stopping"));
        Deno.kill(pid, second);
      }
      const ended = await service.ended;
      assertEquals([ended.code, ended.stderr], [code, ""]);
      assert(performance.now() - asked < 1000);
    },
  });
}
