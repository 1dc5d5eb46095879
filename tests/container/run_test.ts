import { assert, assertEquals, assertMatch } from "@std/assert";
import { exchange } from "../service.ts";
import {
  build,
  command,
  type Container,
  docker,
  eventually,
  KEY,
  megabytes,
  memoryOf,
  missing,
  start,
  test,
  uniqueName,
} from "./engine.ts";

const image = missing ? "" : (await build()).image;

/** As the issue says: nothing to write to, no privilege, little memory. */
const HARDENED = [
  "--read-only",
  "--cap-drop=ALL",
  "--security-opt=no-new-privileges",
  "--pids-limit=64",
  "--memory=96m",
  "--cpus=0.5",
];
const user = 100_000 + crypto.getRandomValues(new Uint16Array(1))[0]!;

/** Sends `total` requests over `connections` connections that are kept open; each is answered before the next is sent. */
async function load(port: number, total: number, connections: number): Promise<number> {
  const request = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  let left = total;
  let answered = 0;
  await Promise.all(Array.from({ length: connections }, async () => {
    using connection = await Deno.connect({ hostname: "127.0.0.1", port });
    const [buffer, decoder] = [new Uint8Array(4096), new TextDecoder()];
    while (left-- > 0) {
      await connection.write(request);
      for (let answer = ""; !answer.endsWith(`{"message":"Konnichiwa"}`);) {
        const read = await connection.read(buffer);
        if (read === null) return;
        answer += decoder.decode(buffer.subarray(0, read));
      }
      answered++;
    }
  }));
  return answered;
}

test("the seed's own commands work: `docker run` with a key and a port, then curl", async () => {
  await using container = await start(image);
  assertEquals(await (await container.get("/")).json(), { message: "Konnichiwa" });
  assertEquals(await (await container.get("/health")).json(), "ok");
  const inspected = await (await container.get("/inspect")).json();
  assertEquals(inspected.process.pid, 1);
  assertEquals(inspected.system.hostname, (await container.inspect("{{.Id}}")).slice(0, 12));
});

test("hardened and as a random user, it answers 200,000 requests in 96 MB, and the kernel ends nothing", async () => {
  await using container = await start(image, ...HARDENED, `--user=${user}:${user}`);
  assertMatch(await container.read("/proc/1/status"), new RegExp(`^Uid:\t${user}\t`, "m"));
  const idle = await memoryOf(container);
  const begin = performance.now();
  assertEquals(await load(container.port, 200_000, 32), 200_000);
  const { peak, kills } = await memoryOf(container);
  const seconds = ((performance.now() - begin) / 1000).toFixed(0);
  console.log(`peak of memory: ${megabytes(idle.peak)} idle, ${megabytes(peak)} during 200,000 requests in ${seconds} s`);
  assertEquals(kills, 0);
  assertEquals(await container.inspect("{{.State.OOMKilled}} {{.RestartCount}} {{.State.Status}}"), "false 0 running");
});

test("/inspect says the limits that --memory and --cpus set, and null without them", async () => {
  await using limited = await start(image, ...HARDENED);
  await using free = await start(image);
  const group = async ({ get }: Container) => (await (await get("/inspect")).json()).control_group;
  const { memory, cpu } = await group(limited);
  assertEquals([memory.limit, cpu.limit], ["96.00 MB", 0.5]);
  assertMatch(memory.used, /^\d+\.\d\d MB$/);
  const { memory: freeMemory, cpu: freeCpu } = await group(free);
  assertEquals([freeMemory.limit, freeMemory.used_percent, freeCpu.limit], [null, null, null]);
});

type Health = { Status: string; Log: { ExitCode: number; Output: string }[] };

async function health(container: Container, wanted: string, milliseconds: number): Promise<Health> {
  return await eventually(async () => {
    const health: Health = JSON.parse(await container.inspect("{{json .State.Health}}"));
    return health.Status === wanted ? health : null;
  }, milliseconds);
}

test("it becomes healthy at its first check, and unhealthy when it cannot serve", async () => {
  await using container = await start(
    image,
    ...HARDENED,
    "--health-interval=1s",
    "--health-retries=1",
    "--health-start-period=0s",
  );
  const { Log } = await health(container, "healthy", 15_000);
  assertEquals(Log.map(({ ExitCode }) => ExitCode), [0]);
  // A process that is stopped has its socket open still, and answers nothing.
  await docker("kill", "--signal=STOP", container.name);
  const { Log: after } = await health(container, "unhealthy", 30_000);
  assertEquals(after.at(-1)!.ExitCode, 1);
  await docker("kill", "--signal=CONT", container.name);
  await health(container, "healthy", 30_000);
});

test("a health check costs at most half a percent of a processor", async () => {
  const interval = JSON.parse(await docker("image", "inspect", "--format", "{{json .Config.Healthcheck.Interval}}", image)) /
    1e9;
  await using container = await start(image);
  // `times` of the shell: the processor time of its children, user and system.
  const script = "for i in 1 2 3 4 5 6 7 8 9 10; do konnichiwa healthcheck || exit 1; done; times";
  const output = await docker("exec", container.name, "sh", "-c", script);
  const times = [...output.split("\n").at(-1)!.matchAll(/(\d+)m([\d.]+)s/g)];
  const seconds = times.reduce((sum, [, minutes, rest]) => sum + Number(minutes) * 60 + Number(rest), 0) / 10;
  console.log(
    `a health check takes ${seconds.toFixed(3)} s of a processor, ${
      (seconds / interval * 100).toFixed(2)
    } % at one in ${interval} s`,
  );
  assert(times.length === 2 && seconds > 0 && seconds / interval <= 0.005);
});

test("`docker stop` ends it in under a second, with 0, while clients are connected", async () => {
  await using container = await start(image);
  await exchange(
    await Deno.connect({ hostname: "127.0.0.1", port: container.port }),
    "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    100,
  );
  using _idle = await Deno.connect({ hostname: "127.0.0.1", port: container.port });
  const begin = performance.now();
  await docker("stop", container.name);
  const seconds = (performance.now() - begin) / 1000;
  console.log(`docker stop took ${seconds.toFixed(2)} s`);
  assertEquals(await container.inspect("{{.State.ExitCode}}"), "0");
  assert(seconds < 1, `it took ${seconds} s`);
});

test("`docker run` without a key ends at once with 78 and one line that says what to set", async () => {
  const name = uniqueName();
  const begin = performance.now();
  const { code, stdout, stderr } = await command("docker", ["run", "--rm", "--name", name, image], { patience: 20_000 });
  assertEquals({ code, stdout }, { code: 78, stdout: "" });
  assertMatch(stderr, /^konnichiwa: API_KEY is not set[^\n]*\n$/);
  assert(performance.now() - begin < 10_000);
});

test("nothing is written while it runs: the container's file system stays as the image's", async () => {
  await using container = await start(image);
  await (await container.get("/inspect")).body?.cancel();
  await docker("exec", container.name, "/usr/local/bin/konnichiwa", "healthcheck");
  assertEquals(await docker("diff", container.name), "");
});

test("no key is in the log of the container", async () => {
  await using container = await start(image);
  await (await container.get("/inspect")).body?.cancel();
  await docker("stop", container.name);
  const { stdout, stderr } = await command("docker", ["logs", container.name]);
  assertMatch(stdout, /"path":"\/inspect"/);
  assert(!(stdout + stderr).includes(KEY));
});
