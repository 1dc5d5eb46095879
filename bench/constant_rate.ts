/**
 * Asks a server at a constant rate, whether it keeps up or not, and tells how long answers took.
 *
 * Time counts from the moment at which a request was due, not from the one at which it could be sent: a generator that waits
 * for an answer before it asks again asks least while the server is slowest, and hides that ("coordinated omission").
 *
 * `deno run --allow-net bench/constant_rate.ts http://127.0.0.1:4000/ [--rate 1000] [--seconds 10] [--connections 32]`
 *
 * It never sleeps, so it takes a whole processor: timers are a millisecond coarse, which is ten times what is measured.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import { parseArgs } from "node:util";
import { quantile } from "./statistics.ts";

/** How to ask. */
export interface ConstantRateOptions {
  /** Requests per second. */
  readonly rate: number;
  readonly seconds: number;
  /** Opened before the first request and kept; with all of them waiting for an answer, what is due waits too, and that counts. */
  readonly connections: number;
}

/** Latencies in milliseconds, from the time at which a request was due. */
export interface Latencies {
  readonly requests: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  /** Share of the latencies that is the generator's own doing: how late it sent, 99th percentile. */
  readonly sentLateP99: number;
}

/** Left out at the beginning: connections and the generator's own code are cold. */
const WARM_UP_SECONDS = 1;

/**
 * Asks for one URL at a constant rate.
 *
 * @throws {Error} If an answer is not `200`, or a connection breaks.
 */
export async function askAtConstantRate(url: URL, options: ConstantRateOptions): Promise<Latencies> {
  const { rate, seconds, connections } = options;
  const request = new TextEncoder().encode(`GET ${url.pathname} HTTP/1.1\r\nHost: ${url.host}\r\n\r\n`);
  const count = Math.round(rate * (seconds + WARM_UP_SECONDS));
  const skipped = Math.round(rate * WARM_UP_SECONDS);
  const latencies = new Float64Array(count);
  const late = new Float64Array(count);
  const idle = await Promise.all(Array.from({ length: connections }, () => open(url)));
  const all = [...idle];
  let answered = 0;
  let failure: unknown;

  async function ask(connection: Connection, index: number, due: number): Promise<void> {
    late[index] = performance.now() - due;
    await connection.socket.write(request);
    await readAnswer(connection);
    latencies[index] = performance.now() - due;
    answered++;
    idle.push(connection);
  }

  try {
    const start = performance.now();
    for (let next = 0; answered < count && failure === undefined; await turn()) {
      const now = performance.now();
      for (let due; next < count && idle.length > 0 && (due = start + next * 1000 / rate) <= now; next++) {
        ask(idle.shift()!, next, due).catch((error) => failure ??= error);
      }
    }
    if (failure !== undefined) throw failure;
  } finally {
    for (const { socket } of all) socket.close();
  }

  const sorted = latencies.subarray(skipped).sort();
  return {
    requests: sorted.length,
    p50: quantile(sorted, 0.5),
    p99: quantile(sorted, 0.99),
    p999: quantile(sorted, 0.999),
    max: sorted.at(-1)!,
    sentLateP99: quantile(late.subarray(skipped).sort(), 0.99),
  };
}

interface Connection {
  readonly socket: Deno.TcpConn;
  readonly buffer: Uint8Array;
}

async function open({ hostname, port }: URL): Promise<Connection> {
  const socket = await Deno.connect({ hostname, port: Number(port || 80) });
  socket.setNoDelay(true);
  return { socket, buffer: new Uint8Array(16_384) };
}

const decoder = new TextDecoder("latin1");

async function readAnswer({ socket, buffer }: Connection): Promise<void> {
  let length = 0;
  let end = Infinity;
  while (length < end) {
    const read = await socket.read(buffer.subarray(length));
    if (read === null) throw new Error("The server closed the connection");
    length += read;
    if (end < Infinity) continue;
    const text = decoder.decode(buffer.subarray(0, length));
    const head = text.indexOf("\r\n\r\n");
    if (head === -1) continue;
    if (!text.startsWith("HTTP/1.1 200 ")) {
      throw new Error(`Expected 200, received "${text.slice(0, text.indexOf("\r\n"))}"`);
    }
    const contentLength = /\r\ncontent-length: *(\d+)/i.exec(text.slice(0, head));
    if (contentLength === null) throw new Error("Expected an answer with Content-Length");
    end = head + 4 + Number(contentLength[1]);
  }
}

/** One turn of the event loop, in which sockets are looked at; `setImmediate` is the only timer that does not wait. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    args: Deno.args,
    allowPositionals: true,
    options: {
      rate: { type: "string", default: "1000" },
      seconds: { type: "string", default: "10" },
      connections: { type: "string", default: "32" },
    },
  });
  const result = await askAtConstantRate(new URL(positionals[0] ?? "http://127.0.0.1:4000/"), {
    rate: Number(values.rate),
    seconds: Number(values.seconds),
    connections: Number(values.connections),
  });
  console.log(JSON.stringify(result));
}
