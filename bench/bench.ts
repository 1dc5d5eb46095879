/**
 * Compares the service with other servers: `deno task bench [--rounds 5] [--slices 3] [--starts 5] [--idle 20] [--only a,b]`.
 *
 * In each round all candidates run side by side, and are asked in turn, a second each, so that a machine that is slower for a
 * while is slower for all. The servers have one processor, the load generator another. Results go to `bench/RESULTS.md`,
 * `bench/results.json` and `bench/chart.svg`; with `--out DIR` elsewhere.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { type Candidate, KEY, type Missing, PATHS, prepare, WRONG_KEY } from "./candidates.ts";
import { drawChart } from "./chart.ts";
import {
  CONNECTIONS,
  cpuSeconds,
  fineCpuSeconds,
  load,
  LOAD_CPU,
  output,
  residentBytes,
  type Server,
  sleep,
  start,
} from "./measure.ts";
import type { Latencies } from "./constant_rate.ts";
import { type Figures, report, type Results } from "./report.ts";

/** The load that the reference was required to bear, in requests per second. */
const RATE = 1000;
const RATE_SECONDS = 5;
/** After so many requests memory has settled, and code is compiled as well as it will be. */
const WARM_UP_REQUESTS = 200_000;
/** Connections that are opened to see how two processes share them. */
const SHARED_CONNECTIONS = 200;
/** How long one candidate is loaded before it is the next one's turn. */
const SLICE_SECONDS = 1;
/** After the first answer: what belongs to starting has been done by then. */
const SETTLE_MS = 2000;

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    slices: { type: "string", default: "3" },
    starts: { type: "string", default: "5" },
    idle: { type: "string", default: "20" },
    "warm-up": { type: "string", default: String(WARM_UP_REQUESTS) },
    only: { type: "string" },
    out: { type: "string", default: decodeURIComponent(new URL(".", import.meta.url).pathname) },
  },
});

/** A candidate that runs, what it has been asked in this round, and what was measured. */
interface Runner {
  readonly candidate: Candidate;
  readonly directory: string;
  server: Server;
  readonly figures: Figures;
}

async function startOf({ name, command, env, processes }: Candidate, directory: string): Promise<[Server, string]> {
  const own = `${directory}/runs/${name}`;
  await Deno.mkdir(own, { recursive: true });
  return [await start({ command, env, processes, directory: own }), own];
}

/** Starts each once, asks for all that will be asked, and leaves out what does not answer as it should. */
async function check(candidates: readonly Candidate[], directory: string, missing: Missing[]): Promise<Candidate[]> {
  const able: Candidate[] = [];
  for (const candidate of candidates) {
    try {
      const [server, own] = await startOf(candidate, directory);
      try {
        await sleep(SETTLE_MS);
        if (server.ended) throw new Error(`it has ended: ${await Deno.readTextFile(`${own}/log`)}`);
        for (const path of candidate.paths) {
          const response = await fetch(`http://127.0.0.1:${server.port}${path}`, {
            headers: { Authorization: `Bearer ${KEY}` },
          });
          const text = await response.text();
          const expected = { "/": '{"message":"Konnichiwa"}', "/health": '"ok"', "/inspect": "{" }[path];
          if (response.status !== 200 || !text.trim().startsWith(expected)) throw new Error(`${path} answers ${text}`);
        }
      } finally {
        await server.stop();
      }
      able.push(candidate);
    } catch (error) {
      missing.push({ title: candidate.title, reason: (error as Error).message });
    }
  }
  return able;
}

async function round(candidates: readonly Candidate[], directory: string): Promise<Record<string, Figures>> {
  const runners: Runner[] = [];
  try {
    await measureStarts(candidates, directory, runners);
    await sleep(SETTLE_MS);
    await measureIdle(runners);
    for (const runner of runners) await warmUp(runner);
    await measureSlices(runners);
    for (const runner of runners) await measureConstantRate(runner);
    for (const runner of runners) await measureSharing(runner);
  } finally {
    await Promise.all(runners.map(({ server }) => server.stop()));
  }
  return Object.fromEntries(runners.map(({ candidate, figures }) => [candidate.name, figures]));
}

/** Starts every candidate several times, in turn; the last time it stays. */
async function measureStarts(candidates: readonly Candidate[], directory: string, runners: Runner[]): Promise<void> {
  const times = new Map<string, number[]>();
  for (let left = Number(options.starts); left > 0; left--) {
    for (const candidate of candidates) {
      const [server, own] = await startOf(candidate, directory);
      const measured = times.get(candidate.name) ?? [];
      times.set(candidate.name, [...measured, server.startMs]);
      if (left > 1) await server.stop();
      else runners.push({ candidate, directory: own, server, figures: {} });
    }
  }
  for (const { candidate, figures } of runners) {
    const sorted = times.get(candidate.name)!.toSorted((a, b) => a - b);
    figures["start"] = sorted[sorted.length >> 1]!;
  }
}

/** All at once: idle processes do not disturb each other. */
async function measureIdle(runners: readonly Runner[]): Promise<void> {
  const seconds = Number(options.idle);
  const before = runners.map(({ server }) => fineCpuSeconds(server.pids));
  await sleep(seconds * 1000);
  runners.forEach(({ server, figures }, index) => {
    figures["idle"] = (fineCpuSeconds(server.pids) - before[index]!) / seconds * 1000;
    figures["memory idle"] = residentBytes(server.pids);
  });
}

async function warmUp(runner: Runner): Promise<void> {
  const wanted = Number(options["warm-up"]);
  let [asked, rate] = [0, Infinity];
  while (asked < wanted) {
    // The first slice tells how fast it is.
    const seconds = Math.max(1, Math.round((wanted - asked) / rate));
    const { requests } = await load(urlOf(runner, "/"), null, seconds, 200);
    asked += requests;
    rate = requests / seconds;
  }
  runner.figures["memory loaded"] = residentBytes(runner.server.pids);
}

function urlOf({ server }: Runner, path: string): string {
  return `http://127.0.0.1:${server.port}${path}`;
}

/** CPU time per request, requests per second and latencies: in turn, a second each, several times. */
async function measureSlices(runners: readonly Runner[]): Promise<void> {
  const kinds = [...PATHS.map((path) => ({ path, name: path as string, key: KEY, status: 200 as const })), {
    path: "/inspect" as const,
    name: "refused",
    key: WRONG_KEY,
    status: 401 as const,
  }];
  const sums = new Map<string, { cpu: number; requests: number; seconds: number; p50: number[]; p99: number[] }>();
  for (let slice = 0; slice < Number(options.slices); slice++) {
    // Each is first in turn once, so that none always follows the same other.
    const order = runners.map((_, index) => runners[(index + slice) % runners.length]!);
    for (const { path, name, key, status } of kinds) {
      for (const runner of order) {
        const { candidate, server, directory } = runner;
        if (!candidate.paths.includes(path) || (status === 401 && !candidate.refuses)) continue;
        const before = cpuSeconds(server.pids);
        const seen = await load(
          urlOf(runner, path),
          path === "/inspect" ? key : null,
          SLICE_SECONDS,
          status,
          CONNECTIONS * candidate.processes,
        );
        const cpu = cpuSeconds(server.pids) - before;
        const id = `${candidate.name} ${name}`;
        const sum = sums.get(id) ?? { cpu: 0, requests: 0, seconds: 0, p50: [], p99: [] };
        sums.set(id, sum);
        sum.cpu += cpu;
        sum.requests += seen.requests;
        sum.seconds += seen.seconds;
        sum.p50.push(seen.p50);
        sum.p99.push(seen.p99);
        // A log of hundreds of megabytes would be written to the disk while somebody else's turn is measured.
        await Deno.truncate(`${directory}/log`);
      }
    }
  }
  for (const { candidate, figures } of runners) {
    for (const { name } of kinds) {
      const sum = sums.get(`${candidate.name} ${name}`);
      if (sum === undefined) continue;
      figures[`cpu ${name}`] = sum.cpu / sum.requests * 1e6;
      figures[`rate ${name}`] = sum.requests / sum.seconds;
      figures[`p50 ${name}`] = sum.p50.toSorted((a, b) => a - b)[sum.p50.length >> 1]!;
      figures[`p99 ${name}`] = sum.p99.toSorted((a, b) => a - b)[sum.p99.length >> 1]!;
    }
  }
}

async function measureConstantRate(runner: Runner): Promise<void> {
  const script = decodeURIComponent(new URL("constant_rate.ts", import.meta.url).pathname);
  const args = ["run", "--quiet", "--no-config", "--allow-net=127.0.0.1", script, urlOf(runner, "/")];
  const text = await output("taskset", [
    ...["-c", LOAD_CPU, Deno.execPath(), ...args],
    ...["--rate", String(RATE), "--seconds", String(RATE_SECONDS), "--connections", String(CONNECTIONS)],
  ]);
  const latencies: Latencies = JSON.parse(text);
  runner.figures["constant p50"] = latencies.p50;
  runner.figures["constant p99"] = latencies.p99;
  runner.figures["constant late"] = latencies.sentLateP99;
}

/** The share of the connections that the first of several processes serves. */
async function measureSharing(runner: Runner): Promise<void> {
  if (runner.candidate.processes < 2) return;
  let first = 0;
  for (let connection = 0; connection < SHARED_CONNECTIONS; connection++) {
    using client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
    const response = await fetch(urlOf(runner, "/inspect"), { client, headers: { Authorization: `Bearer ${KEY}` } });
    first += Number((await response.json()).process.pid === runner.server.pids[0]);
  }
  runner.figures["share"] = first / SHARED_CONNECTIONS * 100;
}

async function machine(): Promise<Results["machine"]> {
  const line = (text: string, name: string) => new RegExp(`^${name}\\s*: (.*)$`, "m").exec(text)?.[1] ?? "?";
  return {
    processor: line(await Deno.readTextFile("/proc/cpuinfo"), "model name"),
    processors: navigator.hardwareConcurrency,
    memory: Deno.systemMemoryInfo().total,
    system: `${Deno.build.os} ${Deno.osRelease()}`,
    generator:
      (await new Deno.Command("wrk", { args: ["-v"] }).output().then(({ stdout }) => new TextDecoder().decode(stdout)))
        .split(" [")[0]!,
  };
}

async function main(): Promise<void> {
  if (Deno.build.os !== "linux" || navigator.hardwareConcurrency < 2) {
    throw new Error("The comparison needs Linux and two processors: one for the server, one for the load");
  }
  const about = await machine();
  const directory = await Deno.makeTempDir({ prefix: "konnichiwa-bench-" });
  try {
    console.error("building …");
    const prepared = await prepare(directory);
    const only = options.only?.split(",");
    const asked = prepared.candidates.filter(({ name }) => only?.includes(name) ?? true);
    const candidates = await check(asked, directory, prepared.missing);
    // The driver itself stays off the servers' processor.
    await output("taskset", ["-a", "-c", "-p", LOAD_CPU, String(Deno.pid)]);
    const before = await Deno.readTextFile(`${options.out}/results.json`).then(JSON.parse, () => null);
    const results = {
      date: new Date().toISOString().slice(0, 10),
      machine: about,
      candidates: candidates.map(({ name, title, version }) => ({ name, title, version })),
      missing: prepared.missing,
      rounds: [] as Record<string, Figures>[],
    };
    for (let number = 1; number <= Number(options.rounds); number++) {
      console.error(`round ${number} of ${options.rounds}: ${candidates.map(({ name }) => name).join(", ")}`);
      results.rounds.push(await round(candidates, directory));
      await save(results, before); // after each round: it is a long way to the last
    }
    console.log(await Deno.readTextFile(`${options.out}/RESULTS.md`));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function save(results: Results, before: Results | null): Promise<void> {
  await Deno.writeTextFile(`${options.out}/results.json`, `${JSON.stringify(results, null, 1)}\n`);
  await Deno.writeTextFile(`${options.out}/RESULTS.md`, report(results, before));
  await Deno.writeTextFile(`${options.out}/chart.svg`, drawChart(results));
}

await main();
