/**
 * Starts the real service as a process of its own, and talks to it over a real socket.
 *
 * @module
 */

/** A key that all tests use; long enough to be kept out of the log. */
export const KEY = "a-key-of-the-tests-4711";

/** How to start it. */
export interface StartOptions {
  /** Flags and command; none by default. */
  readonly args?: readonly string[];
  /** Nothing else of the environment is passed on but what Deno itself needs. `null` takes a default away. */
  readonly env?: Readonly<Record<string, string | null>>;
  /** The working directory; a new empty one by default. */
  readonly cwd?: string;
  /** The program and its first arguments; by default `deno run main.ts`. */
  readonly command?: readonly string[];
}

/** A service that runs. */
export interface RunningService extends AsyncDisposable {
  readonly pid: number;
  /** Such as `http://127.0.0.1:40213`. */
  readonly origin: string;
  readonly port: number;
  /** Lines on standard output so far. */
  readonly lines: readonly string[];
  /** Asks for a path with the key of the tests. */
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  /** Sends bytes as they are and returns all that comes back until the service closes the connection, or `milliseconds` pass. */
  raw(request: string, milliseconds?: number): Promise<string>;
  /** Waits for a line that `wanted` accepts. */
  line(wanted: (line: string) => boolean, milliseconds?: number): Promise<string>;
  /** Sends a signal. */
  kill(signal?: Deno.Signal): void;
  /** Resolves when the process has ended. */
  readonly ended: Promise<Ended>;
}

/** How a process ended, and what it had written. */
export interface Ended {
  readonly code: number;
  /** The signal that ended it; `null` where it ended by itself, with 128 + n too. */
  readonly signal: Deno.Signal | null;
  readonly stdout: string;
  readonly stderr: string;
}

// As a path: in a URL a blank in the name of a folder is written as %20.
const root = decodeURIComponent(new URL("..", import.meta.url).pathname);

/** Runs the service from source. */
export const FROM_SOURCE: readonly string[] = [
  Deno.execPath(),
  "run",
  "--allow-all",
  "--no-prompt",
  "--quiet",
  `--config=${root}deno.json`,
  `--lock=${root}deno.lock`,
  "--frozen",
  `${root}main.ts`,
];

function spawn(
  { args = [], env = {}, cwd, command = FROM_SOURCE }: StartOptions,
): { process: Deno.ChildProcess; cwd: string } {
  const directory = cwd ?? Deno.makeTempDirSync({ prefix: "konnichiwa-" });
  const variables: Record<string, string> = {};
  for (const name of ["HOME", "PATH", "DENO_DIR"]) {
    const value = Deno.env.get(name);
    if (value !== undefined) variables[name] = value;
  }
  const settings = { API_KEY: KEY, HOST: "127.0.0.1", PORT: "0", LOG_FORMAT: "json", DENO_TLS_CA_STORE: "system,mozilla" };
  for (const [name, value] of Object.entries({ ...settings, ...env })) {
    if (value === null) delete variables[name];
    else variables[name] = value;
  }
  const [program = "", ...first] = command;
  const process = new Deno.Command(program, {
    args: [...first, ...args],
    env: variables,
    clearEnv: true,
    cwd: directory,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  return { process, cwd: directory };
}

/** Runs it to its end: for commands and for what must not start. It is ended after ten seconds. */
export async function run(options: StartOptions): Promise<Ended> {
  const { process, cwd } = spawn(options);
  const deadline = setTimeout(() => process.kill("SIGKILL"), 10_000);
  const { code, signal, stdout, stderr } = await process.output();
  clearTimeout(deadline);
  if (options.cwd === undefined) await Deno.remove(cwd, { recursive: true });
  const decoder = new TextDecoder();
  return { code, signal, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/**
 * Starts it and waits until it listens.
 *
 * @throws {Error} With what it wrote, if it ends instead.
 */
export async function start(options: StartOptions = {}): Promise<RunningService> {
  const { process, cwd } = spawn(options);
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const stdout = readLines(process.stdout, (line) => {
    lines.push(line);
    waiting.forEach((look) => look());
  });
  const stderr = new Response(process.stderr).text();
  const ended = Promise.all([process.status, stdout, stderr]).then(async ([{ code, signal }, stdout, stderr]) => {
    if (options.cwd === undefined) await Deno.remove(cwd, { recursive: true });
    return { code, signal, stdout, stderr };
  });
  let over: Ended | null = null;
  ended.then((end) => {
    over = end;
    waiting.forEach((look) => look());
  });

  function line(wanted: (line: string) => boolean, milliseconds = 10_000): Promise<string> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void) => {
        clearTimeout(timer);
        waiting.delete(look);
        settle();
      };
      const timer = setTimeout(
        () => finish(() => reject(new Error(`No such line within ${milliseconds} ms:\n${lines.join("\n")}`))),
        milliseconds,
      );
      const look = () => {
        const found = lines.find(wanted);
        if (found !== undefined) finish(() => resolve(found));
        else if (over) {
          finish(() => reject(new Error(`The service ended with ${over!.code}:\n${over!.stdout}${over!.stderr}`)));
        }
      };
      waiting.add(look);
      look();
    });
  }

  const listening = await line((text) => text.includes("listening")).catch(async (error) => {
    if (!over) process.kill("SIGKILL");
    await ended;
    throw error;
  });
  const address = /https?:\/\/[^" ]+:\d+/.exec(listening)![0];
  const origin = address.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]");
  const { hostname, port } = new URL(origin);

  return {
    pid: process.pid,
    origin,
    port: Number(port),
    lines,
    line,
    ended,
    get: (path, headers = {}) => fetch(`${origin}${path}`, { headers: { Authorization: `Bearer ${KEY}`, ...headers } }),
    async raw(request, milliseconds = 300) {
      using connection = await Deno.connect({ hostname: hostname.replace(/^\[|\]$/g, ""), port: Number(port) });
      return await exchange(connection, request, milliseconds);
    },
    kill: (signal = "SIGTERM") => process.kill(signal),
    async [Symbol.asyncDispose]() {
      if (!over) process.kill("SIGKILL");
      await ended;
    },
  };
}

/** Writes bytes (one for each character of `request`) and reads until the other side closes, or `milliseconds` pass. */
export async function exchange(connection: Deno.Conn, request: string, milliseconds: number): Promise<string> {
  let answer = "";
  const timer = setTimeout(() => connection.close(), milliseconds);
  try {
    const bytes = Uint8Array.from(request, (character) => character.charCodeAt(0));
    for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
    const buffer = new Uint8Array(65_536);
    for (let read; (read = await connection.read(buffer)) !== null;) {
      answer += String.fromCharCode(...buffer.subarray(0, read));
    }
  } catch {
    // Closed, by the timer or by the other side: what has come counts.
  } finally {
    clearTimeout(timer);
  }
  return answer;
}

async function readLines(stream: ReadableStream<Uint8Array>, take: (line: string) => void): Promise<string> {
  let all = "";
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    all += text;
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    lines.forEach(take);
  }
  return all;
}
