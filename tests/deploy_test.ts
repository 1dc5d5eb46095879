import { assert, assertEquals } from "@std/assert";
import { basename, join } from "node:path";

const unit = join(import.meta.dirname!, "../deploy/konnichiwa.service");

async function systemdAnalyze(...args: string[]): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await new Deno.Command("systemd-analyze", {
    args,
    env: { SYSTEMD_COLORS: "0", SYSTEMD_PAGER: "cat" },
    signal: AbortSignal.timeout(30_000),
  }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

/** `--offline` came with version 251. */
async function reasonToSkip(): Promise<string> {
  try {
    const { text } = await systemdAnalyze("--version");
    const version = Number(/^systemd (\d+)/.exec(text)?.[1]);
    return version >= 251 ? "" : `systemd ${version} cannot check a file, 251 can`;
  } catch {
    return "no systemd-analyze";
  }
}

const missing = await reasonToSkip();

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: missing ? `${name} (skipped: ${missing})` : name, ignore: missing !== "", fn });
}

/** Asks systemd about a copy of the unit under another name, with the drop-ins that are there for that name. */
async function verify(name: string, dropIns: string[] = []): Promise<{ code: number; text: string }> {
  const folder = await Deno.makeTempDir({ prefix: "konnichiwa-unit-" });
  try {
    // The program has to exist. The one of this process does; where the unit says, there may be none.
    const text = await Deno.readTextFile(unit);
    const copy = join(folder, name);
    await Deno.writeTextFile(copy, text.replace("ExecStart=/usr/local/bin/konnichiwa", `ExecStart=${Deno.execPath()}`));
    if (dropIns.length > 0) await Deno.mkdir(`${copy}.d`);
    for (const dropIn of dropIns) await Deno.copyFile(join(unit, "..", dropIn), join(`${copy}.d`, basename(dropIn)));
    return await systemdAnalyze("verify", "--man=no", copy);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

test("systemd finds no fault in konnichiwa.service", async () => {
  assertEquals(await verify("konnichiwa.service"), { code: 0, text: "" });
});

test("systemd finds no fault in it as a template, with the drop-in for several processes on one port", async () => {
  const dropIn = "konnichiwa@.service.d/reuse-port.conf";
  assertEquals(await verify("konnichiwa@1.service", [dropIn]), { code: 0, text: "" });
});

test("systemd counts an exposure of at most 1.5 for konnichiwa.service, and the unit explains each point that is left", async () => {
  const { code, text } = await systemdAnalyze("security", "--offline=true", "--threshold=15", "--no-pager", unit);
  assertEquals(code, 0, text);
  const left = [...text.matchAll(/^✗ (\w+)=.* (\d\.\d)\s*$/gm)].map(([, name]) => name!);
  assert(left.length > 0, text);
  const explained = (await Deno.readTextFile(unit)).split("# Left open, and why.")[1]!;
  assertEquals(left.filter((name) => !explained.includes(`\n# ${name}= `)), []);
});
