import { assertEquals, assertStringIncludes } from "@std/assert";
import {
  findGroup,
  openControlGroup,
  parseCount,
  parseCpuMax,
  parseCpuStatistics,
  parseMemoryLimit,
  parsePeriods,
  parseQuota,
} from "../../system/control_group.ts";
import { numberAfter } from "../../system/host.ts";
import { recorded, type Tree, withTree } from "../fixtures/tree.ts";

// Probes keep their files open for as long as the process lives.
const KEEPS_OPEN = { sanitizeResources: false };

/** One reading of a tree, and what was reported meanwhile. */
function read(tree: Tree) {
  return withTree(tree, (root) => {
    const reports: string[] = [];
    const reading = openControlGroup(root, (sentence) => reports.push(sentence))();
    return { reading, reports: reports.map((sentence) => sentence.replace(root, "")) };
  });
}

Deno.test("openControlGroup() reads a container with limits, version 1", KEEPS_OPEN, async () => {
  assertEquals(await read(recorded("v1-docker")), {
    reading: {
      memory: { limit: 268_435_456, used: 25_243_648 - 516_096 },
      cpu: { limit: 0.5, used: 0.458859267, periods: { total: 11, throttled: 8 } },
    },
    reports: [],
  });
});

Deno.test(
  "openControlGroup() reads a nested group without limits, version 1: its own files, children's cache included",
  KEEPS_OPEN,
  async () => {
    assertEquals(await read(recorded("v1-nested-unlimited")), {
      reading: {
        memory: { limit: null, used: 77_594_624 - 1_142_784 },
        cpu: { limit: null, used: 0.668440153, periods: { total: 0, throttled: 0 } },
      },
      reports: [],
    });
  },
);

Deno.test("openControlGroup() answers null for the root group, version 1", KEEPS_OPEN, async () => {
  assertEquals(await read(recorded("v1-root")), { reading: null, reports: [] });
});

Deno.test("openControlGroup() reads the one controller that has a group of its own, version 1", KEEPS_OPEN, async () => {
  const tree = recorded("v1-nested-unlimited");
  const cgroup = tree["proc/self/cgroup"]!.replace("2:cpu,cpuacct:/system.slice/konnichiwa.service", "2:cpu,cpuacct:/");
  const { reading, reports } = await read({
    ...tree,
    "proc/self/cgroup": cgroup,
    "sys/fs/cgroup/cpu,cpuacct/release_agent": "\n",
  });
  assertEquals(reading, { memory: { limit: null, used: 76_451_840 }, cpu: null });
  assertEquals(reports, []);
});

Deno.test(
  "openControlGroup() reads a container with limits and a name space of its own, version 2",
  KEEPS_OPEN,
  async () => {
    assertEquals(await read(recorded("v2-container-limited")), {
      reading: {
        memory: { limit: 134_217_728, used: 68_157_440 - 10_485_760 },
        cpu: { limit: 0.5, used: 4.5, periods: { total: 40, throttled: 10 } },
      },
      reports: [],
    });
  },
);

Deno.test("openControlGroup() reads a container in the host's name space, version 2", KEEPS_OPEN, async () => {
  const { reading, reports } = await read(recorded("v2-container-host-namespace"));
  assertEquals(reading?.memory?.limit, 134_217_728);
  assertEquals(reading?.cpu?.limit, 1.5);
  assertEquals(reports, []);
});

Deno.test(
  "openControlGroup() reads a nested group without limits, version 2: not the limits of the group above",
  KEEPS_OPEN,
  async () => {
    assertEquals(await read(recorded("v2-nested-unlimited")), {
      reading: {
        memory: { limit: null, used: 57_671_680 },
        cpu: { limit: null, used: 4.5, periods: { total: 40, throttled: 10 } },
      },
      reports: [],
    });
  },
);

Deno.test("openControlGroup() answers null for the root group, version 2", KEEPS_OPEN, async () => {
  assertEquals(await read(recorded("v2-root")), { reading: null, reports: [] });
});

Deno.test("openControlGroup() answers null where nothing is mounted, or nothing is there at all", KEEPS_OPEN, async () => {
  assertEquals(await read({}), { reading: null, reports: [] });
  assertEquals(await read({ "proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": "" }), { reading: null, reports: [] });
  assertEquals(await read({ "proc/self/cgroup": "\0?\n::\n7", "proc/self/mountinfo": "-\n - \n" }), {
    reading: null,
    reports: [],
  });
});

Deno.test("openControlGroup() answers null for what is damaged, and reports each file", KEEPS_OPEN, async () => {
  const { reading, reports } = await read(recorded("v2-damaged"));
  assertEquals(reading, { memory: { limit: null, used: null }, cpu: { limit: null, used: null, periods: null } });
  for (const file of ["memory.max", "memory.current", "memory.stat", "cpu.max", "cpu.stat"]) {
    assertStringIncludes(reports.join("\n"), `Cannot read sys/fs/cgroup/${file}: its content makes no sense`);
  }
  assertEquals(reports.length, 5);
});

Deno.test("openControlGroup() answers null for one file that is missing, and reads the others", KEEPS_OPEN, async () => {
  const { "sys/fs/cgroup/memory.stat": _stat, "sys/fs/cgroup/cpu.max": _max, ...tree } = recorded("v2-container-limited");
  const { reading, reports } = await read(tree);
  assertEquals(reading?.memory, { limit: 134_217_728, used: null });
  assertEquals(reading?.cpu, { limit: null, used: 4.5, periods: { total: 40, throttled: 10 } });
  assertEquals(reports, []);
});

Deno.test("openControlGroup() never says less than nothing is used", KEEPS_OPEN, async () => {
  const tree = { ...recorded("v2-container-limited"), "sys/fs/cgroup/memory.current": "4096\n" };
  assertEquals((await read(tree)).reading?.memory?.used, 0);
});

const MOUNT = "35 31 0:32 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory";

Deno.test("findGroup() reads blanks in a path, which mountinfo writes as octal numbers", () => {
  assertEquals(findGroup("memory", "4:memory:/a b/c\n", MOUNT.replace(" / /", " /a\\040b /")), {
    version: 1,
    path: "/sys/fs/cgroup/memory/c",
  });
  assertEquals(
    findGroup("memory", "4:memory:/c\n", MOUNT.replace("cgroup/memory", "my\\040groups"))?.path,
    "/sys/fs/my groups/c",
  );
});

Deno.test("findGroup() does not take /docker/ab for a part of /docker/a", () => {
  assertEquals(findGroup("memory", "4:memory:/docker/ab\n", MOUNT.replace(" / /", " /docker/a /")), null);
});

Deno.test("findGroup() answers null for a group outside of what is mounted", () => {
  assertEquals(findGroup("memory", "4:memory:/other\n", MOUNT.replace(" / /", " /docker/a /")), null);
  assertEquals(findGroup("memory", "4:memory:/../other\n", MOUNT), null);
});

Deno.test("findGroup() asks for the controller by its whole name", () => {
  const mounts = MOUNT.replace("memory", "cpuacct").replace("rw,memory", "rw,cpuacct");
  assertEquals(findGroup("cpu", "2:cpuacct:/a\n", mounts), null);
  assertEquals(findGroup("cpuacct", "2:cpuacct:/a\n", mounts)?.path, "/sys/fs/cgroup/cpuacct/a");
});

Deno.test("findGroup() prefers version 1 where both are mounted and the controller is there", () => {
  const both = `41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n${MOUNT}\n`;
  assertEquals(findGroup("memory", "4:memory:/a\n0::/b\n", both), { version: 1, path: "/sys/fs/cgroup/memory/a" });
  assertEquals(findGroup("cpu", "4:memory:/a\n0::/b\n", both), { version: 2, path: "/sys/fs/cgroup/unified/b" });
});

Deno.test("findGroup() takes a colon in the path of a group as it is", () => {
  assertEquals(findGroup("memory", "4:memory:/a:b\n", MOUNT)?.path, "/sys/fs/cgroup/memory/a:b");
});

Deno.test("parseMemoryLimit() tells no limit from nonsense", () => {
  assertEquals(parseMemoryLimit("max\n"), { value: null });
  assertEquals(parseMemoryLimit("9223372036854771712\n"), { value: null }, "pages of 4 KB");
  assertEquals(parseMemoryLimit("9223372036854710272\n"), { value: null }, "pages of 64 KB");
  assertEquals(parseMemoryLimit("268435456\n"), { value: 268_435_456 });
  for (const text of ["", "max", "maximum\n", "-1\n", "1.5\n", "12 34\n"]) assertEquals(parseMemoryLimit(text), null, text);
});

Deno.test("parseCpuMax() divides quota by period and tells no limit from nonsense", () => {
  assertEquals(parseCpuMax("max 100000\n"), { value: null });
  assertEquals(parseCpuMax("50000 100000\n"), { value: 0.5 });
  assertEquals(parseCpuMax("250000 50000\n"), { value: 5 });
  for (const text of ["", "max\n", "50000\n", "50000 0\n", "-1 100000\n", "a b\n"]) {
    assertEquals(parseCpuMax(text), null, text);
  }
});

Deno.test("parseQuota() tells no limit from nonsense", () => {
  assertEquals(parseQuota("-1\n"), { value: null });
  assertEquals(parseQuota("50000\n"), { value: 50_000 });
  for (const text of ["", "-2\n", "max\n"]) assertEquals(parseQuota(text), null, text);
});

Deno.test("parseCpuStatistics() reads usage where the controller is off and no periods are counted", () => {
  assertEquals(parseCpuStatistics("usage_usec 1500000\nuser_usec 1\n"), { used: 1.5, periods: null });
  assertEquals(parseCpuStatistics("user_usec 1\nnr_periods 1\nnr_throttled 1\n"), null);
});

Deno.test("parsePeriods() wants both counters", () => {
  assertEquals(parsePeriods("nr_periods 13\nnr_throttled 12\nthrottled_time 634624545\n"), { total: 13, throttled: 12 });
  assertEquals(parsePeriods("nr_periods 13\n"), null);
});

Deno.test("parseCount() and numberAfter() take whole numbers only", () => {
  assertEquals(parseCount("12\n"), 12);
  for (const text of ["", "\n", "12", "12a\n", "1e3\n", "-1\n"]) assertEquals(parseCount(text), null, text);
  assertEquals(numberAfter("total_inactive_file 1\ninactive_file 2\n", "inactive_file"), 2);
  assertEquals(numberAfter("inactive_file x\n", "inactive_file"), null);
});
