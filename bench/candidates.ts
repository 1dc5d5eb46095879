/**
 * The servers that are compared, and how each is made ready.
 *
 * @module
 */

import { output } from "./measure.ts";

/** A server to be measured. */
export interface Candidate {
  readonly name: string;
  /** As the tables call it. */
  readonly title: string;
  /** Program and arguments; `{port}` stands for the port, which is in the environment as `PORT` too. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Paths that are asked for. */
  readonly paths: readonly Path[];
  /** Whether a wrong key is measured too. */
  readonly refuses: boolean;
  readonly processes: number;
  /** What is compared, for the record. */
  readonly version: string;
}

export const PATHS = ["/", "/health", "/inspect"] as const;
export type Path = typeof PATHS[number];

/** A candidate that cannot be measured here, and why. */
export interface Missing {
  readonly title: string;
  readonly reason: string;
}

/** Two keys of the same length: one is right. */
export const KEY = "a-key-of-the-benchmark-4711";
export const WRONG_KEY = "a-key-of-the-benchmark-4712";

const root = new URL("..", import.meta.url).pathname;
const peers = decodeURIComponent(new URL("peers/", import.meta.url).pathname);
const COMPILE = ["compile", "--quiet", "--allow-all", "--no-prompt", "--no-code-cache"];

/** Builds what has to be built into `directory`. */
export async function prepare(directory: string): Promise<{ candidates: Candidate[]; missing: Missing[] }> {
  const candidates: Candidate[] = [];
  const missing: Missing[] = [];

  async function add(title: string, make: () => Promise<Candidate | Candidate[]>): Promise<void> {
    try {
      candidates.push(...[await make()].flat());
    } catch (error) {
      missing.push({ title, reason: (error as Error).message });
    }
  }

  const ours = await buildOurs(directory);
  const version = await output(ours, ["--version"]);
  const env = { API_KEY: KEY, HOST: "127.0.0.1" };
  const service = { command: [ours], env, paths: PATHS, refuses: true, processes: 1, version };
  candidates.push(
    { ...service, name: "service", title: "konnichiwa, defaults" },
    { ...service, name: "quiet", title: "konnichiwa, access lines off", env: { ...env, LOG_LEVEL: "warn" } },
  );
  await add("konnichiwa, two processes on one port", async () => {
    if (!(await output(ours, ["--help"])).includes("--reuse-port")) {
      throw new Error("not available: no flag --reuse-port yet");
    }
    return {
      ...service,
      name: "pair",
      title: "konnichiwa, two processes on one port",
      command: [ours, "--reuse-port"],
      paths: ["/"],
      refuses: false,
      processes: 2,
    };
  });

  const peer = { env: { API_KEY: KEY }, paths: PATHS, refuses: false, processes: 1 };
  await add("bare Deno.serve (the floor)", async () => {
    await output(Deno.execPath(), [...COMPILE, "--no-config", "-o", `${directory}/floor`, `${peers}floor.ts`]);
    return {
      ...peer,
      name: "floor",
      title: "bare `Deno.serve` (the floor)",
      command: [`${directory}/floor`],
      version: `Deno ${Deno.version.deno}`,
    };
  });
  await add("Go net/http", async () => {
    await output("go", ["build", "-o", `${directory}/go`, `${peers}main.go`]);
    const version = (await output("go", ["version"])).split(" ")[2]!;
    return { ...peer, name: "go", title: "Go `net/http`", command: [`${directory}/go`], version };
  });
  await add("node:http", async () => ({
    ...peer,
    name: "node",
    title: "`node:http`",
    command: ["node", `${peers}node_http.mjs`],
    version: `Node.js ${await output("node", ["--version"])}`,
  }));
  // What `pip install fastapi uvicorn psutil` gives, as the reference had it; and with the two packages that make it faster.
  for (const fast of [false, true]) {
    const title = `FastAPI and psutil on uvicorn${fast ? " with uvloop and httptools" : ""}, access lines off`;
    await add(title, async () => {
      const { python, version } = await findPython(fast);
      const parts = fast ? ["--loop", "uvloop", "--http", "httptools"] : ["--loop", "asyncio", "--http", "h11"];
      const address = ["--app-dir", peers, "--host", "127.0.0.1", "--port", "{port}"];
      return {
        ...peer,
        name: fast ? "fastapi-fast" : "fastapi",
        title,
        command: [python, "-m", "uvicorn", ...address, ...parts, "--no-access-log", "app:app"],
        env: { ...peer.env, PYTHONDONTWRITEBYTECODE: "1" },
        version,
      };
    });
  }
  await add("nginx", async () => {
    const version = (await output("nginx", ["-v"])).replace("nginx version: ", "");
    const configuration = await Deno.readTextFile(`${peers}nginx.conf`);
    await Deno.writeTextFile(`${directory}/nginx.conf`, configuration);
    // nginx reads no environment: the port goes into a copy of its configuration when it starts.
    const command = ["sh", "-c", 'sed "s/PORT/$PORT/" ../../nginx.conf >nginx.conf && exec nginx -p . -c nginx.conf'];
    return { ...peer, name: "nginx", title: "nginx, `return 200` (the limit)", command, paths: ["/", "/health"], version };
  });
  return { candidates, missing };
}

async function buildOurs(directory: string): Promise<string> {
  const { tasks } = JSON.parse(await Deno.readTextFile(`${root}deno.json`));
  if (tasks.compile) {
    await output(Deno.execPath(), ["task", "compile"], { cwd: root });
    return `${root}dist/konnichiwa`;
  }
  const path = `${directory}/konnichiwa`;
  await output(Deno.execPath(), [...COMPILE, "--lock=deno.lock", "--frozen", "-o", path, "main.ts"], { cwd: root });
  return path;
}

/** The first Python that has all packages: a version manager's is often before the system's, and has none. */
async function findPython(fast: boolean): Promise<{ python: string; version: string }> {
  const packages = ["fastapi", "uvicorn", "psutil", ...(fast ? ["uvloop", "httptools"] : [])];
  const script = `import sys, ${packages.join(", ")}
print("Python " + sys.version.split()[0], *(f", {m.__name__} {m.__version__}" for m in (${packages.join(", ")})), sep="")`;
  for (const python of ["python3", "/usr/bin/python3"]) {
    try {
      return { python, version: await output(python, ["-c", script]) };
    } catch {
      // This one lacks something, or is not there.
    }
  }
  throw new Error(`no Python with the packages ${packages.join(", ")}`);
}
