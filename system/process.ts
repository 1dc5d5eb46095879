/**
 * What the kernel says of this process; proc(5) describes the files.
 *
 * @module
 */

import { kibibytes } from "./host.ts";

/** Memory of this process, in bytes. */
export interface ProcessMemory {
  readonly resident: number;
  /** `null` where the system does not tell. */
  readonly virtual: number | null;
}

/** Clock ticks a second in `/proc`: Linux shows 100 to every program, whatever it uses inside (time(7), USER_HZ). */
const TICKS_PER_SECOND = 100;

/** Parses `/proc/self/stat`: processor time this process has used so far, in seconds. */
export function parseProcessCpu(text: string): number | null {
  // The second field is the program's name in parentheses and may hold anything: count from the last one.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[11]) + Number(fields[12]); // utime and stime, fields 14 and 15 of proc_pid_stat(5)
  return Number.isFinite(ticks) ? ticks / TICKS_PER_SECOND : null;
}

/**
 * Parses `/proc/self/status`.
 *
 * `/proc/self/statm` has the same in pages, but nothing says how large a page is (4 to 64 KB on aarch64).
 */
export function parseProcessMemory(text: string): ProcessMemory | null {
  const resident = kibibytes(text, "VmRSS");
  return resident === null ? null : { resident, virtual: kibibytes(text, "VmSize") };
}

/** Parses `/proc/self/limits`: how many descriptors this process may open; `null` when unlimited. */
export function parseDescriptorLimit(text: string): number | null {
  const match = /^Max open files\s+(\d+)/m.exec(text);
  return match ? Number(match[1]) : null;
}
