import { assert, assertEquals } from "@std/assert";
import { start } from "../service.ts";
import { connect, type Connection, get, sleep } from "./client.ts";
import { endOf, figure, LINUX, underTest, withDescriptors } from "./command.ts";

const LIMIT = 200;
const HELD = 400;
const EPISODES = 5;

Deno.test({
  name: `a service with ${LIMIT} descriptors serves on through ${EPISODES} episodes of ${HELD} connections${
    LINUX ? "" : " (skipped: needs /bin/sh)"
  }`,
  ignore: !LINUX,
  async fn() {
    await using service = await start({ command: withDescriptors(LIMIT, underTest.command) });
    using regular = await connect(service.port);
    const times: number[] = [];
    for (let episode = 1; episode <= EPISODES; episode++) {
      const held: Deno.Conn[] = [];
      for (let count = 0; count < HELD; count++) {
        const connection = await Deno.connect({ hostname: "127.0.0.1", port: service.port }).catch(() => null);
        if (connection) held.push(connection);
      }
      await service.line(() => failures(service.lines) >= episode, 5000);

      // Held for longer than an episode's pause, while others keep trying: still one line.
      for (let count = 0; count < 8; count++) {
        assertEquals((await regular.ask(get("/health")))?.status, 200, "an open connection is served");
        await tryOnce(service.port, 100);
        await sleep(200);
      }
      held.forEach((connection) => connection.close());
      const released = performance.now();
      while (!await tryOnce(service.port, 1000)) await sleep(10);
      times.push(performance.now() - released);
      await sleep(600);
    }
    const slowest = Math.max(...times);
    figure(`${underTest.name}: served again after ${Math.round(slowest)} ms at most, ${failures(service.lines)} log lines`);
    assert(slowest < 1000, `Served again after ${slowest} ms`);
    assertEquals(failures(service.lines), EPISODES);
    service.kill();
    assertEquals((await endOf(service)).code, 0, "and it stops as ever");
  },
});

function failures(lines: readonly string[]): number {
  return lines.filter((line) => line.includes("cannot accept")).length;
}

async function tryOnce(port: number, milliseconds: number): Promise<boolean> {
  let connection: Connection | null = null;
  try {
    connection = await connect(port);
    return (await connection.ask(get("/health"), milliseconds))?.status === 200;
  } catch {
    return false;
  } finally {
    connection?.close();
  }
}
