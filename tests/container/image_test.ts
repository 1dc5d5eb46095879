import { assert, assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import { join } from "node:path";
import { compile } from "../../compile.ts";
import { build, command, digestOfBinary, docker, findBuildKit, KEY, missing, root, test } from "./engine.ts";

const buildKit = missing ? null : await findBuildKit();
const noBuildKit = missing || (buildKit === null ? "no client with BuildKit" : "");

/** Runs `use` with a copy of what the builder needs, with more beside it that it must not see. */
async function withContext(use: (context: string) => Promise<void>): Promise<void> {
  const context = await Deno.makeTempDir({ prefix: "konnichiwa-context-" });
  try {
    const entries = (await Array.fromAsync(Deno.readDir(root), ({ name }) => name))
      .filter((name) => /\.(ts|json|lock)$|^(http|routes|system|Dockerfile|\.dockerignore)$/.test(name));
    await command("cp", ["-r", ...entries.map((name) => join(root, name)), context]);
    await Deno.writeTextFile(join(context, ".env"), `API_KEY=${KEY}\n`);
    await use(context);
  } finally {
    await Deno.remove(context, { recursive: true });
  }
}

/** A change to a route, such as a developer makes. */
async function editRoute(context: string): Promise<void> {
  const route = join(context, "routes/greeting.ts");
  await Deno.writeTextFile(route, `// ${crypto.randomUUID()}\n`, { append: true });
}

test("two builds without cache give the same binary, which is the one that `deno task compile` makes", async () => {
  const folder = await Deno.makeTempDir();
  const digests: string[] = [];
  try {
    for (let turn = 0; turn < 2; turn++) digests.push(await digestOfBinary((await build({ flags: ["--no-cache"] })).image));
    // Every machine of another kind makes another one.
    if (Deno.build.target === "x86_64-unknown-linux-gnu") {
      digests.push((await compile({ entry: "main.ts", output: join(folder, "konnichiwa") })).digest);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  assertMatch(digests[0]!, /^[0-9a-f]{64}$/);
  assertEquals(digests, digests.map(() => digests[0]!));
});

test("after a change to a route, the classic builder takes the dependencies from its cache and downloads nothing", async () => {
  await withContext(async (context) => {
    await build({ context });
    await editRoute(context);
    // Without a network nothing can be downloaded.
    const { log } = await build({ context, flags: ["--network=none"] });
    assertMatch(log, /RUN deno install[^]*? ---> Using cache[^]*RUN deno task compile\n ---> Running in/);
  });
});

test(
  "BuildKit makes the same binary, and after a change to a route takes the dependencies from its cache",
  async () => {
    await withContext(async (context) => {
      const first = await build({ context, buildKit: buildKit! });
      assertEquals(await digestOfBinary(first.image), await digestOfBinary((await build({ context })).image));
      await editRoute(context);
      const { log } = await build({ context, buildKit: buildKit! });
      const step = /^#(\d+) \[build .*RUN deno install/m.exec(log)?.[1];
      assertMatch(log, new RegExp(`^#${step} CACHED$`, "m"));
      assertNotMatch(log, /RUN deno task compile\n(#\d+ sha256.*\n)?#\d+ CACHED/);
    });
  },
  noBuildKit,
);

test("the image is its base and one regular file, which nobody but root can write", async () => {
  const { image } = await build();
  const layersOf = async (name: string): Promise<string[]> =>
    JSON.parse(await docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", name));
  const [layers, base] = [await layersOf(image), await layersOf("debian:bookworm-slim")];
  assertEquals(layers.slice(0, -1), base);
  const files = await filesOfLastLayer(image);
  assertEquals(files.filter(({ mode }) => !mode.startsWith("d")), [
    { mode: "-rwxr-xr-x", owner: "0/0", path: "usr/local/bin/konnichiwa" },
  ]);
});

async function filesOfLastLayer(image: string): Promise<{ mode: string; owner: string; path: string }[]> {
  const folder = await Deno.makeTempDir();
  try {
    await docker("image", "save", "--output", `${folder}/image.tar`, image);
    await command("tar", ["--extract", "--file", `${folder}/image.tar`, "--directory", folder]);
    const [{ Layers }] = JSON.parse(await Deno.readTextFile(`${folder}/manifest.json`));
    const list = ["--list", "--verbose", "--numeric-owner", "--file", `${folder}/${Layers.at(-1)}`];
    const { stdout } = await command("tar", list);
    return stdout.trimEnd().split("\n").map((line) => {
      const [mode, owner, , , , path] = line.split(/ +/);
      return { mode: mode!, owner: owner!, path: path! };
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

test("no key is in the image: not in its history, its environment or its layers, though .env was beside the Dockerfile", async () => {
  await withContext(async (context) => {
    const { image } = await build({ context, env: { API_KEY: KEY } });
    const about = await docker("image", "history", "--no-trunc", image) + await docker("image", "inspect", image);
    assert(!about.includes(KEY));
    assertNotMatch(about, /API_KEY/);
    const environment = await docker("image", "inspect", "--format", "{{json .Config.Env}}", image);
    assertMatch(environment, /^(null|\["PATH=[^"]*"\])$/);
    const archive = join(context, "image.tar");
    await docker("image", "save", "--output", archive, image);
    const search = (text: string) => command("grep", ["--count", "--text", "--fixed-strings", text, archive]);
    assertEquals((await search(KEY)).stdout, "0\n");
    assertEquals((await search("closeTheDoor")).code, 0); // what is in a layer is found in this way
  });
});

test("the image says who runs in it, how it is asked, checked and stopped, and which version it is", async () => {
  const { image } = await build({ flags: ["--build-arg=VERSION=1.2.3", "--build-arg=REVISION=abcdef0"] });
  const [{ Config }] = JSON.parse(await docker("image", "inspect", image));
  assertEquals(Config.User, "65532:65532");
  assertEquals(Config.Entrypoint, ["/usr/local/bin/konnichiwa"]);
  assertEquals(Config.Cmd ?? [], []);
  assertEquals(Config.ExposedPorts, { "4000/tcp": {} });
  assertEquals(Config.StopSignal, "SIGTERM");
  assertEquals(Config.Healthcheck.Test, ["CMD", "/usr/local/bin/konnichiwa", "healthcheck"]);
  assertEquals(Config.Labels["org.opencontainers.image.version"], "1.2.3");
  assertEquals(Config.Labels["org.opencontainers.image.revision"], "abcdef0");
});
