import { assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import {
  answers,
  build,
  command,
  type Container,
  docker,
  KEY,
  megabytes,
  memoryOf,
  missing,
  read,
  root,
  test,
  uniqueName,
} from "./engine.ts";

const file = join(root, "compose.yaml");

/** Compose of its own, or as a plugin of Docker's client. */
async function findCompose(): Promise<string[] | null> {
  for (const compose of [["docker-compose"], ["docker", "compose"]]) {
    const [program = "", ...args] = compose;
    const version = await command(program, [...args, "version"]).catch(() => null);
    if (version?.code === 0) return compose;
  }
  return null;
}

const compose = missing ? null : await findCompose();
const noCompose = missing || (compose === null ? "no docker-compose" : "");

/** A port that was free a moment ago: the file wants a number. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Opens more connections than there are descriptors, and sends on each the longest header that is still read. */
async function endlessHeaders(port: number, container: Pick<Container, "read">): ReturnType<typeof memoryOf> {
  const header = new TextEncoder().encode(`GET / HTTP/1.1\r\nHost: localhost\r\nX-Endless: ${"a".repeat(400_000)}`);
  const connections: Deno.Conn[] = [];
  const writing: Promise<unknown>[] = [];
  const send = async (connection: Deno.Conn) => {
    for (let sent = 0; sent < header.length;) sent += await connection.write(header.subarray(sent));
  };
  for (let count = 0; count < 500; count++) {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    connections.push(connection);
    writing.push(send(connection).catch(() => {})); // one that is not accepted is closed below
  }
  await new Promise((resolve) => setTimeout(resolve, 5000));
  const memory = await memoryOf(container);
  connections.forEach((connection) => connection.close());
  await Promise.all(writing);
  return memory;
}

test(
  "compose accepts compose.yaml, and what it starts serves: hardened, with the key as a file, and 500 endless headers end nothing",
  async () => {
    const folder = await Deno.makeTempDir({ prefix: "konnichiwa-compose-" }); // only for its owner, as the file recommends
    const project = uniqueName();
    const port = freePort();
    // The image of the tests, under the name that the file gives it for this project only.
    const { image } = await build();
    const override = join(folder, "override.yaml");
    await Deno.writeTextFile(override, `version: "3.9"\nservices: { konnichiwa: { image: "${image}" } }\n`);
    await Deno.writeTextFile(join(folder, "api_key"), `${KEY}\n`, { mode: 0o444 });
    const [program = "", ...first] = compose!;
    const run = (...args: string[]) =>
      command(program, [...first, "--file", file, "--file", override, "--project-name", project, ...args], {
        env: { API_KEY_SECRET: join(folder, "api_key"), PORT: String(port), DOCKER_BUILDKIT: "0" },
        patience: 120_000,
      });
    try {
      const { code, stderr } = await command(program, [...first, "--file", file, "config", "--quiet"]);
      assertEquals({ code, stderr }, { code: 0, stderr: "" });
      const up = await run("up", "--detach", "--no-build");
      assertEquals(up.code, 0, up.stderr);
      const origin = `http://127.0.0.1:${port}`;
      await answers(origin);
      const response = await fetch(`${origin}/inspect`, { headers: { Authorization: `Bearer ${KEY}` } });
      assertEquals(response.status, 200);
      assertEquals((await response.json()).control_group.memory.limit, "256.00 MB");

      const id = (await run("ps", "--quiet")).stdout.trim();
      const [{ HostConfig, Config }] = JSON.parse(await docker("inspect", id));
      assertEquals(HostConfig.ReadonlyRootfs, true);
      assertEquals(HostConfig.CapDrop, ["ALL"]);
      assertEquals(HostConfig.PidsLimit, 64);
      assertEquals(HostConfig.RestartPolicy.Name, "unless-stopped");
      assertEquals(Config.Env.filter((line: string) => line.includes(KEY)), []);
      const status = await docker("exec", id, "cat", "/proc/1/status", "/proc/1/limits");
      assertMatch(status, /^Uid:\t65532\t/m);
      assertMatch(status, /^CapBnd:\t0+$/m);
      assertMatch(status, /^NoNewPrivs:\t1$/m);
      assertMatch(status, /^Max open files +256 +256 /m);

      const memory = await endlessHeaders(port, { read: (...paths) => read(id, ...paths) });
      console.log(`peak of memory with 500 endless headers: ${megabytes(memory.peak)} of 256 MB`);
      assertEquals(memory.kills, 0);
      // Started anew, it would have a control group of its own, with new figures.
      assertEquals(await docker("inspect", "--format", "{{.RestartCount}}", id), "0");
      await answers(origin);

      const begin = performance.now();
      assertEquals((await run("stop")).code, 0);
      assertEquals(await docker("inspect", "--format", "{{.State.ExitCode}}", id), "0");
      console.log(`stopped in ${((performance.now() - begin) / 1000).toFixed(2)} s`);
    } finally {
      await run("down", "--volumes", "--timeout", "2");
      await Deno.remove(folder, { recursive: true });
    }
  },
  noCompose,
);
