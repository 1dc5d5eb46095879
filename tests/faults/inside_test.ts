import { assert, assertEquals, assertMatch } from "@std/assert";
import { createAuthenticator } from "../../http/auth.ts";
import { createMetrics } from "../../http/metrics.ts";
import { createRouter } from "../../http/router.ts";
import { createLog } from "../../log.ts";
import { routes } from "../../routes/mod.ts";
import { createSampler, openSystem } from "../../system/sampler.ts";
import { KEY, type RunningService, start } from "../service.ts";
import { type Answer, connect, get, sleep } from "./client.ts";
import { endOf, figure, fixture, LINUX } from "./command.ts";

// The routes that go wrong are no part of the binary: these tests run from source.
const command = fixture("faulty.ts");

for (const [path, reason] of [["/throw", "boom in the engine room"], ["/throw-text", "no error, but text"]] as const) {
  Deno.test(`a handler that throws (${path}) costs one 500 and one log line, both with the request's id`, async () => {
    await using service = await start({ command });
    const response = await ask(service, path, { "X-Request-Id": "the-one-that-fails" });
    assertEquals(response.status, 500);
    assertEquals(response.headers.get("content-type"), "application/problem+json");
    assertEquals(response.headers.get("x-request-id"), "the-one-that-fails");
    assertEquals(JSON.parse(response.body), {
      type: "about:blank",
      title: "Internal Server Error",
      status: 500,
      detail: "Internal Server Error",
    });
    const line = JSON.parse(await service.line((line) => line.includes("a handler failed")));
    assertEquals([line.level, line.request_id, line.path], ["error", "the-one-that-fails", path]);
    assert(line.error.includes(reason));
    assertEquals((await ask(service, "/")).status, 200, "the rest serves on");
    assertEquals(errors(service).length, 1);
    figure("source: 1 answer with 500, 1 log line");
  });
}

for (const [path, reason] of [["/uncaught", "boom outside of a request"], ["/rejected", "boom in a promise"]] as const) {
  Deno.test(`an error that nobody caught (${path}) is logged, open requests are finished, and the exit code is 1`, async () => {
    await using service = await start({ command });
    assertEquals((await ask(service, path)).status, 204);
    const { code, stderr } = await endOf(service);
    assertEquals([code, stderr], [1, ""]);
    assertEquals(errors(service).length, 1);
    assertMatch(errors(service)[0]!, new RegExp(`"an error nobody caught".*${reason}`));
    assertEquals(service.lines.filter((line) => /"stopping","reason":"uncaught error"/.test(line)).length, 1);
    figure("source: 1 log line, exit 1");
  });
}

Deno.test("an error of a connection that nobody caught is logged, and the service goes on", async () => {
  await using service = await start({ command });
  assertEquals((await ask(service, "/connection-reset")).status, 204);
  const line = JSON.parse(await service.line((line) => line.includes("a connection broke")));
  assertEquals(line.level, "warn");
  await sleep(200);
  assertEquals((await ask(service, "/")).status, 200);
  figure("source: 1 log line, serves on");
});

Deno.test("a clock that steps back an hour disturbs no figure", async () => {
  await using service = await start({ command });
  const before = JSON.parse((await ask(service, "/inspect")).body);
  await ask(service, "/clock-back");
  await sleep(2200); // two samples
  const after = JSON.parse((await ask(service, "/inspect")).body);
  assert(Date.parse(after.now) < Date.parse(before.now), "the clock has stepped");
  assert(seconds(after.process.uptime) > seconds(before.process.uptime), "the process has not grown younger");
  assert(seconds(after.system.uptime) >= seconds(before.system.uptime));
  const shares = [after.system.cpu_used_percent, after.process.cpu_used_percent];
  assert(shares.every((share) => share >= 0), `${shares}`);
  const durations = service.lines.map((line) => JSON.parse(line).duration_ms).filter((value) => value !== undefined);
  assert(durations.length >= 2 && durations.every((milliseconds) => milliseconds >= 0));
  assertEquals(errors(service), []);
  figure(
    `source: uptime from ${before.process.uptime} to ${after.process.uptime}, ${durations.length} durations, none below 0`,
  );
});

Deno.test({
  name: `a source of figures that fails mid-life is null, one log line, and no reason to stop${
    LINUX ? "" : " (skipped: copies /proc)"
  }`,
  ignore: !LINUX,
  sanitizeResources: false, // the files stay open as long as the process, by design
  async fn() {
    const root = `${await Deno.makeTempDir()}/`;
    await Deno.mkdir(`${root}proc/self`, { recursive: true });
    for (const file of ["stat", "meminfo", "uptime", "loadavg", "self/stat", "self/status", "self/limits"]) {
      await Deno.writeTextFile(`${root}proc/${file}`, await Deno.readTextFile(`/proc/${file}`));
    }
    const lines: string[] = [];
    const output = {
      write: (bytes: Uint8Array) => {
        lines.push(...new TextDecoder().decode(bytes).trimEnd().split("\n"));
        return Promise.resolve(bytes.length);
      },
    };
    const log = createLog({ keys: [KEY], format: "json", level: "warn", color: false, output });
    const sampler = createSampler(await openSystem(log.warn, root));
    const service = { name: "konnichiwa", version: "0", deno: "0", v8: "0" };
    const context = { authenticate: createAuthenticator([KEY]), log, metrics: createMetrics(), sampler, service };
    const handle = createRouter(routes, { ...context, draining: false, retryAfter: 8 });
    const info = { remoteAddr: { transport: "tcp", hostname: "127.0.0.1", port: 1 }, completed: Promise.resolve() } as const;
    const askHere = async (path: string) => {
      const request = new Request(`http://localhost${path}`, {
        headers: { Authorization: `Bearer ${KEY}`, Host: "localhost" },
      });
      return await handle(request, info);
    };
    const memory = async () => (await (await askHere("/inspect")).json()).memory;
    const written = async () => {
      await log.flush(1000);
      return lines.length;
    };

    sampler.start();
    try {
      const good = await memory();
      assert(good.total !== null);
      let expected = 0;
      const text = await Deno.readTextFile("/proc/meminfo");
      for (const rubbish of ["", "rubbish\n", "MemTotal:  -1 kB\n", "\0".repeat(50_000)]) {
        await Deno.writeTextFile(`${root}proc/meminfo`, rubbish);
        await sleep(2200); // two samples, one line
        assertEquals(await memory(), { total: null, free: null });
        assertEquals(await written(), ++expected);
        assertEquals((await askHere("/")).status, 200);
        assert(!(await (await askHere("/metrics")).text()).includes("host_memory"), "and no metric");
        await Deno.writeTextFile(`${root}proc/meminfo`, text);
        await sleep(1200);
        assertEquals(await memory(), good, "and back");
      }
      assertMatch(lines[0]!, /"level":"warn".*Cannot read .*meminfo/);
      figure(`source: ${expected} failures, ${lines.length} log lines, every answer 200`);
    } finally {
      sampler.stop();
      await Deno.remove(root, { recursive: true });
    }
  },
});

async function ask({ port }: RunningService, path: string, headers = {}): Promise<Answer> {
  using connection = await connect(port);
  return (await connection.ask(get(path, { Authorization: `Bearer ${KEY}`, ...headers })))!;
}

function errors(service: RunningService): string[] {
  return service.lines.filter((line) => line.includes('"level":"error"'));
}

/** Parses `1 day, 2:03:04`. */
function seconds(duration: string): number {
  const [, days = 0, hours, minutes, rest] = /^(?:(\d+) days?, )?(\d+):(\d+):(\d+)$/.exec(duration)!;
  return Number(days) * 86_400 + Number(hours) * 3600 + Number(minutes) * 60 + Number(rest);
}
