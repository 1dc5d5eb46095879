/**
 * A Docker engine, for the tests of this folder: images and containers that are removed when the tests are over.
 *
 * @module
 */

import { join } from "node:path";

/** A key that all tests of this folder use. */
export const KEY = "a-key-of-the-container-tests-0815";

export const root = join(import.meta.dirname!, "../..");
const BASES = ["debian:bookworm-slim", "denoland/deno:debian-2.7.11"];

/** How a command ended. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How to run a command. */
export interface Options {
  readonly env?: Record<string, string>;
  readonly cwd?: string;
  /** After this many ms it is ended. */
  readonly patience?: number;
}

/** Runs a program to its end. */
export async function command(
  program: string,
  args: string[],
  { env, cwd, patience = 60_000 }: Options = {},
): Promise<Ended> {
  const signal = AbortSignal.timeout(patience);
  const { code, stdout, stderr } = await new Deno.Command(program, { args, env, cwd, signal, stdin: "null" }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/**
 * Runs the engine's client.
 *
 * @returns What it wrote on standard output, without the last newline.
 * @throws {Error} If it fails.
 */
export async function docker(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await command("docker", args);
  if (code !== 0) throw new Error(`docker ${args.join(" ")} ended with ${code}:\n${stdout}${stderr}`);
  return stdout.trimEnd();
}

/** Why there can be no tests with containers here; empty if there can. */
export const missing = await reasonToSkip();

async function reasonToSkip(): Promise<string> {
  try {
    if ((await command("docker", ["version"])).code !== 0) return "no Docker engine";
  } catch {
    return "no Docker client";
  }
  for (const base of BASES) {
    if ((await command("docker", ["image", "inspect", base])).code === 0) continue;
    const pulled = await command("docker", ["pull", "--quiet", base], { patience: 300_000 }).catch(() => null);
    if (pulled?.code !== 0) return `the image ${base} is not here and cannot be pulled`;
  }
  return "";
}

/** Defines a test that is ignored, saying why, where something is missing. */
export function test(name: string, fn: () => Promise<void>, reason = missing): void {
  Deno.test({ name: reason ? `${name} (skipped: ${reason})` : name, ignore: reason !== "", fn });
}

const run = crypto.randomUUID().slice(0, 8);
let count = 0;

/** A name that no other run of the tests has. */
export function uniqueName(): string {
  return `konnichiwa-test-${run}-${++count}`;
}

const names: string[] = [];
const leftovers = new Set<string>();
addEventListener("unload", () => {
  for (const image of [...names, ...leftovers]) {
    new Deno.Command("docker", { args: ["image", "rm", "--force", image], stdout: "null", stderr: "null" }).outputSync();
  }
});

/** How to build. */
export interface BuildOptions {
  /** The folder with the Dockerfile; the project's by default. */
  readonly context?: string;
  readonly flags?: string[];
  readonly env?: Record<string, string>;
  /** The client that has BuildKit; the classic builder is used without one. */
  readonly buildKit?: string;
}

/**
 * Builds an image.
 *
 * @returns Its name, and what the builder said.
 * @throws {Error} If that fails.
 */
export async function build(
  { context = root, flags = [], env, buildKit }: BuildOptions = {},
): Promise<{ image: string; log: string }> {
  const image = uniqueName();
  names.push(image);
  const { code, stdout, stderr } = await command(
    buildKit ?? "docker",
    ["build", ...(buildKit ? ["--progress=plain"] : []), ...flags, "--tag", image, context],
    { env: { DOCKER_BUILDKIT: buildKit ? "1" : "0", ...env }, patience: 300_000 },
  );
  const log = stdout + stderr;
  if (code !== 0) throw new Error(`The build failed:\n${log}`);
  // The classic builder leaves the image of the build stage behind, without a name. The project's own is kept: it is the cache.
  const stage = /RUN deno task compile\n ---> Running in [^]*? ---> ([0-9a-f]{12})\nStep/.exec(log)?.[1];
  if (stage !== undefined && (flags.includes("--no-cache") || context !== root)) leftovers.add(stage);
  return { image, log };
}

/** The client that can use BuildKit: newer ones need a component for it, which may be missing. */
export async function findBuildKit(): Promise<string | null> {
  for (const client of ["docker", "/usr/bin/docker"]) {
    const help = await command(client, ["build", "--help"], { env: { DOCKER_BUILDKIT: "1" } }).catch(() => null);
    if (help?.code === 0 && help.stdout.includes("--progress")) return client;
  }
  return null;
}

/** The binary that an image holds. */
export async function digestOfBinary(image: string): Promise<string> {
  const sum = await docker("run", "--rm", "--entrypoint", "sha256sum", image, "/usr/local/bin/konnichiwa");
  return sum.slice(0, 64);
}

/** A container that runs. */
export interface Container extends AsyncDisposable {
  readonly name: string;
  readonly port: number;
  readonly origin: string;
  get(path: string): Promise<Response>;
  /** A value of `docker inspect`, as Go's template language says it. */
  inspect(template: string): Promise<string>;
  /** The content of the first of these files that it has. */
  read(...paths: string[]): Promise<string>;
}

/** The content of the first of these files that a container has. */
export function read(container: string, ...paths: string[]): Promise<string> {
  return docker("exec", container, "sh", "-c", paths.map((path) => `cat ${path} 2>/dev/null`).join(" || "));
}

/** Runs an image with the key of the tests; resolves once the service answers. */
export async function start(image: string, ...flags: string[]): Promise<Container> {
  const name = uniqueName();
  await docker(
    "run",
    "--detach",
    "--name",
    name,
    "--publish",
    "127.0.0.1::4000",
    "--env",
    `API_KEY=${KEY}`,
    ...flags,
    image,
  );
  const port = Number((await docker("port", name, "4000/tcp")).split(":").pop());
  const origin = `http://127.0.0.1:${port}`;
  await answers(origin);
  return {
    name,
    port,
    origin,
    get: (path) => fetch(origin + path, { headers: { Authorization: `Bearer ${KEY}` } }),
    inspect: (template) => docker("inspect", "--format", template, name),
    read: (...paths) => read(name, ...paths),
    async [Symbol.asyncDispose]() {
      await docker("rm", "--force", "--volumes", name);
    },
  };
}

/** Bytes: the most that the control group has had, and how often the kernel ended a process for want of memory. */
export async function memoryOf({ read }: Pick<Container, "read">): Promise<{ peak: number; kills: number }> {
  const group = "/sys/fs/cgroup";
  const peak = Number(await read(`${group}/memory.peak`, `${group}/memory/memory.max_usage_in_bytes`));
  const events = await read(`${group}/memory.events`, `${group}/memory/memory.oom_control`);
  const kills = Number(/^oom_kill (\d+)$/m.exec(events)?.[1]);
  if (!(peak > 0 && kills >= 0)) throw new Error(`Cannot read the control group: peak ${peak}, events ${events}`);
  return { peak, kills };
}

/** Renders bytes for a figure. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}

/** Waits until a service answers; ten seconds at most. */
export async function answers(origin: string): Promise<void> {
  await eventually(async () => {
    const response = await fetch(`${origin}/health`).catch(() => null);
    await response?.body?.cancel();
    return response?.status === 200 ? true : null;
  }, 10_000);
}

/** Asks again and again until the answer is not `null`. */
export async function eventually<T>(ask: () => Promise<T | null>, milliseconds: number): Promise<T> {
  for (const deadline = performance.now() + milliseconds; performance.now() < deadline;) {
    const answer = await ask();
    if (answer !== null) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`Nothing within ${milliseconds} ms`);
}
