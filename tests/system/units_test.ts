import { assertEquals } from "@std/assert";
import { formatDuration, formatPercent, formatSize } from "../../system/units.ts";

// The first seven are the reference's own.
const SIZES: [number, string][] = [
  [0, "0.00 Bytes"],
  [500, "500.00 Bytes"],
  [1024, "1.00 KB"],
  [1536, "1.50 KB"],
  [2560, "2.50 KB"],
  [10_485_760, "10.00 MB"],
  [10_995_116_277_760, "10.00 TB"],
  [1023, "1023.00 Bytes"],
  [1024 ** 2 - 1, "1024.00 KB"],
  [1024 ** 2, "1.00 MB"],
  [1024 ** 3, "1.00 GB"],
  [1024 ** 4, "1.00 TB"],
  [1024 ** 5, "1024.00 TB"],
  [2 * 1024 ** 6, "2097152.00 TB"],
];
for (const [bytes, text] of SIZES) {
  Deno.test(`formatSize() writes ${bytes} bytes as ${text}`, () => assertEquals(formatSize(bytes), text));
}

const DURATIONS: [number, string][] = [
  [0, "0:00:00"],
  [0.999, "0:00:00"],
  [59.999, "0:00:59"],
  [61, "0:01:01"],
  [3599, "0:59:59"],
  [3600, "1:00:00"],
  [36_000, "10:00:00"],
  [86_399.9, "23:59:59"],
  [86_400, "1 day, 0:00:00"],
  [90_061, "1 day, 1:01:01"],
  [172_799, "1 day, 23:59:59"],
  [172_800, "2 days, 0:00:00"],
  [31_536_000, "365 days, 0:00:00"],
];
for (const [seconds, text] of DURATIONS) {
  Deno.test(`formatDuration() writes ${seconds} s as ${text}`, () => assertEquals(formatDuration(seconds), text));
}

const PERCENTAGES: [number | null, number | null][] = [
  [0, 0],
  [0.004, 0],
  [0.005, 1],
  [0.41, 41],
  [0.999, 100],
  [1.5, 150],
  [-0.01, 0],
  [null, null],
];
for (const [ratio, percent] of PERCENTAGES) {
  Deno.test(`formatPercent() writes ${ratio} as ${percent}`, () => assertEquals(formatPercent(ratio), percent));
}
