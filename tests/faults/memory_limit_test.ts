import { assert, assertEquals } from "@std/assert";
import { start } from "../service.ts";
import { connect, type Connection, get, sleep } from "./client.ts";
import { endOf, figure, underTest } from "./command.ts";

const LIMIT = 96 * 1024 * 1024;
/** Version 1; version 2 wants a writable subtree of one's own, which few machines give to a test. */
const GROUPS = "/sys/fs/cgroup/memory";
const group = `${GROUPS}/konnichiwa-test-${Deno.pid}`;
const possible = await makeGroup();

Deno.test({
  name: `a service with 96 MB serves 64 busy clients and holds 500 silent connections${
    possible ? "" : " (skipped: cannot make a memory control group)"
  }`,
  ignore: !possible,
  async fn() {
    await makeGroup();
    try {
      const command = ["/bin/sh", "-c", `echo $$ > ${group}/cgroup.procs; exec "$0" "$@"`, ...underTest.command];
      let answers = 0;
      {
        await using service = await start({ command });
        const silent: Connection[] = [];
        for (let count = 0; count < 500; count++) silent.push(await connect(service.port));
        const end = performance.now() + 5000;
        await Promise.all(Array.from({ length: 64 }, async () => {
          using client = await connect(service.port);
          while (performance.now() < end) {
            assert(await client.write(get("/").repeat(16)), "the service has not been killed");
            for (let count = 0; count < 16; count++) assertEquals((await client.answer())?.status, 200);
            answers += 16;
          }
        }));
        const { control_group, process } = await (await service.get("/inspect")).json();
        assertEquals([process.pid, control_group.memory.limit], [service.pid, "96.00 MB"]);
        silent.forEach((connection) => connection.close());
        service.kill();
        assertEquals((await endOf(service)).code, 0);
      }
      const most = Number(await Deno.readTextFile(`${group}/memory.max_usage_in_bytes`));
      figure(`${underTest.name}: ${answers} requests served, at most ${(most / 1024 / 1024).toFixed(1)} MB used`);
    } finally {
      await removeGroup();
    }
  },
});

async function makeGroup(): Promise<boolean> {
  try {
    await Deno.mkdir(group);
    await Deno.writeTextFile(`${group}/memory.limit_in_bytes`, String(LIMIT));
    return true;
  } catch {
    return false;
  }
}

async function removeGroup(): Promise<void> {
  for (let tries = 0; tries < 50; tries++) {
    try {
      return await Deno.remove(group);
    } catch {
      await sleep(100); // the last process is still on its way out
    }
  }
}
