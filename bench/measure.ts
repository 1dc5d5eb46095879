/**
 * Starting a server on one processor, loading it from another, and reading what the kernel counted.
 *
 * @module
 */

/** The servers run on the first, everything else on the second. */
export const [SERVER_CPU, LOAD_CPU] = ["0", "1"] as const;

/** A server that listens on 127.0.0.1. */
export interface Server {
  readonly pids: readonly number[];
  readonly port: number;
  /** From before the first process was made until the first answer had come. */
  readonly startMs: number;
  /** Whether one of its processes has ended. */
  readonly ended: boolean;
  stop(): Promise<void>;
}

/** How to start a server. */
export interface StartOptions {
  /** Program and arguments; `{port}` in them is replaced by the port, which is in the environment as `PORT` too. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Standard output and error are appended to `log` in it. */
  readonly directory: string;
  /** How many processes share the port. */
  readonly processes: number;
}

/** Between two looks at whether a server that starts answers already. */
const LOOK_MS = 1;
const START_LIMIT_MS = 20_000;
const STOP_LIMIT_MS = 15_000;

/**
 * Starts a server and waits for its first answer.
 *
 * @throws {Error} If it ends, or does not answer within 20 s.
 */
export async function start({ command, env, directory, processes }: StartOptions): Promise<Server> {
  const port = freePort();
  const args = command.map((argument) => argument.replaceAll("{port}", String(port)));
  const began = performance.now();
  const children = Array.from({ length: processes }, () =>
    new Deno.Command("sh", {
      // The shell gives its place to the server, so that the process id is the server's.
      args: ["-c", 'exec taskset -c "$0" "$@" >>log 2>&1', SERVER_CPU, ...args],
      cwd: directory,
      // What else is in the environment would configure some of them.
      clearEnv: true,
      env: { PATH: Deno.env.get("PATH") ?? "", HOME: Deno.env.get("HOME") ?? "/", ...env, PORT: String(port) },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn());
  let ended = false;
  children.forEach(({ status }) => status.then(() => ended = true));
  const server = {
    get ended() {
      return ended;
    },
    pids: children.map(({ pid }) => pid),
    port,
    async stop() {
      const limit = setTimeout(() => children.forEach((child) => kill(child, "SIGKILL")), STOP_LIMIT_MS);
      children.forEach((child) => kill(child, "SIGTERM"));
      await Promise.all(children.map(({ status }) => status));
      clearTimeout(limit);
    },
  };
  while (!await answers(port)) {
    if (ended || performance.now() - began > START_LIMIT_MS) {
      await server.stop();
      throw new Error(`No answer from ${args.join(" ")}:\n${await Deno.readTextFile(`${directory}/log`)}`);
    }
    await sleep(LOOK_MS);
  }
  return Object.assign(server, { startMs: performance.now() - began });
}

function kill(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch {
    // It has ended already.
  }
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function answers(port: number): Promise<boolean> {
  try {
    using connection = await Deno.connect({ hostname: "127.0.0.1", port });
    await connection.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    const buffer = new Uint8Array(512);
    const length = await connection.read(buffer) ?? 0;
    return new TextDecoder().decode(buffer.subarray(0, length)).startsWith("HTTP/1.1 200 ");
  } catch {
    return false;
  }
}

/** Clock ticks per second, in which `/proc/PID/stat` counts (sysconf(3), `_SC_CLK_TCK`). */
const TICKS = Number(await output("getconf", ["CLK_TCK"]));

/** Processor time of processes and of all that they started, in seconds; a step is a tick (10 ms). */
export function cpuSeconds(pids: readonly number[]): number {
  return sum(withDescendants(pids), (pid) => {
    const text = Deno.readTextFileSync(`/proc/${pid}/stat`);
    // The name of the program, in parentheses, may hold blanks. Then: state is field 3, utime 14, stime 15 (proc(5)).
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / TICKS;
  });
}

/** The same of threads that live, in steps of a nanosecond: for idle processes, which use less than a tick. */
export function fineCpuSeconds(pids: readonly number[]): number {
  return sum(
    withDescendants(pids),
    (pid) =>
      sum(
        [...Deno.readDirSync(`/proc/${pid}/task`)],
        ({ name }) => Number(Deno.readTextFileSync(`/proc/${pid}/task/${name}/schedstat`).split(" ")[0]) / 1e9,
      ),
  );
}

/** Resident memory of processes and of all that they started, in bytes. */
export function residentBytes(pids: readonly number[]): number {
  return sum(withDescendants(pids), (pid) => {
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`));
    return Number(kilobytes![1]) * 1024;
  });
}

function withDescendants(pids: readonly number[]): number[] {
  return pids.flatMap((pid) => {
    const children = [...Deno.readDirSync(`/proc/${pid}/task`)]
      .flatMap(({ name }) => Deno.readTextFileSync(`/proc/${pid}/task/${name}/children`).split(" "))
      .filter((child) => child.trim() !== "").map(Number);
    return [pid, ...withDescendants(children)];
  });
}

function sum<T>(values: readonly T[], of: (value: T) => number): number {
  return values.reduce((total, value) => total + of(value), 0);
}

/** What a load generator saw. */
export interface Load {
  readonly requests: number;
  readonly seconds: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
}

/** Keep-alive connections for each process of the server; each asks again as soon as it has its answer. */
export const CONNECTIONS = 32;

/**
 * Loads a server for some seconds with `wrk`.
 *
 * @param status What every answer has to be.
 * @throws {Error} If an answer is another one, or a connection breaks.
 */
export async function load(
  url: string,
  key: string | null,
  seconds: number,
  status: 200 | 401,
  connections = CONNECTIONS,
): Promise<Load> {
  const header = key === null ? [] : ["-H", `Authorization: Bearer ${key}`];
  const args = ["-t1", `-c${connections}`, `-d${seconds}s`, "--latency", ...header, url];
  const text = await output("taskset", ["-c", LOAD_CPU, "wrk", ...args]);
  // From a minute on, wrk writes 1.25m.
  const [, requests, took, unit] = /(\d+) requests in ([\d.]+)(s|m)/.exec(text)!;
  const failed = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0);
  if (text.includes("Socket errors") || failed !== (status === 200 ? 0 : Number(requests)) || requests === "0") {
    throw new Error(`Expected only answers with ${status} from ${url}:\n${text}`);
  }
  return {
    requests: Number(requests),
    seconds: Number(took) * (unit === "m" ? 60 : 1),
    p50: latency(text, "50%"),
    p99: latency(text, "99%"),
  };
}

function latency(text: string, share: string): number {
  const [, value, unit] = new RegExp(`^\\s+${share}\\s+([\\d.]+)(us|ms|s)$`, "m").exec(text)!;
  return Number(value) * { us: 0.001, ms: 1, s: 1000 }[unit as "us" | "ms" | "s"];
}

/**
 * Runs a program to its end.
 *
 * @returns What it wrote on standard output, or on standard error where that is nothing.
 * @throws {Error} If it fails, with what it wrote.
 */
export async function output(program: string, args: readonly string[], options: Deno.CommandOptions = {}): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { ...options, args: [...args] }).output();
  const [out, error] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes).trim());
  if (!success) throw new Error(`${program} ${args.join(" ")} failed:\n${out}\n${error}`);
  return out || error || "";
}

/** Waits. */
export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
