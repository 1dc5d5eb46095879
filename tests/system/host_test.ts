import { assertEquals } from "@std/assert";
import { kibibytes, parseCpuCount, parseCpuTimes, parseLoadAverage, parseMemory, parseUptime } from "../../system/host.ts";

const STAT = `cpu  31980 5 39000 519213 3088 7 15495 220 100 50
cpu0 20666 0 15912 260187 242 0 8159 80 0 0
cpu1 11314 0 23088 259026 2846 0 7335 140 0 0
intr 1836904 0 0 0
ctxt 4029640
`;

Deno.test("parseCpuTimes() adds the eight columns up and leaves the guest columns out", () => {
  const total = 31980 + 5 + 39000 + 519213 + 3088 + 7 + 15495 + 220;
  assertEquals(parseCpuTimes(STAT), { total, idle: 519213 + 3088 });
});

Deno.test("parseCpuTimes() counts iowait as idle", () => {
  assertEquals(parseCpuTimes("cpu  1 0 0 10 5 0 0 0 0 0\n")?.idle, 15);
});

Deno.test("parseCpuTimes() understands the four columns of an old kernel", () => {
  assertEquals(parseCpuTimes("cpu  1 2 3 4\n"), { total: 10, idle: 4 });
});

Deno.test("parseCpuTimes() answers null to damaged text", () => {
  for (const text of ["", "cpu", "cpu \n", "cpu  1 2 3\n", "cpu  1 2 x 4 5\n", "cpu0 1 2 3 4 5\n", "\0\0\0\0"]) {
    assertEquals(parseCpuTimes(text), null, JSON.stringify(text));
  }
});

Deno.test("parseCpuCount() counts the lines of single processors", () => {
  assertEquals(parseCpuCount(STAT), 2);
  assertEquals(parseCpuCount("intr 1\n"), null);
});

Deno.test("parseMemory() takes MemAvailable, not MemFree, in bytes", () => {
  const text = "MemTotal:       24684084 kB\nMemFree:        22546480 kB\nMemAvailable:   24089012 kB\n";
  assertEquals(parseMemory(text), { total: 24684084 * 1024, available: 24089012 * 1024 });
});

Deno.test("parseMemory() never says that more is available than there is", () => {
  assertEquals(parseMemory("MemTotal: 10 kB\nMemAvailable: 12 kB\n"), { total: 10240, available: 10240 });
});

Deno.test("parseMemory() answers null to damaged text", () => {
  const texts = [
    "",
    "MemTotal: 10 kB\n",
    "MemAvailable: 10 kB\n",
    "MemTotal: 0 kB\nMemAvailable: 0 kB\n",
    "MemTotal: x kB\nMemAvailable: 1 kB\n",
    "MemTotal: 10 MB\nMemAvailable: 1 MB\n",
    "MemTotal: -10 kB\nMemAvailable: 1 kB\n",
  ];
  for (const text of texts) assertEquals(parseMemory(text), null, JSON.stringify(text));
});

Deno.test("parseUptime() reads the first number", () => {
  assertEquals(parseUptime("3059.82 5192.14\n"), 3059.82);
  assertEquals(parseUptime("7 1\n"), 7);
});

Deno.test("parseUptime() answers null to damaged text", () => {
  for (const text of ["", "x\n", "-1.0 2\n", "12", ".5 1\n"]) assertEquals(parseUptime(text), null, JSON.stringify(text));
});

Deno.test("parseLoadAverage() reads three numbers", () => {
  assertEquals(parseLoadAverage("0.49 12.39 0.00 2/127 19533\n"), [0.49, 12.39, 0]);
});

Deno.test("parseLoadAverage() answers null to damaged text", () => {
  for (const text of ["", "0.49 0.39\n", "0.49 x 0.22 2/127 1\n", "-0.49 0.39 0.22 2/127 1\n"]) {
    assertEquals(parseLoadAverage(text), null, JSON.stringify(text));
  }
});

Deno.test("kibibytes() finds a line by its whole name", () => {
  const text = "SwapCached:     1 kB\nCached:     2 kB\n";
  assertEquals(kibibytes(text, "Cached"), 2048);
  assertEquals(kibibytes(text, "Missing"), null);
});
