/**
 * The service with one route more, `/probe`: it tries what Deno's permissions let pass in a binary, and what only the kernel can
 * refuse: loading code from the disk (no permission is asked for there), and connecting (`net` is kept).
 *
 * All of it is tried before the door is closed, too. There it has to succeed: what fails in any case proves nothing.
 *
 * It is started with two more arguments before its own, the path of a folder with the files that are named below (N is 1 and 2:
 * a module that was loaded is not loaded again), and the URL of a server on this host.
 *
 * @module
 */

import { execFileSync } from "node:child_process";
import { connect } from "node:net";
import { Worker as ThreadWorker } from "node:worker_threads";
import type { Route } from "../../http/router.ts";
import { main } from "../../main.ts";
import { routes } from "../../routes/mod.ts";

const [folder = "", server = "", ...args] = Deno.args;
const library = "libc.so.6";

/** Each does what it says, and throws if it cannot. `turn` is 1 before the door is closed, and 2 after. */
const attempts: Record<string, (turn: 1 | 2) => unknown> = {
  "write a file": (turn) => Deno.writeTextFileSync(`${folder}/written-${turn}`, ""),
  "run a program with node:child_process": () => execFileSync("/bin/true"),
  "load a library": () => Deno.dlopen(library, { getpid: { parameters: [], result: "i32" } }).symbols.getpid(),
  "import a module of the disk": (turn) => import(`file://${folder}/outside-${turn}.js`),
  "import a JSON file of the disk": (turn) => import(`file://${folder}/outside-${turn}.json`, { with: { type: "json" } }),
  "run a worker from the disk": (turn) => worker(`file://${folder}/outside-worker-${turn}.js`),
  "run a thread from the disk": (turn) => thread(`${folder}/outside-thread-${turn}.cjs`),
  "fetch from a server": () => fetch(`${server}/`).then((response) => response.text()),
  "connect to a server": async () =>
    (await Deno.connect({ hostname: "127.0.0.1", port: Number(new URL(server).port) })).close(),
  "connect to a server with node:net": () =>
    new Promise((resolve, reject) => {
      const socket = connect(Number(new URL(server).port), "127.0.0.1", () => resolve(socket.destroy())).on("error", reject);
    }),
};

function worker(url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(url, { type: "module" });
    const settle = (done: () => void) => {
      worker.terminate();
      done();
    };
    worker.onmessage = () => settle(resolve);
    worker.onerror = (event) => {
      event.preventDefault();
      settle(() => reject(new Error(event.message)));
    };
  });
}

function thread(path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    new ThreadWorker(path).on("message", resolve).on("error", reject);
  });
}

/** Tries everything; for each name, `null` if it succeeded, else the error. */
async function tryAll(turn: 1 | 2): Promise<Record<string, string | null>> {
  const outcomes: Record<string, string | null> = {};
  for (const [name, attempt] of Object.entries(attempts)) {
    let timer: number | undefined;
    const patience = new Promise((_, reject) => timer = setTimeout(() => reject(new Error("nothing happened")), 3000));
    try {
      await Promise.race([attempt(turn), patience]);
      outcomes[name] = null;
    } catch (error) {
      outcomes[name] = String(error);
    }
    clearTimeout(timer);
  }
  return outcomes;
}

const before = await tryAll(1);

const probe: Route = {
  path: "/probe",
  handler() {
    const body = new ReadableStream<Uint8Array>({
      async start(controller) {
        const after = await tryAll(2);
        controller.enqueue(new TextEncoder().encode(JSON.stringify({ before, after })));
        controller.close();
      },
    });
    return new Response(body, { headers: { "Content-Type": "application/json" } });
  },
};

Deno.exit(await main(args, [...routes, probe]));
