import { assertEquals, assertMatch } from "@std/assert";
import { openProbe } from "../../system/probe.ts";
import { withTree } from "../fixtures/tree.ts";

// Probes keep their files open for as long as the process lives.
const KEEPS_OPEN = { sanitizeResources: false };

const parse = (text: string) => /^\d+\n$/.test(text) ? Number(text) : null;

Deno.test("openProbe() reads the file from its start every time", KEEPS_OPEN, () =>
  withTree({ count: "1\n" }, (root) => {
    const probe = openProbe(`${root}count`, parse, fail);
    assertEquals(probe(), 1);
    assertEquals(probe(), 1);
    Deno.writeTextFileSync(`${root}count`, "22\n");
    assertEquals(probe(), 22);
  }));

Deno.test("openProbe() reads through its descriptor: the path is not needed any more", KEEPS_OPEN, async () => {
  const probe = await withTree({ count: "1\n" }, (root) => openProbe(`${root}count`, parse, fail));
  assertEquals(probe(), 1);
});

Deno.test(
  "openProbe() answers null for a missing file, without a word",
  KEEPS_OPEN,
  () => withTree({}, (root) => assertEquals(openProbe(`${root}missing`, parse, fail)(), null)),
);

Deno.test("openProbe() reports a file that it cannot open, once", KEEPS_OPEN, () =>
  withTree({ file: "1\n" }, (root) => {
    const reports: string[] = [];
    const probe = openProbe(`${root}file/below`, parse, (sentence) => reports.push(sentence));
    assertEquals([probe(), probe()], [null, null]);
    assertEquals(reports.length, 1);
    assertMatch(reports[0], /^Cannot open .*file\/below: /);
  }));

Deno.test(
  "openProbe() reports a file that cannot be read, once",
  KEEPS_OPEN,
  () =>
    withTree({ "folder/file": "" }, (root) => {
      const reports: string[] = [];
      const probe = openProbe(`${root}folder`, parse, (sentence) => reports.push(sentence));
      assertEquals([probe(), probe()], [null, null]);
      assertEquals(reports.length, 1);
      assertMatch(reports[0], /^Cannot (open|read) .*folder: /);
    }),
);

Deno.test(
  "openProbe() reports once for each time that the content stops making sense",
  KEEPS_OPEN,
  () =>
    withTree({ count: "x\n" }, (root) => {
      const reports: string[] = [];
      const probe = openProbe(`${root}count`, parse, (sentence) => reports.push(sentence));
      const readWith = (content: string) => {
        Deno.writeTextFileSync(`${root}count`, content);
        return probe();
      };
      assertEquals(["x\n", "", "1\n", "y\n", "y\n"].map(readWith), [null, null, 1, null, null]);
      assertEquals(reports.length, 2);
      assertMatch(reports[0], /^Cannot read .*count: its content makes no sense$/);
    }),
);

Deno.test("openProbe() survives a parser that throws", KEEPS_OPEN, () =>
  withTree({ count: "1\n" }, (root) => {
    const reports: string[] = [];
    const probe = openProbe(`${root}count`, () => {
      throw new Error("out of luck");
    }, (sentence) => reports.push(sentence));
    assertEquals([probe(), probe()], [null, null]);
    assertEquals(reports, [`Cannot read ${root}count: out of luck`]);
  }));

Deno.test(
  "openProbe() reads no more than the start of a file that is very long",
  KEEPS_OPEN,
  () =>
    withTree({ long: "a".repeat(100_000) }, (root) => {
      assertEquals(openProbe(`${root}long`, (text) => text.length, fail)(), 16_384);
    }),
);

function fail(sentence: string): never {
  throw new Error(`Nothing should be reported: ${sentence}`);
}
