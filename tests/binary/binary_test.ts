import { assert, assertEquals, assertMatch } from "@std/assert";
import { KEY, run, start, type StartOptions } from "../service.ts";
import { compiled, testWith } from "./binary.ts";

const { binary, missing } = await compiled("main.ts");
const probing = await compiled("tests/fixtures/probing_service.ts");
const loading = await compiled("tests/binary/loading_service.ts");

/** Nothing but the key and where to listen: no HOME, no PATH, nothing of Deno's. */
const BARE = { HOME: null, PATH: null, DENO_DIR: null, DENO_TLS_CA_STORE: null, LOG_FORMAT: null };

/** A user that owns nothing yet, so that whatever it owns afterwards was made by the service. */
const user = 200_000 + crypto.getRandomValues(new Uint16Array(1))[0]!;
const setpriv = "/usr/bin/setpriv";
const AS_USER = [setpriv, `--reuid=${user}`, `--regid=${user}`, "--clear-groups"];
const cannotChangeUser = missing ||
  (Deno.build.os !== "linux"
    ? "setpriv is a program of Linux"
    : Deno.uid() !== 0
    ? "only root can become another user"
    : exists(setpriv)
    ? ""
    : "setpriv is missing");

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Starts the binary, has every route answered, and stops it. */
async function serves(options: StartOptions): Promise<void> {
  await using service = await start({ command: [binary], ...options, env: { ...BARE, ...options.env } });
  assertEquals(await (await service.get("/")).json(), { message: "Konnichiwa" });
  assertEquals(await (await service.get("/health")).json(), "ok");
  assertEquals((await (await service.get("/inspect")).json()).service.name, "konnichiwa");
  assertMatch(await (await service.get("/metrics")).text(), /^# HELP /m);
  service.kill();
  const { code, stderr } = await service.ended;
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
}

async function inFolder(mode: number, use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "konnichiwa-cwd-" });
  await Deno.chmod(folder, mode);
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function filesOf(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name);
}

testWith(missing, "the binary serves from an empty folder, without HOME and PATH, and leaves nothing there", async () => {
  await inFolder(0o755, async (folder) => {
    await serves({ cwd: folder });
    assertEquals(filesOf(folder), []);
  });
});

testWith(cannotChangeUser, "the binary serves as an unprivileged user from a folder that it cannot write to", async () => {
  await inFolder(0o555, async (folder) => {
    const touch = await run({ command: [...AS_USER, "/usr/bin/touch", "file"], cwd: folder });
    assertEquals(touch.code, 1, "the folder has to be read-only for this user");
    await serves({ command: [...AS_USER, binary], cwd: folder });
  });
});

testWith(
  cannotChangeUser,
  "the binary writes no file, not even the first time it is run: /tmp and its folder stay as they are",
  async () => {
    await inFolder(0o777, async (folder) => {
      await serves({ command: [...AS_USER, binary], cwd: folder });
      assertEquals(filesOf(folder), []);
      const find = ["/usr/bin/find", "/tmp", "/var/tmp", "/dev/shm", "-xdev", "-uid", String(user)];
      assertEquals((await run({ command: find, cwd: "/" })).stdout, "");
    });
  },
);

testWith(missing, "the binary reads the .env beside it", async () => {
  await inFolder(0o755, async (folder) => {
    await Deno.writeTextFile(`${folder}/.env`, `API_KEY=${KEY}\n`);
    await serves({ cwd: folder, env: { API_KEY: null } });
    assertEquals(filesOf(folder), [".env"]);
  });
});

testWith(missing, "the binary without a key ends with 78 and one line that says what to set", async () => {
  const { code, stdout, stderr } = await run({ command: [binary], env: { ...BARE, API_KEY: null } });
  assertEquals({ code, stdout }, { code: 78, stdout: "" });
  assertMatch(stderr, /^konnichiwa: API_KEY is not set[^\n]*\n$/);
});

testWith(missing, "the binary's /inspect describes its own process", async () => {
  await using service = await start({ command: [binary], env: BARE });
  await new Promise((resolve) => setTimeout(resolve, 1500)); // until a first window has been sampled
  const { process, service: about, system } = await (await service.get("/inspect")).json();
  assertEquals(process.pid, service.pid);
  assertEquals(about, { ...about, name: "konnichiwa", deno: Deno.version.deno, v8: Deno.version.v8 });
  assertEquals(system.hostname, Deno.hostname());
  assertEquals(system.release, Deno.osRelease());
  if (Deno.build.os === "linux") {
    const status = await Deno.readTextFile(`/proc/${service.pid}/status`);
    const resident = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) / 1024;
    const { rss } = process.memoryUsage;
    assertMatch(rss, /^\d+\.\d\d MB$/);
    assert(Math.abs(parseFloat(rss) - resident) < resident / 4, `/inspect says ${rss}, the kernel ${resident} MB`);
  }
});

testWith(
  missing,
  "`healthcheck` of the binary says 0 for a service that is healthy, and 1 for a port that nobody listens on",
  async () => {
    await using service = await start({ command: [binary], env: BARE });
    const check = () =>
      run({ command: [binary, "healthcheck"], env: { ...BARE, API_KEY: null, PORT: String(service.port) } });
    const { code, stdout, stderr } = await check();
    assertEquals({ code, stdout, stderr }, { code: 0, stdout: "", stderr: "" });
    service.kill();
    await service.ended;
    assertEquals((await check()).code, 1);
  },
);

testWith(
  probing.missing || (Deno.build.os === "linux" ? "" : "only Linux has such a filter"),
  "in the binary, once it serves, nothing that the probing service tries succeeds",
  async () => {
    await inFolder(0o755, async (folder) => {
      await Deno.writeTextFile(`${folder}/module.ts`, "export default 1;");
      await Deno.writeTextFile(`${folder}/module.cjs`, "module.exports = 1;");
      await using service = await start({
        command: [probing.binary, "serve", folder],
        env: { ...BARE, PATH: "/usr/bin:/bin" },
      });
      await (await service.get("/try")).body?.cancel();
      let outcome: Record<string, string> = { nothing: "pending" };
      for (let tries = 0; tries < 100 && Object.values(outcome).includes("pending"); tries++) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        outcome = await (await service.get("/outcome")).json();
      }
      assert(Object.keys(outcome).length > 35);
      assertEquals(Object.entries(outcome).filter(([, end]) => end === "done" || end === "pending"), []);
      assertEquals(filesOf(folder).sort(), ["module.cjs", "module.ts"]);
    });
  },
);

testWith(
  loading.missing || (Deno.build.os === "linux" ? "" : "only Linux has such a filter"),
  "in the binary, once it serves, the kernel refuses to load code from the disk, to run a program, and to connect",
  async () => {
    // A connection that was kept open would be what was opened before.
    const headers = { Connection: "close" };
    await using server = Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen() {} },
      () => new Response("hello", { headers }),
    );
    await inFolder(0o755, async (folder) => {
      for (const turn of [1, 2]) {
        await Deno.writeTextFile(`${folder}/outside-${turn}.js`, "export default 'from the disk';");
        await Deno.writeTextFile(`${folder}/outside-${turn}.json`, `{"from":"the disk"}`);
        await Deno.writeTextFile(`${folder}/outside-worker-${turn}.js`, "postMessage(1);");
        await Deno.writeTextFile(
          `${folder}/outside-thread-${turn}.cjs`,
          "require('node:worker_threads').parentPort.postMessage(1);",
        );
      }
      const args = [folder, `http://127.0.0.1:${server.addr.port}`];
      await using service = await start({ command: [loading.binary, ...args], env: { ...BARE, PATH: "/usr/bin:/bin" } });
      const { before, after } = await (await service.get("/probe")).json();
      const succeeded = (outcomes: Record<string, string | null>) =>
        Object.keys(outcomes).filter((name) => outcomes[name] === null);
      assertEquals(before, Object.fromEntries(Object.keys(before).map((name) => [name, null])));
      assertEquals(succeeded(after), []);
      assert(exists(`${folder}/written-1`) && !exists(`${folder}/written-2`));
      // It goes on serving: being refused something does no harm.
      assertEquals(await (await service.get("/")).json(), { message: "Konnichiwa" });
    });
  },
);
