/**
 * What the kernel says of the whole machine; proc(5) describes the files.
 *
 * @module
 */

/** Time that all processors together have spent since the machine started, in clock ticks. */
export interface CpuTimes {
  readonly total: number;
  /** Time with nothing to do, waiting for a disk included. */
  readonly idle: number;
}

/** The machine's memory, in bytes. */
export interface Memory {
  readonly total: number;
  /** What could be had without swapping; not merely what is unused. */
  readonly available: number;
}

/** Load averages over one, five and fifteen minutes. */
export type LoadAverage = readonly [number, number, number];

/**
 * Parses the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal, in clock ticks.
 *
 * The guest columns that follow are left out: the kernel counts them under user and nice as well.
 */
export function parseCpuTimes(text: string): CpuTimes | null {
  if (!text.startsWith("cpu ")) return null;
  const columns = text.slice(4, text.indexOf("\n")).trim().split(/ +/).slice(0, 8).map(Number);
  const [, , , idle, iowait = 0] = columns;
  if (idle === undefined || !columns.every(Number.isFinite)) return null;
  return { total: columns.reduce((sum, ticks) => sum + ticks, 0), idle: idle + iowait };
}

/** Counts the processors in `/proc/stat`: its lines `cpu0`, `cpu1`, … */
export function parseCpuCount(text: string): number | null {
  return text.match(/^cpu\d+ /gm)?.length ?? null;
}

/** Parses `/proc/meminfo`. */
export function parseMemory(text: string): Memory | null {
  const total = kibibytes(text, "MemTotal");
  const available = kibibytes(text, "MemAvailable");
  if (total === null || available === null || total === 0) return null;
  return { total, available: Math.min(available, total) };
}

/** Parses `/proc/uptime`: seconds since the machine started. */
export function parseUptime(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)\s/.exec(text);
  return match ? Number(match[1]) : null;
}

/** Parses `/proc/loadavg`. */
export function parseLoadAverage(text: string): LoadAverage | null {
  const match = /^(\d+\.\d+) (\d+\.\d+) (\d+\.\d+) /.exec(text);
  return match ? [Number(match[1]), Number(match[2]), Number(match[3])] : null;
}

/** Reads a line `Name:   123 kB`, as `/proc/meminfo` and `/proc/self/status` have them, in bytes. */
export function kibibytes(text: string, name: string): number | null {
  const count = numberAfter(text, `${name}:`, " kB");
  return count === null ? null : count * 1024;
}

const NUMBER = /[ \t]+(\d+)( kB)?$/my;

/** Finds the line that starts with `label`, and reads the number after it; an expression made for each label takes 20 times as long. */
export function numberAfter(text: string, label: string, unit?: " kB"): number | null {
  const start = text.startsWith(label) ? 0 : text.indexOf(`\n${label}`) + 1;
  if (start === 0 && !text.startsWith(label)) return null;
  NUMBER.lastIndex = start + label.length;
  const match = NUMBER.exec(text);
  return match !== null && match[2] === unit ? Number(match[1]) : null;
}
