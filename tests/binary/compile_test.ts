import { assert, assertEquals, assertMatch, assertNotEquals, assertStringIncludes } from "@std/assert";
import { dirname, join, relative } from "node:path";
import { compiled, testWith } from "./binary.ts";

const root = join(import.meta.dirname!, "../..");
const { binary, missing } = await compiled("main.ts");
const NEEDED = /^(deno\.json|import_map\.json|deno\.lock|(http|routes|system)(\/.*)?|[^/]+\.ts)$/;

/** Copies what is under version control and needed to compile, with new times, into `folder`. */
async function clone(folder: string, from = root): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    const [source, target] = [join(from, name), join(folder, name)];
    if (!NEEDED.test(relative(root, source))) continue;
    if (isDirectory) {
      await clone(target, source);
      continue;
    }
    await Deno.mkdir(dirname(target), { recursive: true });
    await Deno.writeFile(target, await Deno.readFile(source));
  }
}

/** Runs `deno task compile` in a folder. */
async function compileIn(folder: string, env: Record<string, string> = {}): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", "compile"],
    cwd: folder,
    env: { NO_COLOR: "1", ...env },
    signal: AbortSignal.timeout(120_000),
  }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "konnichiwa-clone-" });
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function sha256(path: string): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", await Deno.readFile(path))).toHex();
}

testWith(
  missing,
  "`deno task compile` makes the same file in folders of other names and depths, at other times, with other settings",
  async () => {
    await withFolder(async (folder) => {
      const clones = [join(folder, "konnichiwa"), join(folder, "some where", "else", "k")];
      for (const [index, path] of clones.entries()) {
        await clone(path);
        const env: Record<string, string> = index === 0
          ? {}
          : { OTEL_DENO: "true", DENO_COMPAT: "1", TMPDIR: join(folder, "some where") };
        const { code, text } = await compileIn(path, env);
        assertEquals({ code, text }, { code: 0, text: `${await sha256(binary)}  dist/konnichiwa\n` });
        assertEquals(await sha256(join(path, "dist/konnichiwa")), await sha256(binary));
      }
      // Another program is another file: what was compared is not always the same.
      const route = join(clones[0]!, "routes/greeting.ts");
      await Deno.writeTextFile(route, (await Deno.readTextFile(route)).replaceAll("Konnichiwa", "Konbanwa"));
      assertEquals((await compileIn(clones[0]!)).code, 0);
      assertNotEquals(await sha256(join(clones[0]!, "dist/konnichiwa")), await sha256(binary));
    });
  },
);

testWith(missing, "the binary holds nothing of .env, of the tests, or of the paths that it was made from", async () => {
  await withFolder(async (folder) => {
    await clone(folder);
    await Deno.writeTextFile(join(folder, ".env"), "API_KEY=a-key-that-must-not-be-embedded\n");
    await Deno.mkdir(join(folder, "tests"));
    await Deno.writeTextFile(join(folder, "tests/some_test.ts"), "export const text = 'a-text-of-the-tests';\n");
    assertEquals((await compileIn(folder)).code, 0);
    // One character for each byte, so that the search finds text wherever it is.
    const content = new TextDecoder("latin1").decode(await Deno.readFile(join(folder, "dist/konnichiwa")));
    for (const text of ["a-key-that-must-not-be-embedded", "a-text-of-the-tests", folder, `${Deno.env.get("HOME")}/`]) {
      assert(!content.includes(text), `the binary holds ${JSON.stringify(text)}`);
    }
    assertStringIncludes(content, "closeTheDoor"); // what it does hold is found in this way
  });
});

testWith(missing, "`deno task compile` refuses a wrong type, and says where", async () => {
  await withFolder(async (folder) => {
    await clone(folder);
    await Deno.writeTextFile(join(folder, "routes/mod.ts"), "\nexport const wrong: number = 'text';\n", { append: true });
    const { code, text } = await compileIn(folder);
    assertEquals(code, 1);
    assertMatch(text, /TS2322[\s\S]*routes\/mod\.ts/);
  });
});

testWith(missing, "`deno task compile` refuses a dependency that the lock file does not name", async () => {
  await withFolder(async (folder) => {
    await clone(folder);
    const lock = join(folder, "deno.lock");
    const { specifiers, ...rest } = JSON.parse(await Deno.readTextFile(lock));
    const [first] = Object.keys(specifiers);
    delete specifiers[first!];
    await Deno.writeTextFile(lock, JSON.stringify({ ...rest, specifiers }));
    const { code, text } = await compileIn(folder);
    assertEquals(code, 1);
    assertMatch(text, /lockfile is out of date/);
  });
});
