import { assert } from "@std/assert";
import { start } from "../service.ts";
import { connect, type Connection, get, percentile, sleep } from "./client.ts";
import { figure, LINUX, underTest } from "./command.ts";

const CONNECTIONS = 5000;
const REQUEST = get("/health", { "X-Filler": "x".repeat(200) });

/** Opens them all: a third sends nothing, a third half a request, a third the next byte every second. */
async function openWave(port: number): Promise<{ connections: Connection[]; drip: number }> {
  const connections: Connection[] = [];
  for (let count = 0; count < CONNECTIONS; count += 50) {
    connections.push(...await Promise.all(Array.from({ length: 50 }, () => connect(port))));
  }
  const half = REQUEST.slice(0, REQUEST.length / 2);
  await Promise.all(connections.map((connection, place) => place % 3 === 1 ? connection.write(half) : null));
  let sent = 0;
  const drip = setInterval(() => {
    const byte = REQUEST.charAt(sent++);
    connections.forEach((connection, place) => place % 3 === 2 && connection.write(byte));
  }, 1000);
  return { connections, drip };
}

/** How long `/health` takes everyone else, in milliseconds: half on a connection of its own, half on a new one each time. */
async function probe(port: number, milliseconds: number): Promise<number[]> {
  const times: number[] = [];
  using kept = await connect(port);
  for (const start = performance.now(); performance.now() - start < milliseconds; await sleep(5)) {
    for (const fresh of [false, true]) {
      const asked = performance.now();
      const connection = fresh ? await connect(port) : kept;
      const answer = await connection.ask(get("/health"));
      times.push(performance.now() - asked);
      if (fresh) connection.close();
      assert(answer?.status === 200, "everyone else is served");
    }
  }
  return times;
}

async function resident(pid: number): Promise<number> {
  return Number(/VmRSS:\s+(\d+)/.exec(await Deno.readTextFile(`/proc/${pid}/status`))![1]);
}

Deno.test({
  name: `${CONNECTIONS} slow and silent connections leave everyone else's /health below 50 ms and cost 25 KB each${
    LINUX ? "" : " (skipped: reads /proc)"
  }`,
  ignore: !LINUX,
  async fn() {
    await using service = await start({ command: underTest.command });
    await probe(service.port, 500);
    const before = await resident(service.pid);
    const memory: number[] = [];
    for (const wave of ["first", "second"]) {
      const { connections, drip } = await openWave(service.port);
      const times = await probe(service.port, 5000);
      const more = await resident(service.pid) - before;
      memory.push(more);
      clearInterval(drip);
      connections.forEach((connection) => connection.close());
      await sleep(8000); // memory is given back every five seconds
      const left = await resident(service.pid) - before;
      const [count, p99, slowest] = [times.length, percentile(times, 0.99), percentile(times, 1)];
      figure(
        `${underTest.name}: ${wave} wave, ${
          (more / CONNECTIONS).toFixed(1)
        } KB a connection, ${count} requests to /health, ` +
          `99 % within ${p99.toFixed(1)} ms, all within ${slowest.toFixed(0)} ms; ${
            (left / 1024).toFixed(0)
          } MB left after it`,
      );
      assert(p99 < 50, `99 % within ${p99} ms`);
      assert(more / CONNECTIONS <= 25, `${more / CONNECTIONS} KB a connection`);
    }
    assert(memory[1]! <= 1.1 * memory[0]!, `${memory[1]} KB in the second wave, ${memory[0]} KB in the first`);
  },
});
