import { assert, assertEquals, assertMatch } from "@std/assert";
import { KEY, run, start } from "./service.ts";

/** Asks about a port of this host; no key is given. */
function check(port: number, env: Record<string, string | null> = {}, args: string[] = []) {
  return run({ args: ["healthcheck", ...args], env: { API_KEY: null, PORT: String(port), ...env } });
}

/** A port that nothing listens on. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}

/** A line on stderr that says why, nothing else. */
function assertUnhealthy({ code, stdout, stderr }: Awaited<ReturnType<typeof run>>, why: RegExp): void {
  assertEquals([code, stdout], [1, ""], stderr);
  assertMatch(stderr, /^konnichiwa: not healthy: [^\n]+\n$/);
  assertMatch(stderr, why);
}

Deno.test("healthcheck exits with 0 and says nothing when the service is healthy, without a key", async () => {
  await using service = await start();
  const { code, stdout, stderr } = await check(service.port);
  assertEquals([code, stdout, stderr], [0, "", ""]);
});

Deno.test("healthcheck takes host and port from flags, and from .env, and 0.0.0.0 to mean the loopback address", async () => {
  await using service = await start({ env: { HOST: null } });
  const byFlag = await check(freePort(), { HOST: "192.0.2.1" }, ["--port", String(service.port), "--host", "0.0.0.0"]);
  assertEquals(byFlag.code, 0, byFlag.stderr);
  const cwd = await Deno.makeTempDir({ prefix: "konnichiwa-healthcheck-" });
  await Deno.writeTextFile(`${cwd}/.env`, `PORT=${service.port}\nHOST=0.0.0.0\n`);
  const byFile = await run({ args: ["healthcheck"], env: { API_KEY: null, PORT: null, HOST: null }, cwd });
  await Deno.remove(cwd, { recursive: true });
  assertEquals(byFile.code, 0, byFile.stderr);
});

const ipv6 = (() => {
  try {
    Deno.listen({ hostname: "::1", port: 0 }).close();
    return true;
  } catch {
    return false;
  }
})();
Deno.test({
  name: `healthcheck takes :: to mean the loopback address${ipv6 ? "" : " (skipped: this host has no IPv6)"}`,
  ignore: !ipv6,
  async fn() {
    await using service = await start({ env: { HOST: "::" } });
    assertEquals(service.origin, `http://[::1]:${service.port}`);
    const { code, stderr } = await check(service.port, { HOST: "::" });
    assertEquals(code, 0, stderr);
    assertEquals((await check(service.port, { HOST: "::1" })).code, 0);
  },
});

Deno.test("healthcheck exits with 1 when nothing listens", async () => {
  assertUnhealthy(await check(freePort()), /refused/i);
});

Deno.test("healthcheck exits with 1 after two seconds when what listens never answers", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const started = performance.now();
  const ended = await check((listener.addr as Deno.NetAddr).port);
  const milliseconds = performance.now() - started;
  assertUnhealthy(ended, /no answer within 2 s/);
  // Two seconds, and what it takes to start it.
  assert(milliseconds >= 2000 && milliseconds < 3500, `took ${milliseconds} ms`);
});

Deno.test("healthcheck exits with 1 after two seconds when an answer comes drop by drop", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const dripping = (async () => {
    using connection = await listener.accept();
    const drops = new TextEncoder().encode(`HTTP/1.1 200 OK\r\nX-Slow: ${"x".repeat(100)}`);
    try {
      for (const drop of drops) {
        await connection.write(Uint8Array.of(drop));
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    } catch {
      // The other side has given up.
    }
  })();
  const started = performance.now();
  assertUnhealthy(await check((listener.addr as Deno.NetAddr).port), /no answer within 2 s/);
  assert(performance.now() - started < 3500);
  await dripping;
});

for (const status of [503, 500, 404, 301, 204]) {
  Deno.test(`healthcheck exits with 1 when the answer is ${status}`, async () => {
    const headers = { Location: "/" };
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      () => new Response(null, { status, headers }),
    );
    assertUnhealthy(await check(server.addr.port), new RegExp(`answered .*\\b${status}\\b`));
  });
}

Deno.test("healthcheck exits with 1 when the answer is no HTTP", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const answering = (async () => {
    using connection = await listener.accept();
    await connection.read(new Uint8Array(1024));
    await connection.write(new TextEncoder().encode("SSH-2.0-OpenSSH_9.2\r\n"));
  })();
  assertUnhealthy(await check((listener.addr as Deno.NetAddr).port), /./);
  await answering;
});

Deno.test("healthcheck exits with 1 while the service drains", async () => {
  await using service = await start({ env: { DRAIN_SECONDS: "30" } });
  service.kill("SIGTERM");
  await service.line((line) => line.includes("stopping"));
  assertUnhealthy(await check(service.port), /answered .*\b503\b/);
});

Deno.test("healthcheck does not go through a proxy, whatever the environment says", async () => {
  await using service = await start();
  const nowhere = `http://127.0.0.1:${freePort()}`;
  const names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
  const env = { ...Object.fromEntries(names.map((name) => [name, nowhere])), NODE_USE_ENV_PROXY: "1", NO_PROXY: "" };
  const { code, stderr } = await check(service.port, env);
  assertEquals([code, stderr], [0, ""]);
});

Deno.test("healthcheck asks for /health and sends no key", async () => {
  const asked: [string, string | null][] = [];
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    asked.push([new URL(request.url).pathname, request.headers.get("authorization")]);
    return new Response('"ok"');
  });
  assertEquals((await check(server.addr.port, { API_KEY: KEY })).code, 0);
  assertEquals(asked, [["/health", null]]);
});

Deno.test("healthcheck with a bad port is a mistake of the configuration, with a bad flag one of the command line", async () => {
  for (
    const [env, args, code] of [[{ PORT: "http" }, [], 78], [{}, ["--port", "http"], 2], [{}, ["--prot", "1"], 2]] as const
  ) {
    const ended = await check(1, env as Record<string, string>, [...args]);
    assertEquals([ended.code, ended.stdout], [code, ""]);
    assertMatch(ended.stderr, /^konnichiwa: [^\n]+\n$/);
  }
});
