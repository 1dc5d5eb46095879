/**
 * How figures are written for people: sizes, durations and shares.
 *
 * @module
 */

const SIZE_UNITS = ["Bytes", "KB", "MB", "GB", "TB"] as const;

/**
 * Writes a size as text: divided by 1024 while it is at least 1024, with two decimals.
 *
 * @example
 * ```ts
 * formatSize(1536); // "1.50 KB"
 * ```
 *
 * @param bytes A number of bytes, 0 or more. Past 1024 TB the unit stays TB.
 */
export function formatSize(bytes: number): string {
  let unit = 0;
  while (bytes >= 1024 && unit < SIZE_UNITS.length - 1) {
    bytes /= 1024;
    unit++;
  }
  return `${bytes.toFixed(2)} ${SIZE_UNITS[unit]}`;
}

/**
 * Writes a duration as `H:MM:SS`, with `N day, ` or `N days, ` before it from 24 hours on.
 *
 * @example
 * ```ts
 * formatDuration(90061); // "1 day, 1:01:01"
 * ```
 *
 * @param seconds A duration in seconds, 0 or more; what is below a second is dropped.
 */
export function formatDuration(seconds: number): string {
  const whole = Math.floor(seconds);
  const days = Math.floor(whole / 86_400);
  const clock = [
    Math.floor(whole / 3600) % 24,
    String(Math.floor(whole / 60) % 60).padStart(2, "0"),
    String(whole % 60).padStart(2, "0"),
  ].join(":");
  if (days === 0) return clock;
  return `${days} ${days === 1 ? "day" : "days"}, ${clock}`;
}

/**
 * Turns a share (0 for none, 1 for all) into a whole percentage, never below 0.
 *
 * @param ratio The share; `null` (not known) stays `null`.
 */
export function formatPercent(ratio: number | null): number | null {
  return ratio === null ? null : Math.max(0, Math.round(ratio * 100));
}
