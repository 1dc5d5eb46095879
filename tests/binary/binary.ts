/**
 * Compiles a module for the tests of this folder, with the flags of `deno task compile`.
 *
 * @module
 */

import { compile } from "../../compile.ts";

/** What a machine may lack. */
const NO_BASE_RUNTIME = "the base runtime of deno compile is not here and cannot be downloaded";

/**
 * Compiles into a folder that is removed when the tests of the file are over, and that every user can read.
 *
 * @returns The path of the binary; or why it cannot be made here, to be ignored by tests that say so.
 * @throws {Error} If it cannot be made for a reason that lies in the project.
 */
export async function compiled(entry: string): Promise<{ binary: string; missing: string }> {
  const folder = await Deno.makeTempDir({ prefix: "konnichiwa-binary-" });
  await Deno.chmod(folder, 0o755);
  addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
  const output = `${folder}/konnichiwa`;
  try {
    await compile({ entry, output });
    return { binary: output, missing: "" };
  } catch (error) {
    if (!String(error).includes("Setting up base binary")) throw error;
    return { binary: "", missing: NO_BASE_RUNTIME };
  }
}

/** Defines a test that is ignored, saying why, where something is missing. */
export function testWith(missing: string, name: string, fn: () => Promise<void>): void {
  Deno.test({ name: missing ? `${name} (skipped: ${missing})` : name, ignore: missing !== "", fn });
}
