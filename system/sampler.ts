/**
 * Reads everything once a second and keeps the latest figures, so that answering a request needs no reading.
 *
 * @module
 */

import { getHeapStatistics } from "node:v8";
import { type ControlGroup, openControlGroup } from "./control_group.ts";
import {
  type CpuTimes,
  type LoadAverage,
  type Memory,
  parseCpuCount,
  parseCpuTimes,
  parseLoadAverage,
  parseMemory,
  parseUptime,
} from "./host.ts";
import { openProbe, readOrNothing, type Report } from "./probe.ts";
import { parseDescriptorLimit, parseProcessCpu, parseProcessMemory, type ProcessMemory } from "./process.ts";

/** Figures as they are counted, at one moment. */
export interface Reading {
  /** Monotonic milliseconds (`performance.now()`), so that a stepping clock does no harm. */
  readonly at: number;
  readonly cpu: CpuTimes | null;
  readonly memory: Memory | null;
  /** Seconds since the machine started. */
  readonly uptime: number | null;
  readonly loadAverage: LoadAverage | null;
  /** Processor time of this process, in seconds. */
  readonly processCpu: number | null;
  readonly processMemory: ProcessMemory | null;
  readonly controlGroup: ControlGroup | null;
}

/** What does not change while the service runs. */
export interface Facts {
  readonly platform: string;
  readonly release: string;
  readonly arch: string;
  readonly hostname: string;
  readonly cpuCount: number;
  readonly pid: number;
  /** Seconds since 1970. */
  readonly startTime: number;
  /** How many descriptors this process may open; `null` where not known. */
  readonly descriptorLimit: number | null;
}

/** The latest reading, and what became of the counters in the window that it ended. Shares are from 0 to 1. */
export interface Snapshot extends Reading {
  readonly facts: Facts;
  /** Seconds since the process started. */
  readonly processUptime: number;
  readonly heap: { readonly used: number; readonly total: number };
  /** Share of all processors' time. */
  readonly cpuUsed: number | null;
  /** Share of one processor's time; above 1 where several work. */
  readonly processCpuUsed: number | null;
  /** Share of the group's limit, or of all processors without one. */
  readonly groupCpuUsed: number | null;
  /** Share of the scheduling periods; `null` without a limit. */
  readonly groupThrottled: number | null;
}

/** Where figures come from. */
export interface System {
  readonly facts: Facts;
  read(): Reading;
}

/** Keeps the latest snapshot. */
export interface Sampler {
  readonly snapshot: Snapshot;
  /** Reads about once a second from now on, and calls `then` each time: waking up costs as much as all the rest. */
  start(then?: (snapshot: Snapshot) => void): void;
  stop(): void;
}

/** A window: long enough for 90 ticks of each processor, and less than a second, in which a lost listener has to be noticed. */
const WINDOW_MS = 900;

/** Makes a sampler; the first reading is taken at once. */
export function createSampler(system: System): Sampler {
  let latest = system.read();
  let snapshot = compare(latest, latest, system.facts);
  let timer: ReturnType<typeof setInterval> | undefined;
  return {
    get snapshot() {
      return snapshot;
    },
    start(then = () => {}) {
      timer = setInterval(() => {
        const reading = system.read();
        snapshot = compare(latest, reading, system.facts);
        latest = reading;
        then(snapshot);
      }, WINDOW_MS);
    },
    stop() {
      clearInterval(timer);
    },
  };
}

/** Turns two readings, the earlier one first, into a snapshot. A window in which nothing was counted is an idle one. */
export function compare(earlier: Reading, later: Reading, facts: Facts): Snapshot {
  const seconds = (later.at - earlier.at) / 1000;
  // Not Deno.memoryUsage(), which also opens a file.
  const { used_heap_size, total_heap_size } = getHeapStatistics();
  const [before, after] = [earlier.controlGroup?.cpu ?? null, later.controlGroup?.cpu ?? null];
  return {
    ...later,
    facts,
    processUptime: later.at / 1000,
    heap: { used: used_heap_size, total: total_heap_size },
    cpuUsed: busyShare(earlier.cpu, later.cpu),
    processCpuUsed: rate(earlier.processCpu, later.processCpu, seconds),
    groupCpuUsed: share(rate(before?.used, after?.used, seconds), after?.limit ?? facts.cpuCount),
    groupThrottled: after === null || after.limit === null
      ? null
      : rate(before?.periods?.throttled, after.periods?.throttled, count(before?.periods?.total, after.periods?.total)),
  };
}

function busyShare(earlier: CpuTimes | null, later: CpuTimes | null): number | null {
  if (earlier === null || later === null) return null;
  // The kernel may take some idle time back (proc_stat(5) on iowait): bound it.
  const total = later.total - earlier.total;
  const idle = Math.min(total, Math.max(0, later.idle - earlier.idle));
  return total <= 0 ? 0 : 1 - idle / total;
}

/** Growth of a counter for each unit of `span`. */
function rate(earlier: number | null | undefined, later: number | null | undefined, span: number | null) {
  const growth = count(earlier, later);
  return growth === null || span === null ? null : share(growth, span);
}

function count(earlier: number | null | undefined, later: number | null | undefined): number | null {
  return typeof earlier === "number" && typeof later === "number" ? Math.max(0, later - earlier) : null;
}

function share(part: number | null, whole: number): number | null {
  return part === null ? null : whole > 0 ? part / whole : 0;
}

/**
 * Opens what is measured.
 *
 * @param report Told once of each source that fails.
 * @param root Where `proc` and `sys` are, with a slash at its end; tests have their own.
 */
export async function openSystem(report: Report, root = "/"): Promise<System> {
  const linux = Deno.build.os === "linux";
  const names: Partial<Record<typeof Deno.build.os, string>> = { linux: "Linux", darwin: "Darwin", windows: "Windows" };
  const facts = {
    platform: names[Deno.build.os] ?? Deno.build.os,
    release: Deno.osRelease(),
    arch: Deno.build.arch,
    hostname: Deno.hostname(),
    pid: Deno.pid,
    startTime: (Date.now() - performance.now()) / 1000,
  };
  return linux ? openLinux(facts, report, root) : (await import("./portable.ts")).openPortable(facts);
}

/** The facts that are had the same way everywhere. */
export type CommonFacts = Omit<Facts, "cpuCount" | "descriptorLimit">;

function openLinux(facts: CommonFacts, report: Report, root: string): System {
  const probe = <T>(file: string, parse: (text: string) => T | null) => openProbe(`${root}proc/${file}`, parse, report);
  const cpu = probe("stat", parseCpuTimes);
  const memory = probe("meminfo", parseMemory);
  const uptime = probe("uptime", parseUptime);
  const loadAverage = probe("loadavg", parseLoadAverage);
  const processCpu = probe("self/stat", parseProcessCpu);
  const processMemory = probe("self/status", parseProcessMemory);
  const controlGroup = openControlGroup(root, report);
  return {
    facts: {
      ...facts,
      // Not navigator.hardwareConcurrency: inside a container that is the container's share.
      cpuCount: parseCpuCount(readOrNothing(`${root}proc/stat`)) ?? navigator.hardwareConcurrency,
      descriptorLimit: probe("self/limits", parseDescriptorLimit)(),
    },
    read: () => ({
      at: performance.now(),
      cpu: cpu(),
      memory: memory(),
      uptime: uptime(),
      loadAverage: loadAverage(),
      processCpu: processCpu(),
      processMemory: processMemory(),
      controlGroup: controlGroup(),
    }),
  };
}
