/**
 * `deno task compile`: makes the service one executable, the same byte for byte wherever and whenever it is made.
 *
 * What `deno compile` puts into the file besides the code (measured with 2.7.11, by comparing its output), and what is done:
 *
 * - the time of last change of each embedded file, in milliseconds, and whether it is executable: the files are copied, and
 *   the copies have one time and one mode;
 * - every file of each npm package, used or not, and the path of Deno's cache in the errors that it gets when it takes the
 *   LICENSE and README.md of one for a program: only the code of the packages is copied, into a cache of its own;
 * - the output's file name, which without `--output` comes from the folder's: it is always given;
 * - Deno's settings in the environment, such as OTEL_DENO, DENO_COMPAT and DENO_V8_FLAGS: they are not passed on.
 *
 * The path of the checkout is not in it. Only the modules that the entry imports are: no tests, no `.env`.
 *
 * @module
 */

import { dirname, join, relative, resolve } from "node:path";

/** The flags of `deno compile`. */
export const FLAGS: readonly string[] = [
  // A dependency that deno.lock does not name, or names with another digest, is an error.
  "--lock=deno.lock",
  "--frozen",
  // What is compiled is what was copied; nothing is downloaded on the side.
  "--cached-only",
  // The default, said anyway: a binary is not made of code that does not pass the type checker.
  "--check",
  // Nothing less opens /proc and /sys. The service gives all but `net` up before it serves (permissions.ts).
  "--allow-all",
  // A permission that was given up is refused, and never asked for on a terminal.
  "--no-prompt",
  // Without this the first run leaves a file in /tmp, and a read-only system or a second user makes it fail. No slower to start.
  "--no-code-cache",
  // In MB. V8 lets the space for young objects grow to 3 × 16 MB, and collects it when it is full: measured over 200,000 requests,
  // the control group then has 90 to 120 MB, with this 45 to 60, and the processor time of a request is the same.
  "--v8-flags=--max-semi-space-size=4",
];

/** All that `deno compile` knows. Only the first can be tried where this project is made. */
const TARGETS = [
  "x86_64-unknown-linux-gnu",
  "aarch64-unknown-linux-gnu",
  "x86_64-apple-darwin",
  "aarch64-apple-darwin",
  "x86_64-pc-windows-msvc",
] as const;

/** What to compile, into what, and for which system: this one if none is named. */
export interface CompileOptions {
  /** The module to start from, relative to the root of the project. */
  readonly entry: string;
  /** The file to write; `.exe` is added for Windows. Its name, without the folders, is part of what is written. */
  readonly output: string;
  readonly target?: typeof TARGETS[number];
}

const ROOT = import.meta.dirname!;
/** The part of a package that runs or is checked. */
const CODE = /(\.[cm]?js|\.json|\.d\.[cm]?ts)$/;
/** Of Deno's settings, those that say where to find what is downloaded. */
const PASSED_ON = ["DENO_DIR", "DENO_TLS_CA_STORE", "DENO_CERT"];

/**
 * Compiles one module with all that it imports.
 *
 * @returns The path of the file, and its SHA-256 digest in hexadecimal.
 * @throws {Error} With what Deno said, if it fails: the lock file is out of date, a type is wrong, something cannot be downloaded.
 */
export async function compile({ entry, output, target }: CompileOptions): Promise<{ path: string; digest: string }> {
  const work = await Deno.makeTempDir({ prefix: "konnichiwa-compile-" });
  try {
    const [source, cache] = [join(work, "source"), join(work, "cache")];
    await deno(["cache", "--quiet", "--lock=deno.lock", "--frozen", entry], ROOT);
    const { modules, npmPackages } = await info(entry);
    await copySource(modules.flatMap(({ local }) => local ?? []), source);
    await copyCache(Object.values(npmPackages), cache);
    const flags = target === undefined ? FLAGS : [...FLAGS, `--target=${target}`];
    await deno(["compile", ...flags, `--output=${resolve(output)}`, entry], source, { DENO_DIR: cache });
    const path = target?.includes("windows") ? `${output}.exe` : output;
    const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(path));
    return { path, digest: new Uint8Array(digest).toHex() };
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

/** Copies modules, and the files that say how to resolve and check them. */
async function copySource(modules: string[], to: string): Promise<void> {
  const files = new Set([...["deno.json", "import_map.json", "deno.lock"].map((name) => join(ROOT, name)), ...modules]);
  for (const file of files) await copy(file, join(to, relative(ROOT, file)));
}

/** Makes a cache for Deno that holds the code of these packages, and shares the base runtimes with the real one. */
async function copyCache(packages: { name: string; version: string }[], to: string): Promise<void> {
  const { denoDir, npmCache } = await info();
  const registries = await Array.fromAsync(Deno.readDir(npmCache), ({ name }) => join(npmCache, name));
  for (const { name, version } of packages) {
    const folder = registries.map((registry) => join(registry, name, version)).find(isDirectory);
    if (folder === undefined) throw new Error(`Cannot find ${name} ${version} in ${npmCache}`);
    for (const file of await filesIn(folder)) {
      if (CODE.test(file)) await copy(file, join(to, relative(denoDir, file)));
    }
  }
  await Deno.mkdir(join(denoDir, "dl"), { recursive: true });
  await Deno.symlink(join(denoDir, "dl"), join(to, "dl"), { type: "junction" });
}

async function copy(from: string, to: string): Promise<void> {
  await Deno.mkdir(dirname(to), { recursive: true });
  await Deno.copyFile(from, to);
  if (Deno.build.os !== "windows") await Deno.chmod(to, 0o644);
  await Deno.utime(to, 0, 0);
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir(folder));
  const lists = entries.map(({ name, isDirectory }) => isDirectory ? filesIn(join(folder, name)) : [join(folder, name)]);
  return (await Promise.all(lists)).flat();
}

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

/** What `deno info` says of Deno's folders, or of what a module imports. */
async function info(...entry: string[]): Promise<{
  denoDir: string;
  npmCache: string;
  modules: { local?: string }[];
  npmPackages: Record<string, { name: string; version: string }>;
}> {
  return JSON.parse(await deno(["info", "--lock=deno.lock", "--json", ...entry], ROOT));
}

/** Runs Deno; what it reports is shown only if it fails. */
async function deno(args: string[], cwd: string, env: Record<string, string> = {}): Promise<string> {
  const inherited = Object.entries(Deno.env.toObject())
    .filter(([name]) => !/^(DENO|OTEL)_/.test(name) || PASSED_ON.includes(name));
  const options = { args, cwd, clearEnv: true, env: { ...Object.fromEntries(inherited), ...env } };
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), options).output();
  if (!success) throw new Error(`deno ${args[0]} failed:\n${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

if (import.meta.main) {
  Deno.chdir(ROOT);
  for (const target of Deno.args.includes("--all-targets") ? TARGETS : [undefined]) {
    const { path, digest } = await compile({ entry: "main.ts", output: join("dist", target ?? "", "konnichiwa"), target });
    console.log(`${digest}  ${path}`);
  }
}
