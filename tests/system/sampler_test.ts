import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { compare, createSampler, type Facts, openSystem, type Reading } from "../../system/sampler.ts";
import { recorded, withTree } from "../fixtures/tree.ts";

// Probes keep their files open for as long as the process lives.
const KEEPS_OPEN = { sanitizeResources: false };

const FACTS: Facts = {
  platform: "Linux",
  release: "6",
  arch: "x86_64",
  hostname: "h",
  cpuCount: 4,
  pid: 1,
  startTime: 0,
  descriptorLimit: null,
};

function reading(at: number, changes: Partial<Reading> = {}): Reading {
  return {
    at,
    cpu: null,
    memory: null,
    uptime: null,
    loadAverage: null,
    processCpu: null,
    processMemory: null,
    controlGroup: null,
    ...changes,
  };
}

function group(limit: number | null, used: number, total: number, throttled: number): Partial<Reading> {
  return { controlGroup: { memory: null, cpu: { limit, used, periods: { total, throttled } } } };
}

Deno.test("compare() gives the share of all processors' time that was not idle, within the window only", () => {
  const earlier = reading(0, { cpu: { total: 1_000_000, idle: 10 } });
  assertAlmostEquals(compare(earlier, reading(1000, { cpu: { total: 1_000_200, idle: 60 } }), FACTS).cpuUsed, 0.75);
});

Deno.test("compare() keeps the share between 0 and 1 where the kernel corrects its counters", () => {
  const earlier = reading(0, { cpu: { total: 1000, idle: 500 } });
  assertEquals(compare(earlier, reading(1000, { cpu: { total: 1200, idle: 490 } }), FACTS).cpuUsed, 1);
  assertEquals(compare(earlier, reading(1000, { cpu: { total: 1200, idle: 800 } }), FACTS).cpuUsed, 0);
  assertEquals(compare(earlier, reading(1000, { cpu: { total: 990, idle: 500 } }), FACTS).cpuUsed, 0);
});

Deno.test("compare() says nothing of a window with an end that is not known", () => {
  const known = reading(0, { cpu: { total: 1, idle: 1 }, processCpu: 1, ...group(1, 1, 1, 1) });
  for (const [earlier, later] of [[known, reading(1000)], [reading(0), { ...known, at: 1000 }]] as const) {
    const { cpuUsed, processCpuUsed, groupCpuUsed, groupThrottled } = compare(earlier, later, FACTS);
    assertEquals([cpuUsed, processCpuUsed, groupCpuUsed, groupThrottled], [null, null, null, null]);
  }
});

Deno.test("compare() gives this process's share of one processor, above 1 where several work", () => {
  assertAlmostEquals(compare(reading(0, { processCpu: 5 }), reading(2000, { processCpu: 8 }), FACTS).processCpuUsed, 1.5);
});

Deno.test("compare() relates the group's processor time to its limit", () => {
  const snapshot = compare(reading(0, group(0.5, 10, 0, 0)), reading(2000, group(0.5, 10.25, 0, 0)), FACTS);
  assertAlmostEquals(snapshot.groupCpuUsed, 0.25);
});

Deno.test("compare() relates the group's processor time to all processors where there is no limit", () => {
  const snapshot = compare(reading(0, group(null, 10, 0, 0)), reading(2000, group(null, 14, 0, 0)), FACTS);
  assertAlmostEquals(snapshot.groupCpuUsed, 0.5);
  assertEquals(snapshot.groupThrottled, null);
});

Deno.test("compare() gives the share of periods throttled in the window, and 0 for a window without any", () => {
  const earlier = reading(0, group(1, 0, 100, 50));
  assertEquals(compare(earlier, reading(1000, group(1, 0, 110, 54)), FACTS).groupThrottled, 0.4);
  assertEquals(compare(earlier, reading(1000, group(1, 0, 100, 50)), FACTS).groupThrottled, 0);
});

Deno.test("createSampler() has a snapshot at once, and a new one every second from its start on", async () => {
  let reads = 0;
  const started = performance.now();
  const sampler = createSampler({ facts: FACTS, read: () => reading(performance.now(), { uptime: reads++ }) });
  assertEquals(sampler.snapshot.uptime, 0);
  sampler.start();
  try {
    while (sampler.snapshot.uptime === 0 && performance.now() - started < 5000) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const after = performance.now() - started;
    assert(after > 900 && after < 2000, `the second reading came after ${after} ms`);
  } finally {
    sampler.stop();
  }
});

const PROC = {
  "proc/stat":
    "cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 0 1 7 1 0 0 0 0 0\ncpu1 1 0 1 7 1 0 0 0 0 0\ncpu2 1 0 1 7 1 0 0 0 0 0\n",
  "proc/meminfo": "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 750 kB\n",
  "proc/uptime": "90061.50 1.00\n",
  "proc/loadavg": "0.50 1.25 2.00 1/2 3\n",
  "proc/self/stat": "1 (deno) S 1 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0 1 0 5 1 1\n",
  "proc/self/status": "VmSize:\t 200 kB\nVmRSS:\t 100 kB\n",
  "proc/self/limits": "Max open files            1024                 20000                files     \n",
};

Deno.test({
  name: "openSystem() reads every figure from /proc and the control group",
  ignore: Deno.build.os !== "linux",
  ...KEEPS_OPEN,
  fn: () =>
    withTree({ ...PROC, ...recorded("v2-container-limited") }, async (root) => {
      const reports: string[] = [];
      const system = await openSystem((sentence) => reports.push(sentence), root);
      assertEquals(system.facts.cpuCount, 3);
      assertEquals(system.facts.descriptorLimit, 1024);
      const { at: _, controlGroup, ...rest } = system.read();
      assertEquals(rest, {
        cpu: { total: 1000, idle: 800 },
        memory: { total: 1_024_000, available: 768_000 },
        uptime: 90_061.5,
        loadAverage: [0.5, 1.25, 2],
        processCpu: 2,
        processMemory: { resident: 102_400, virtual: 204_800 },
      });
      assertEquals(controlGroup?.memory?.limit, 134_217_728);
      assertEquals(reports, []);
    }),
});

Deno.test({
  name: "openSystem() answers null for every source that is missing, and runs all the same",
  ignore: Deno.build.os !== "linux",
  ...KEEPS_OPEN,
  fn: () =>
    withTree({}, async (root) => {
      const system = await openSystem(() => {}, root);
      assert(system.facts.cpuCount >= 1);
      assertEquals(system.facts.descriptorLimit, null);
      const { at, ...rest } = system.read();
      assertEquals({ at: 0, ...rest }, reading(0));
      const { cpuUsed, processCpuUsed, groupCpuUsed } = createSampler(system).snapshot;
      assertEquals([typeof at, cpuUsed, processCpuUsed, groupCpuUsed], ["number", null, null, null]);
    }),
});

Deno.test({
  name: "openSystem() answers null for every source that is damaged, and reports each once",
  ignore: Deno.build.os !== "linux",
  ...KEEPS_OPEN,
  fn: () => {
    const damaged = Object.fromEntries(Object.keys(PROC).map((path) => [path, "\xff\0 nonsense\n"]));
    return withTree({ ...damaged, ...recorded("v2-damaged") }, async (root) => {
      const reports: string[] = [];
      const system = await openSystem((sentence) => reports.push(sentence), root);
      const { at: _, controlGroup, ...rest } = system.read();
      const { at: __, controlGroup: ___, ...nothing } = reading(0);
      assertEquals(rest, nothing);
      assertEquals(controlGroup?.cpu, { limit: null, used: null, periods: null });
      const before = reports.length;
      system.read();
      assertEquals(reports.length, before);
      for (const path of Object.keys(PROC)) {
        assertEquals(reports.filter((sentence) => sentence.includes(`/${path}:`)).length, 1, path);
      }
    });
  },
});
