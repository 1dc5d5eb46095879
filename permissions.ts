/**
 * The door that closes behind the service once it listens.
 *
 * @module
 */

import { forbidSystemCalls } from "./seccomp.ts";

/**
 * Gives up, for good, every permission but `net` (listening again after a full descriptor table needs that one).
 *
 * From here on nothing in this process can read or write a file, see the environment, start a program, load a library or a
 * module, or ask the system anything. What was opened before stays open. Where there is no `/proc`, `sys` stays too: the
 * figures of `/inspect` are asked for with it. A compiled binary on Linux also has the kernel refuse, which takes away the
 * outgoing half of `net`; from source that would end Deno's own work (reloading, downloading), so there it is left out.
 *
 * @returns Whether the kernel refuses too; `null` where it was not asked to.
 * @throws {Error} If a permission is still there.
 */
export function closeTheDoor(): boolean | null {
  const filtered = Deno.build.standalone && Deno.build.os === "linux" ? forbidSystemCalls() : null;
  for (const name of ["read", "write", "run", "ffi", "env", "sys", "import"] as const) {
    if (name === "sys" && Deno.build.os !== "linux") continue;
    // Deno's own types do not know "import" yet.
    const { state } = Deno.permissions.revokeSync({ name } as Deno.PermissionDescriptor);
    if (state === "granted") throw new Error(`Cannot give up the permission "${name}": it is still granted`);
  }
  return filtered;
}
