import { assertEquals } from "@std/assert";
import { parseDescriptorLimit, parseProcessCpu, parseProcessMemory } from "../../system/process.ts";

const TAIL = "R 19529 19529 15414 0 -1 4194304 99 0 0 0 250 50 7 9 20 0 1 0 305982 3133440 389 18446744073709551615 1 2 0\n";

Deno.test("parseProcessCpu() adds user and system time, without that of children, in seconds", () => {
  assertEquals(parseProcessCpu(`19535 (deno) ${TAIL}`), 3);
});

Deno.test("parseProcessCpu() is not led astray by a program name with blanks and parentheses", () => {
  assertEquals(parseProcessCpu(`19535 (a) 1 2 (b ) c) ${TAIL}`), 3);
});

Deno.test("parseProcessCpu() answers null to damaged text", () => {
  for (const text of ["", "19535 (deno) R 1 2", "19535 (deno)", `19535 (deno) ${TAIL.replace("250", "x")}`]) {
    assertEquals(parseProcessCpu(text), null, JSON.stringify(text));
  }
});

Deno.test("parseProcessMemory() reads resident and virtual size in bytes", () => {
  const text = "Name:\tdeno\nVmPeak:\t    9 kB\nVmSize:\t    3892 kB\nVmHWM:\t    9 kB\nVmRSS:\t    2176 kB\n";
  assertEquals(parseProcessMemory(text), { resident: 2176 * 1024, virtual: 3892 * 1024 });
});

Deno.test("parseProcessMemory() leaves the virtual size null where there is none", () => {
  assertEquals(parseProcessMemory("VmRSS:\t    2176 kB\n"), { resident: 2176 * 1024, virtual: null });
});

Deno.test("parseProcessMemory() answers null to damaged text", () => {
  for (const text of ["", "Name:\tdeno\n", "VmRSS:\t many kB\n"]) assertEquals(parseProcessMemory(text), null);
});

Deno.test("parseDescriptorLimit() reads the soft limit", () => {
  const text = "Max processes             96365                96365                processes \n" +
    "Max open files            1024                 20000                files     \n";
  assertEquals(parseDescriptorLimit(text), 1024);
});

Deno.test("parseDescriptorLimit() answers null where there is no limit, and to damaged text", () => {
  assertEquals(parseDescriptorLimit("Max open files            unlimited            unlimited            files\n"), null);
  assertEquals(parseDescriptorLimit(""), null);
});
