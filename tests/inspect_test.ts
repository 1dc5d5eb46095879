import { assert, assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import manifest from "../deno.json" with { type: "json" };
import { type RunningService, start } from "./service.ts";

// `GET /inspect`: every key, its type, and its value compared with what the system's own programs say.

const linux = Deno.build.os === "linux";

/** A test that compares with what programs say; it is skipped, and says so, where one is missing. */
function test(name: string, programs: readonly string[], fn: () => Promise<void>): void {
  const missing = programs.filter((program) => !installed(program));
  const reason = linux ? `no ${missing.join(", ")}` : "compares with Linux's figures";
  const ignore = !linux || missing.length > 0;
  Deno.test({ name: ignore ? `${name} (skipped: ${reason})` : name, ignore, fn });
}

function installed(program: string): boolean {
  return (Deno.env.get("PATH") ?? "").split(":").some((folder) => {
    try {
      return Deno.statSync(`${folder}/${program}`).isFile;
    } catch {
      return false;
    }
  });
}

const inspect = async (service: RunningService) => await (await service.get("/inspect")).json();

/** What a program prints, without white space around it. */
async function output(program: string, ...args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command(program, { args, env: { LC_ALL: "C" } }).output();
  return new TextDecoder().decode(stdout).trim();
}

const UNITS: Record<string, number> = { Bytes: 1, KB: 1024, MB: 1024 ** 2, GB: 1024 ** 3, TB: 1024 ** 4 };
const bytes = (size: string) => Number(size.split(" ")[0]) * UNITS[size.split(" ")[1]!]!;

/** Seconds of a duration such as `1 day, 2:03:04`. */
function seconds(duration: string): number {
  const [, days = "0", hours, minutes, rest] = /^(?:(\d+) days?, )?(\d+):(\d\d):(\d\d)$/.exec(duration)!;
  return ((Number(days) * 24 + Number(hours)) * 60 + Number(minutes)) * 60 + Number(rest);
}

/** Waits for the end of the first window. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 1300));

const SIZE = /^\d+\.\d\d (Bytes|KB|MB|GB|TB)$/;
const DURATION = /^((1 day|([2-9]|\d\d+) days), )?(\d|1\d|2[0-3]):[0-5]\d:[0-5]\d$/;
const PERCENT = (value: unknown) => Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 100;
const WHOLE = (value: unknown) => Number.isInteger(value) && Number(value) >= 0;
const matches = (pattern: RegExp) => (value: unknown) => typeof value === "string" && pattern.test(value);
const orNull = (rule: (value: unknown) => boolean) => (value: unknown) => value === null || rule(value);

/** Every key of the contract, in its order, and what its value has to be. */
const SHAPE = {
  now: matches(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
  system: {
    platform: matches(/^(Linux|Darwin|Windows)$/),
    release: matches(/./),
    arch: matches(/^(x86_64|aarch64)$/),
    uptime: matches(DURATION),
    hostname: matches(/./),
    cpu_used_percent: PERCENT,
    memory_used_percent: PERCENT,
    cpu_count: (value: unknown) => WHOLE(value) && Number(value) > 0,
    load_average: (value: unknown) => Array.isArray(value) && value.length === 3 && value.every((load) => load >= 0),
  },
  memory: { total: matches(SIZE), free: matches(SIZE) },
  process: {
    pid: WHOLE,
    uptime: matches(DURATION),
    memoryUsage: {
      rss: matches(SIZE),
      vms: linux ? matches(SIZE) : orNull(matches(SIZE)),
      percent: matches(/^\d+\.\d\d%$/),
    },
    cpu_used_percent: WHOLE,
    heap: { used: matches(SIZE), total: matches(SIZE) },
  },
  control_group: {
    memory: { limit: orNull(matches(SIZE)), used: orNull(matches(SIZE)), used_percent: orNull(WHOLE) },
    cpu: {
      limit: orNull((value) => typeof value === "number" && value > 0),
      used_percent: orNull(WHOLE),
      throttled_percent: orNull(PERCENT),
    },
  },
  service: {
    name: matches(/^konnichiwa$/),
    version: matches(/^\d+\.\d+\.\d+/),
    deno: matches(/^\d+\./),
    v8: matches(/^\d+\./),
  },
};

function check(value: unknown, shape: unknown, path: string): void {
  if (typeof shape === "function") return assert(shape(value), `${path} is ${JSON.stringify(value)}`);
  assertEquals(Object.keys(value as object), Object.keys(shape as object), path);
  for (const [name, part] of Object.entries(shape as object)) {
    check((value as Record<string, unknown>)[name], part, `${path}.${name}`);
  }
}

Deno.test("/inspect has every key of the contract, each of its type, at once and after the first window", async () => {
  await using service = await start();
  for (let time = 0; time < 2; time++) {
    const answer = await inspect(service);
    const { control_group: _, ...shape } = SHAPE;
    // A process in the root groups has none.
    check(answer, answer.control_group === null ? { ...shape, control_group: orNull(() => false) } : SHAPE, "answer");
    assertEquals(answer.service, {
      name: "konnichiwa",
      version: manifest.version,
      deno: Deno.version.deno,
      v8: Deno.version.v8,
    });
    await settle();
  }
});

Deno.test("/inspect answers with the time of the answer, not of the sample", async () => {
  await using service = await start();
  const times: number[] = [];
  for (let time = 0; time < 3; time++) {
    const before = Date.now();
    const now = Date.parse((await inspect(service)).now);
    assert(before <= now && now <= Date.now(), `${now} is not between ${before} and now`);
    times.push(now);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  assertEquals(new Set(times).size, 3);
});

test("/inspect names the system as uname, nproc and hostname do", ["uname", "getconf"], async () => {
  await using service = await start();
  const { system } = await inspect(service);
  assertEquals(system.platform, await output("uname", "-s"));
  assertEquals(system.release, await output("uname", "-r"));
  assertEquals(system.arch, await output("uname", "-m"));
  assertEquals(system.hostname, await output("uname", "-n"));
  // The host's processors: nproc without --all leaves out those that this process may not use.
  assertEquals(system.cpu_count, Number(await output("getconf", "_NPROCESSORS_ONLN")));
});

test("/inspect gives memory as free does: all there is, and what is available", ["free"], async () => {
  await using service = await start();
  const { memory, system } = await inspect(service);
  const line = (await output("free", "-b")).split("\n").find((line) => line.startsWith("Mem:"))!;
  const [total, , , , , available] = line.split(/\s+/).slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  // Rounded to two decimals of a unit; what is available changes all the while.
  assertAlmostEquals(bytes(memory.total), total, 0.005 * 1024 ** 3);
  assertAlmostEquals(bytes(memory.free), available, 0.03 * total);
  assertAlmostEquals(system.memory_used_percent, (1 - available / total) * 100, 3.5);
});

test("/inspect gives uptime and load as the kernel does", [], async () => {
  await using service = await start();
  const { system } = await inspect(service);
  const [uptime] = (await Deno.readTextFile("/proc/uptime")).split(" ").map(Number);
  assertAlmostEquals(seconds(system.uptime), uptime, 3);
  const loads = (await Deno.readTextFile("/proc/loadavg")).split(" ").slice(0, 3).map(Number);
  loads.forEach((load, place) => assertAlmostEquals(system.load_average[place], load, 0.5 + load * 0.2));
});

test("/inspect gives this process's number, age and memory as ps does", ["ps"], async () => {
  await using service = await start();
  await settle();
  const { process: own, memory } = await inspect(service);
  assertEquals(own.pid, service.pid);
  const [rss, vsz, age] = (await output("ps", "-o", "rss=,vsz=,etimes=", "-p", String(service.pid))).split(/\s+/).map(
    Number,
  ) as [number, number, number];
  assertAlmostEquals(bytes(own.memoryUsage.rss), rss * 1024, 0.1 * rss * 1024);
  assertAlmostEquals(bytes(own.memoryUsage.vms), vsz * 1024, 0.1 * vsz * 1024);
  assertAlmostEquals(seconds(own.uptime), age, 2);
  const share = bytes(own.memoryUsage.rss) / bytes(memory.total) * 100;
  assertAlmostEquals(parseFloat(own.memoryUsage.percent), share, 0.02);
  assert(bytes(own.heap.used) <= bytes(own.heap.total) && bytes(own.heap.total) < bytes(own.memoryUsage.rss));
});

test("/inspect sees this process at work", [], async () => {
  await using service = await start();
  await settle();
  let highest = 0;
  const until = performance.now() + 2500;
  while (performance.now() < until) highest = Math.max(highest, (await inspect(service)).process.cpu_used_percent);
  assert(highest > 10, `at most ${highest} % of a processor while it answered without a pause`);
});

/** Time of all processors, as `/proc/stat` counts it: busy and altogether. */
function times(): { busy: number; total: number } {
  const [user, nice, system, idle, iowait, irq, softirq, steal] = Deno.readTextFileSync("/proc/stat")
    .split("\n")[0]!.split(/ +/).slice(1).map(Number) as [number, number, number, number, number, number, number, number];
  const busy = user + nice + system + irq + softirq + steal;
  return { busy, total: busy + idle + iowait };
}

test("system.cpu_used_percent rises to near 100 while every processor is busy, and falls back within three seconds", [
  "getconf",
  "timeout",
  "sh",
], async () => {
  await using service = await start();
  await settle();
  const count = Number(await output("getconf", "_NPROCESSORS_ONLN"));
  // Each ends by itself, should nobody be left to end it.
  const busy = Array.from(
    { length: count },
    () => new Deno.Command("timeout", { args: ["6", "sh", "-c", "while :; do :; done"] }).spawn(),
  );
  let highest = 0;
  try {
    const until = performance.now() + 4000;
    while (performance.now() < until && highest < 97) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      highest = Math.max(highest, (await inspect(service)).system.cpu_used_percent);
    }
  } finally {
    // timeout(1) passes the signal on.
    busy.forEach((process) => process.kill("SIGTERM"));
    await Promise.all(busy.map(({ status }) => status));
  }
  assert(highest >= 95, `at most ${highest} %`);

  // Others may be at work on this machine: what counts is that the figure goes down to what the kernel says.
  const ended = performance.now();
  let [figure, actual] = [100, 0];
  let before = times();
  while (performance.now() - ended < 3000) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    const after = times();
    actual = Math.max(actual, 100 * (after.busy - before.busy) / Math.max(1, after.total - before.total));
    before = after;
    figure = (await inspect(service)).system.cpu_used_percent;
    if (figure < 50) break;
  }
  assert(
    figure < Math.max(50, actual + 5),
    `${figure} % three seconds after, when the kernel counted ${actual.toFixed(0)} %`,
  );
});

test("control_group says what the files of this process's own groups say", [], async () => {
  await using service = await start();
  const { control_group: group } = await inspect(service);
  const groups = (await Deno.readTextFile(`/proc/${service.pid}/cgroup`)).trim().split("\n").map((line) => line.split(":"));
  const memory = groups.find(([, controllers]) => controllers!.split(",").includes("memory"));
  const version1 = memory ? `/sys/fs/cgroup/memory${memory[2]}` : null;
  const directory = version1 ?? `/sys/fs/cgroup${groups.find(([number]) => number === "0")![2]}`.replace(/\/$/, "");
  const read = (file: string) => {
    try {
      return Deno.readTextFileSync(`${directory}/${file}`).trim();
    } catch {
      return null;
    }
  };
  const usage = read(version1 ? "memory.usage_in_bytes" : "memory.current");
  if (usage === null || (version1 ? read("release_agent") !== null : read("cgroup.type") === null)) {
    assertEquals(group?.memory ?? null, null, "in the root group");
    return;
  }
  const limit = read(version1 ? "memory.limit_in_bytes" : "memory.max")!;
  const unlimited = limit === "max" || Number(limit) > 2 ** 60;
  if (unlimited) assertEquals([group.memory.limit, group.memory.used_percent], [null, null]);
  else assertAlmostEquals(bytes(group.memory.limit), Number(limit), 0.006 * Number(limit));
  assert(bytes(group.memory.used) > 0 && bytes(group.memory.used) <= Number(usage) * 1.2);
  assertMatch(group.memory.used, SIZE);
});
