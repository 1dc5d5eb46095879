/**
 * What the tests of this folder are run against: the compiled binary where it can be made, else the source.
 *
 * @module
 */

import { compile } from "../../compile.ts";
import { type Ended, FROM_SOURCE, type RunningService } from "../service.ts";

const root = decodeURIComponent(new URL("../..", import.meta.url).pathname);

/** How to start the service, and what to call that in a figure. */
export interface CommandUnderTest {
  readonly command: readonly string[];
  readonly name: string;
}

/** `dist/konnichiwa` if it is newer than the source; else a binary made for the purpose, once for all test files; else the source. */
export const underTest: CommandUnderTest = await choose();

/** The program that `tests/faults/fixtures/` has under this name; it runs from source. */
export function fixture(name: string): readonly string[] {
  return [...FROM_SOURCE.slice(0, -1), `${root}tests/faults/fixtures/${name}`];
}

/** The same command with a limit of open descriptors. */
export function withDescriptors(limit: number, command: readonly string[]): string[] {
  return ["/bin/sh", "-c", `ulimit -n ${limit}; exec "$0" "$@"`, ...command];
}

/** Whether this machine has what `/bin/sh`, `/proc` and control groups offer. */
export const LINUX = Deno.build.os === "linux";

/** How a service ended; an error if it has not within 20 seconds. */
export async function endOf(service: RunningService): Promise<Ended> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error("The service has not ended within 20 seconds")), 20_000);
  try {
    return await Promise.race([service.ended, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Prints what a case has found, in one line. */
export function figure(text: string): void {
  console.log(`    ${text}`);
}

async function choose(): Promise<CommandUnderTest> {
  const newest = await newestSource(root);
  const made = `${root}dist/konnichiwa`;
  if (await changed(made) > newest) return { command: [made], name: "binary" };
  // One for each checkout, and at most one: it has 97 MB.
  const checkout = root.replace(/[^\w]+/g, "-");
  const directory = `${Deno.env.get("TMPDIR") ?? "/tmp"}/konnichiwa-under-test${checkout}`;
  const binary = `${directory}/konnichiwa`;
  if (await changed(binary) < newest && !await make(directory, binary)) return { command: FROM_SOURCE, name: "source" };
  return { command: [binary], name: "binary" };
}

async function make(directory: string, output: string): Promise<boolean> {
  await Deno.mkdir(directory, { recursive: true });
  try {
    await compile({ entry: "main.ts", output: `${output}.new` });
  } catch {
    return false; // without the base runtime, which Deno fetches where it can
  }
  await Deno.rename(`${output}.new`, output);
  return true;
}

async function newestSource(directory: string): Promise<number> {
  let newest = 0;
  for await (const { name, isDirectory } of Deno.readDir(directory)) {
    if (isDirectory) {
      if (["http", "routes", "system"].includes(name)) newest = Math.max(newest, await newestSource(`${directory}${name}/`));
    } else if (/\.(ts|json|lock)$/.test(name)) newest = Math.max(newest, await changed(`${directory}${name}`));
  }
  return newest;
}

async function changed(path: string): Promise<number> {
  const { mtime } = await Deno.stat(path).catch(() => ({ mtime: null }));
  return mtime?.getTime() ?? 0;
}
