/**
 * The figures where there is no `/proc` (macOS, Windows): from Deno's own calls, which go on needing the permission `sys`.
 *
 * @module
 */

import { cpus } from "node:os";
import process from "node:process";
import type { CpuTimes } from "./host.ts";
import type { CommonFacts, System } from "./sampler.ts";

/** Opens nothing: every call asks the system anew. */
export function openPortable(facts: CommonFacts): System {
  return {
    facts: { ...facts, cpuCount: navigator.hardwareConcurrency, descriptorLimit: null },
    read() {
      const memory = Deno.systemMemoryInfo();
      const { user, system } = process.cpuUsage();
      const [one = 0, five = 0, fifteen = 0] = Deno.loadavg();
      return {
        at: performance.now(),
        cpu: addTimes(cpus().map(({ times }) => times)),
        memory: { total: memory.total, available: Math.min(memory.available, memory.total) },
        uptime: Deno.osUptime(),
        loadAverage: [one, five, fifteen],
        processCpu: (user + system) / 1e6,
        processMemory: { resident: Deno.memoryUsage().rss, virtual: null },
        controlGroup: null,
      };
    },
  };
}

function addTimes(processors: ReturnType<typeof cpus>[number]["times"][]): CpuTimes {
  let [total, idle] = [0, 0];
  for (const times of processors) {
    total += times.user + times.nice + times.sys + times.idle + times.irq;
    idle += times.idle;
  }
  return { total, idle };
}
