import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { assertCommonHeaders, assertProblem } from "./answer.ts";
import { FROM_SOURCE, KEY, type RunningService, start } from "./service.ts";

const fixture = decodeURIComponent(new URL("fixtures/probing_service.ts", import.meta.url).pathname);

/** Starts the service with the routes of the fixture; the folder has modules that could be imported. */
async function startProbing(folder: string): Promise<RunningService> {
  await Deno.writeTextFile(`${folder}/module.ts`, "export default 1;");
  await Deno.writeTextFile(`${folder}/module.cjs`, "module.exports = 1;");
  // `main` sees the arguments without the last one, which the fixture takes away.
  return start({ command: [...FROM_SOURCE.slice(0, -1), fixture], args: ["serve", folder] });
}

async function withProbing(act: (service: RunningService, folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "konnichiwa-door-" });
  try {
    await using service = await startProbing(folder);
    await act(service, folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test({
  name: "behind the door, code in a handler is refused everything but the network, and the service goes on" +
    (Deno.build.os === "linux" ? "" : " (skipped: the figures need sys where there is no /proc)"),
  ignore: Deno.build.os !== "linux",
  fn: () =>
    withProbing(async (service, folder) => {
      const before = await (await service.get("/inspect")).json();
      await (await service.get("/try")).body?.cancel();
      let outcome: Record<string, string> = {};
      for (let tries = 0; tries < 100; tries++) {
        outcome = await (await service.get("/outcome")).json();
        if (!Object.values(outcome).includes("pending")) break;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      assert(Object.keys(outcome).length > 35);
      for (const [attempt, end] of Object.entries(outcome)) {
        // An import fails with a TypeError that says which permission it wanted.
        assertMatch(end, /^(NotCapable|TypeError: Requires (read|import) access to )/, `${attempt}: ${end}`);
      }
      const left = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
      assertEquals(left, ["module.cjs", "module.ts"]);

      assertEquals(await (await service.get("/health")).text(), '"ok"');
      assertEquals((await (await service.get("/allowed")).json()).net, "granted", "the door's honest limit");
      // The figures go on being read, through descriptors opened before.
      const seconds = (text: string) => text.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
      let after = before;
      for (let tries = 0; tries < 60 && after.process.uptime === before.process.uptime; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        after = await (await service.get("/inspect")).json();
      }
      assert(seconds(after.process.uptime) > seconds(before.process.uptime));
      for (
        const value of [after.system.cpu_used_percent, after.memory.free, after.process.memoryUsage.vms, after.system.uptime]
      ) {
        assert(value !== null);
      }
      service.kill();
      const { code, stdout, stderr } = await service.ended;
      assertEquals([code, stderr], [0, ""]);
      assert(!stdout.includes(KEY));
    }),
});

Deno.test("attempts of each kind succeed where no door is closed, so that being refused behind it proves something", async () => {
  const folder = await Deno.makeTempDir({ prefix: "konnichiwa-door-" });
  await Deno.writeTextFile(`${folder}/module.ts`, "export default 1;");
  await Deno.writeTextFile(`${folder}/module.cjs`, "module.exports = 1;");
  const open = [
    'Deno.readTextFileSync("/etc/passwd")',
    `Deno.writeTextFileSync("${folder}/written", "x")`,
    'Deno.env.get("PATH")',
    'new Deno.Command("true").outputSync()',
    "Deno.hostname()",
    `await import("file://" + "${folder}/module.ts")`,
    `(await import("node:module")).createRequire("file://${folder}/")("${folder}/module.cjs")`,
  ];
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--quiet", open.join(";\n")],
    cwd: folder,
    stdout: "null",
    stderr: "piped",
  }).output();
  await Deno.remove(folder, { recursive: true });
  assert(success, new TextDecoder().decode(stderr));
});

Deno.test("a fault in a handler is 500 without a stack trace or a word of the inside; the log has both, under the request's id", () =>
  withProbing(async (service) => {
    const response = await service.get("/fault", { "X-Request-Id": "fault-1" });
    const { status, headers } = response;
    const body = await response.text();
    assertProblem({ status, headers, body }, 500, "Internal Server Error");
    assertCommonHeaders({ headers });
    assertEquals(headers.get("x-request-id"), "fault-1");
    assert(!/inside|probing_service|\bat\b/.test(body), body);
    const line = JSON.parse(await service.line((line) => line.includes("a handler failed")));
    assertEquals([line.level, line.request_id, line.path], ["error", "fault-1", "/fault"]);
    assertStringIncludes(line.error, "the inside of the service");
    assertStringIncludes(line.error, "probing_service.ts");

    const head = await fetch(`${service.origin}/fault`, { method: "HEAD" });
    assertEquals([head.status, await head.text()], [500, ""]);
    assertEquals(head.headers.get("content-length"), String(body.length));
    assertEquals((await fetch(`${service.origin}/fault`, { method: "OPTIONS" })).status, 204);
    assertEquals(await (await service.get("/health")).text(), '"ok"');
  }));
