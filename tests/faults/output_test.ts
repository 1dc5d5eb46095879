import { assert, assertEquals } from "@std/assert";
import { KEY } from "../service.ts";
import { connect, get, sleep } from "./client.ts";
import { figure, LINUX, underTest } from "./command.ts";

const INSPECT = get("/inspect", { Authorization: `Bearer ${KEY}` });
const METRICS = get("/metrics", { Authorization: `Bearer ${KEY}` });

/** Starts the service on a port that was free a moment ago, with nobody at its standard output but the caller. */
async function startSilently(command: readonly string[], stdout: "piped" | "null") {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const [program = "", ...args] = command;
  const process = new Deno.Command(program, {
    args,
    env: { API_KEY: KEY, HOST: "127.0.0.1", PORT: String(port), LOG_FORMAT: "json" },
    clearEnv: true,
    stdin: "null",
    stdout,
    stderr: "null",
  }).spawn();
  for (let tries = 0; tries < 100; tries++) {
    await sleep(50);
    const connection = await connect(port).catch(() => null);
    connection?.close();
    if (connection) return { port, process, [Symbol.dispose]: () => kill(process) };
  }
  process.kill("SIGKILL");
  throw new Error("The service does not listen");
}

function kill(process: Deno.ChildProcess): void {
  try {
    process.kill("SIGKILL");
  } catch { /* it has ended by itself, as it should */ }
}

async function isServed(port: number): Promise<boolean> {
  using connection = await connect(port);
  return (await connection.ask(INSPECT))?.status === 200;
}

/** Stops it; its exit code, and how long that took. */
async function stop(process: Deno.ChildProcess): Promise<{ code: number; milliseconds: number }> {
  const asked = performance.now();
  process.kill("SIGTERM");
  const deadline = setTimeout(() => kill(process), 10_000);
  const { code } = await process.status;
  clearTimeout(deadline);
  return { code, milliseconds: Math.round(performance.now() - asked) };
}

Deno.test({
  name: `a service whose standard output is closed from the start serves on, and stops with 0${
    LINUX ? "" : " (skipped: needs /bin/sh)"
  }`,
  ignore: !LINUX,
  async fn() {
    const command = ["/bin/sh", "-c", 'exec "$0" "$@" >&-', ...underTest.command];
    using service = await startSilently(command, "null");
    const { port, process } = service;
    for (let count = 0; count < 200; count++) assert(await isServed(port));
    const { code, milliseconds } = await stop(process);
    figure(`${underTest.name}: 200 requests served, exit ${code} after ${milliseconds} ms`);
    assertEquals(code, 0);
  },
});

Deno.test("a service whose log's reader is gone serves on, and stops with 0", async () => {
  using service = await startSilently(underTest.command, "piped");
  const { port, process } = service;
  await process.stdout.cancel();
  for (let count = 0; count < 200; count++) assert(await isServed(port));
  await sleep(1200); // the output is tried again
  assert(await isServed(port));
  const { code, milliseconds } = await stop(process);
  figure(`${underTest.name}: 201 requests served, exit ${code} after ${milliseconds} ms`);
  assertEquals(code, 0);
  assert(milliseconds < 5000);
});

Deno.test("a log that nobody reads is bounded: serving goes on, lines are dropped, counted, and reported once it is read again", async () => {
  using service = await startSilently(underTest.command, "piped");
  const { port, process } = service;
  using connection = await connect(port);
  const batch = 500;
  const requests = 20_000; // about 4 MB of lines
  for (let sent = 0; sent < requests; sent += batch) {
    const writing = connection.write(get("/").repeat(batch));
    for (let count = 0; count < batch; count++) assertEquals((await connection.answer())?.status, 200);
    assert(await writing);
  }
  const dropped = Number(/^konnichiwa_log_lines_dropped_total (\d+)$/m.exec((await connection.ask(METRICS))!.body)![1]);
  assert(dropped > 0 && dropped < requests, `${dropped} lines were dropped`);

  // Somebody reads again: what was kept, what was lost, and everything from then on.
  let text = "";
  const reading = process.stdout.pipeThrough(new TextDecoderStream()).pipeTo(
    new WritableStream({ write: (piece) => void (text += piece) }),
  );
  for (let tries = 0; tries < 250 && !text.includes("log lines were dropped"); tries++) {
    await connection.ask(get("/"));
    await sleep(20);
  }
  await connection.ask(get("/", { "X-Request-Id": "the-last-one" }));
  const { code, milliseconds } = await stop(process);
  await reading;
  const lines = text.trimEnd().split("\n").map((line) => JSON.parse(line));
  const reported = lines.filter(({ message }) => message.includes("log lines were dropped"));
  const kept = lines.filter(({ message }) => message === "request").length;
  const asked = JSON.parse(text.trimEnd().split("\n").at(-1)!).requests;
  figure(
    `${underTest.name}: ${requests} requests served, ${dropped} lines dropped, reported in ${reported.length} line, exit after ${milliseconds} ms`,
  );
  assertEquals(code, 0);
  const lost = reported.reduce((sum, { lines }) => sum + lines, 0);
  assert(lost >= dropped);
  assertEquals(kept + lost, asked, "every request has a line, or was counted");
  assert(lines.some(({ request_id }) => request_id === "the-last-one"));
});

Deno.test("a log that nobody reads does not hold up the exit", async () => {
  using service = await startSilently(underTest.command, "piped");
  const { port, process } = service;
  using connection = await connect(port);
  for (let sent = 0; sent < 10; sent++) {
    const writing = connection.write(get("/").repeat(200));
    for (let count = 0; count < 200; count++) assertEquals((await connection.answer())?.status, 200);
    assert(await writing);
  }
  const { code, milliseconds } = await stop(process);
  await process.stdout.cancel();
  figure(`${underTest.name}: exit ${code} after ${milliseconds} ms`);
  assertEquals(code, 0);
  assert(milliseconds < 3000);
});
