/**
 * What the kernel says of the control group that this process is in, versions 1 and 2.
 *
 * Sources: cgroups(7); Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/{memory,cpuacct}.rst of the kernel.
 *
 * @module
 */

import { numberAfter } from "./host.ts";
import { openProbe, type Probe, readOrNothing, type Report } from "./probe.ts";

/** One reading; `null` in place of a controller's figures where the process is in that controller's root group. */
export interface ControlGroup {
  readonly memory: GroupMemory | null;
  readonly cpu: GroupCpu | null;
}

/** Memory of the group, in bytes. */
export interface GroupMemory {
  /** `null`: not limited, or not known. */
  readonly limit: number | null;
  /** The working set: usage less what the kernel would drop first (`inactive_file`), as `docker stats` and the kubelet count it. */
  readonly used: number | null;
}

/** Processor time of the group. */
export interface GroupCpu {
  /** In processors (0.5 for half of one); `null`: not limited, or not known. */
  readonly limit: number | null;
  /** Processor time used since the group was made, in seconds. */
  readonly used: number | null;
  /** Scheduling periods since the group was made, and those of them in which it was held back. */
  readonly periods: { readonly total: number; readonly throttled: number } | null;
}

/** Where a controller has the files of the process's group. */
export interface GroupDirectory {
  readonly version: 1 | 2;
  readonly path: string;
}

/** The controllers that are read. */
export type Controller = "memory" | "cpu" | "cpuacct";

/**
 * Finds the directory of a controller's group from `/proc/self/cgroup` and `/proc/self/mountinfo`.
 *
 * Inside a container the group is often the root of what is mounted, though its path has more parts: the part that the
 * mount starts at is taken off. A controller is in one hierarchy only; version 1 names it there, version 2 does not.
 *
 * @returns `null` where the controller is not mounted, or the group lies outside of what is.
 */
export function findGroup(controller: Controller, cgroup: string, mountinfo: string): GroupDirectory | null {
  const lines = cgroup.split("\n").map((line) => /^\d+:([^:]*):(\/.*)$/.exec(line));
  const first = lines.find((match) => match?.[1]?.split(",").includes(controller));
  const second = lines.find((match) => match?.[1] === "");
  const path = (first ?? second)?.[2];
  if (path === undefined) return null;
  const version = first ? 1 : 2;
  for (const line of mountinfo.split("\n")) {
    const [before, after] = line.split(" - ");
    const [, , , root, mountPoint] = before?.split(" ") ?? [];
    const [type, , options = ""] = after?.split(" ") ?? [];
    if (root === undefined || mountPoint === undefined) continue;
    if (type !== (version === 1 ? "cgroup" : "cgroup2")) continue;
    if (version === 1 && !options.split(",").includes(controller)) continue;
    const start = unescapePath(root);
    const inside = start === "/"
      ? path
      : path === start
      ? ""
      : path.startsWith(`${start}/`)
      ? path.slice(start.length)
      : null;
    if (inside === null || inside.startsWith("/..")) continue;
    return { version, path: `${unescapePath(mountPoint)}${inside}`.replace(/\/+$/, "") };
  }
  return null;
}

/** mountinfo writes blanks and backslashes of a path as octal numbers: proc_pid_mountinfo(5). */
function unescapePath(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)));
}

/**
 * Opens the files of the process's group under `root` (`/`; tests have their own).
 *
 * @returns A probe that answers `null` for the root group, or where nothing can be read.
 */
export function openControlGroup(root: string, report: Report): Probe<ControlGroup> {
  const cgroup = readOrNothing(`${root}proc/self/cgroup`);
  const mountinfo = readOrNothing(`${root}proc/self/mountinfo`);

  const open = (controller: Controller) => {
    const group = findGroup(controller, cgroup, mountinfo);
    if (group === null) return null;
    const directory = `${root}${group.path.slice(1)}`;
    // Only a root group has a release agent (version 1); only a group that is none has a type (version 2).
    const isRoot = group.version === 1 ? exists(`${directory}/release_agent`) : !exists(`${directory}/cgroup.type`);
    if (isRoot) return null;
    return {
      version: group.version,
      probe: <T>(file: string, parse: (text: string) => T | null) => openProbe(`${directory}/${file}`, parse, report),
    };
  };
  const memory = openMemory(open("memory"));
  const cpu = openCpu(open("cpu"), open("cpuacct"));
  if (memory === null && cpu === null) return () => null;
  return () => ({ memory: memory?.() ?? null, cpu: cpu?.() ?? null });
}

type OpenGroup = {
  version: 1 | 2;
  probe: <T>(file: string, parse: (text: string) => T | null) => Probe<T>;
} | null;

function openMemory(group: OpenGroup): Probe<GroupMemory> | null {
  if (group === null) return null;
  const [limitFile, usageFile, cache] = group.version === 1
    ? ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"]
    : ["memory.max", "memory.current", "inactive_file"];
  const limit = group.probe(limitFile, parseMemoryLimit);
  const usage = group.probe(usageFile, parseCount);
  const inactive = group.probe("memory.stat", (text) => numberAfter(text, cache));
  return () => {
    const [total, unused] = [usage(), inactive()];
    const used = total === null || unused === null ? null : Math.max(0, total - unused);
    return { limit: limit()?.value ?? null, used };
  };
}

function openCpu(group: OpenGroup, accounting: OpenGroup): Probe<GroupCpu> | null {
  if (group === null) return null;
  if (group.version === 2) {
    const limit = group.probe("cpu.max", parseCpuMax);
    const statistics = group.probe("cpu.stat", parseCpuStatistics);
    return () => {
      const { used = null, periods = null } = statistics() ?? {};
      return { limit: limit()?.value ?? null, used, periods };
    };
  }
  const periods = group.probe("cpu.stat", parsePeriods);
  const quota = group.probe("cpu.cfs_quota_us", parseQuota);
  const period = group.probe("cpu.cfs_period_us", parseCount);
  const usage = accounting?.probe("cpuacct.usage", parseCount) ?? (() => null);
  return () => {
    const [share, whole] = [quota()?.value ?? null, period()];
    const limit = share === null || !whole ? null : share / whole;
    const nanoseconds = usage();
    return { limit, used: nanoseconds === null ? null : nanoseconds / 1e9, periods: periods() };
  };
}

/** A limit that is not set is a value of its own, apart from a file that makes no sense. */
type Limit = { readonly value: number | null };

/** Parses `memory.max` (`max` or bytes) and `memory.limit_in_bytes` (bytes; the largest whole number of pages for none). */
export function parseMemoryLimit(text: string): Limit | null {
  if (text === "max\n") return { value: null };
  const bytes = parseCount(text);
  // 2^63 less one page, of any size up to 64 KB, means not limited.
  return bytes === null ? null : { value: bytes >= 2 ** 63 - 2 ** 17 ? null : bytes };
}

/** Parses `cpu.max` (`max 100000`, `50000 100000`), in processors. */
export function parseCpuMax(text: string): Limit | null {
  const match = /^(max|\d+) ([1-9]\d*)\n$/.exec(text);
  if (!match) return null;
  return { value: match[1] === "max" ? null : Number(match[1]) / Number(match[2]) };
}

/** Parses `cpu.cfs_quota_us`, in microseconds; -1 for none. */
export function parseQuota(text: string): Limit | null {
  return text === "-1\n" ? { value: null } : parseCount(text) === null ? null : { value: parseCount(text) };
}

/** Parses `cpu.stat` of version 2. */
export function parseCpuStatistics(text: string): { used: number; periods: GroupCpu["periods"] } | null {
  const microseconds = numberAfter(text, "usage_usec");
  return microseconds === null ? null : { used: microseconds / 1e6, periods: parsePeriods(text) };
}

/** Parses `nr_periods` and `nr_throttled` of `cpu.stat`; they are there only with the controller on. */
export function parsePeriods(text: string): GroupCpu["periods"] {
  const total = numberAfter(text, "nr_periods");
  const throttled = numberAfter(text, "nr_throttled");
  return total === null || throttled === null ? null : { total, throttled };
}

/** Parses a file that is one whole number. */
export function parseCount(text: string): number | null {
  return /^\d+\n$/.test(text) ? Number(text) : null;
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
