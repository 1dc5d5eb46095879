/**
 * A long run: a mixed load at a fixed rate, and what becomes of answers, latency and memory, minute by minute.
 *
 *     deno run -A bench/soak.ts --minutes 10 --rate 3000 [--binary dist/konnichiwa]
 *
 * Requests are due at fixed times, whatever the service does, and latency is counted from when a request was due: a service
 * that stands still cannot hide it by being asked less. Exit code 1 if there was an error, or memory at the end is more than
 * 5 % above that after the third minute.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { connect, type Connection, get, percentile, sleep } from "../tests/faults/client.ts";
import { KEY, start } from "../tests/service.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    rate: { type: "string", default: "3000" },
    binary: { type: "string", default: "dist/konnichiwa" },
  },
});
const [minutes, rate] = [Number(values.minutes), Number(values.rate)];

const CONNECTIONS = 64;
/** Requests that are due within one tick are sent together: so much of the latency may be the generator's. */
const TICK_MS = 2;
/** Connections are opened anew after so many requests, so that opening and closing is part of the load. */
const REQUESTS_PER_CONNECTION = 2000;

const AUTHORIZED = { Authorization: `Bearer ${KEY}` };
/** Of a hundred requests, in this order again and again: what is asked, what must come. */
const MIX: readonly (readonly [request: string, status: number])[] = Array.from({ length: 100 }, (_, place) => {
  if (place % 50 === 7) return [get("/metrics", AUTHORIZED), 200];
  if (place % 20 === 3) return [get("/inspect"), 401];
  if (place % 20 === 13) return [get("/nothing"), 404];
  if (place % 10 === 5) return [get("/health"), 200];
  return place % 10 < 3 ? [get("/inspect", AUTHORIZED), 200] : [get("/"), 200];
});

/** What one minute brought. */
interface Minute {
  requests: number;
  errors: number;
  readonly milliseconds: number[];
}

await using service = await start({ command: [await Deno.realPath(values.binary)] });
const pool = await Promise.all(Array.from({ length: CONNECTIONS }, () => openLane()));
console.log(`${rate} requests a second for ${minutes} minutes, ${CONNECTIONS} connections`);
console.log("minute  requests  errors   p50 ms   p99 ms  p99.9 ms   max ms   MB resident");

let current = emptyMinute();
const memory: number[] = [];
let errors = 0;
const started = performance.now();
for (let sent = 0, minute = 1; minute <= minutes;) {
  await sleep(TICK_MS);
  const now = performance.now() - started;
  for (; sent < now / 1000 * rate && sent < minutes * 60 * rate; sent++) {
    pool[sent % CONNECTIONS]!.ask(MIX[Math.floor(sent / CONNECTIONS) % MIX.length]!, started + sent / rate * 1000);
  }
  if (now >= minute * 60_000) {
    await report(minute++, current);
    current = emptyMinute();
  }
}
await Promise.all(pool.map(({ idle }) => idle()));
errors += current.errors;

const third = memory[Math.min(2, memory.length - 1)]!;
const growth = (memory.at(-1)! / third - 1) * 100;
console.log(`${errors} errors; memory at the end ${growth.toFixed(1)} % above that after the third minute`);
pool.forEach(({ close }) => close());
service.kill();
const { code } = await service.ended;
console.log(`exit ${code}`);
if (errors > 0 || growth > 5 || code !== 0) Deno.exitCode = 1;

function emptyMinute(): Minute {
  return { requests: 0, errors: 0, milliseconds: [] };
}

async function report(minute: number, { requests, errors: failed, milliseconds }: Minute): Promise<void> {
  const status = await Deno.readTextFile(`/proc/${service.pid}/status`);
  const resident = Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024;
  memory.push(resident);
  errors += failed;
  const cells = [0.5, 0.99, 0.999, 1].map((share) => percentile(milliseconds, share).toFixed(2).padStart(8));
  console.log(
    `${String(minute).padStart(6)}  ${String(requests).padStart(8)}  ${String(failed).padStart(6)} ${cells.join(" ")}  ${
      resident.toFixed(1).padStart(10)
    }`,
  );
}

/** One connection at a time, and the requests that are due on it, in order. */
async function openLane() {
  let connection: Connection = await connect(service.port);
  let queue = Promise.resolve();
  let used = 0;

  async function askNow([request, wanted]: typeof MIX[number], due: number): Promise<void> {
    if (++used % REQUESTS_PER_CONNECTION === 0) {
      connection.close();
      connection = await connect(service.port);
    }
    const answer = await connection.ask(request);
    current.requests++;
    current.milliseconds.push(performance.now() - due);
    if (answer?.status === wanted) return;
    current.errors++;
    connection.close();
    connection = await connect(service.port);
  }

  return {
    ask: (what: typeof MIX[number], due: number) => {
      queue = queue.then(() => askNow(what, due)).catch(() => {
        current.errors++;
      });
    },
    idle: () => queue,
    close: () => connection.close(),
  };
}
