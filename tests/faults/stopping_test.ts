import { assert, assertEquals } from "@std/assert";
import { type RunningService, start } from "../service.ts";
import { type Answer, connect, type Connection, get, percentile, sleep } from "./client.ts";
import { endOf, figure, underTest } from "./command.ts";

const CLIENTS = 64;
/** STOPS=50 for the figure in the closing note. */
const STOPS = Number(Deno.env.get("STOPS") ?? 8);

/** What clients have seen around one stop. */
interface Seen {
  /** Requests written whole on an open connection. */
  sent: number;
  answered: number;
}

/**
 * Clients that ask one thing after the other, as the connections of a load balancer do. It moves away (opens no new
 * connection) after a 503 from `/health`, which it asks for ten times a second, or an answer with `Connection: close`.
 */
function loadBalancer(port: number, moves: boolean): { seen: Seen; done: Promise<unknown>; warm: Promise<unknown> } {
  const seen: Seen = { sent: 0, answered: 0 };
  let away = false;
  const open = () => connect(port).catch(() => null);

  /** `false`: the connection is not to be used any more. */
  async function ask(connection: Connection, path: string): Promise<boolean> {
    if (!await connection.write(get(path))) return false;
    seen.sent++;
    const answer = await connection.answer();
    if (answer === null) return false;
    seen.answered++;
    const closing = answer.headers.get("connection") === "close";
    if (closing || answer.status === 503) away ||= moves;
    return !closing;
  }

  async function client(warmed: () => void): Promise<void> {
    while (!away) {
      using connection = await open();
      if (connection === null) break;
      while (await ask(connection, "/")) warmed();
    }
  }

  async function probe(): Promise<void> {
    while (!away) {
      using connection = await open();
      if (connection === null) return;
      await ask(connection, "/health");
      await sleep(100);
    }
  }

  const warm: Promise<void>[] = [];
  const clients = Array.from({ length: CLIENTS }, () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    warm.push(promise);
    return client(resolve);
  });
  return { seen, done: Promise.all([...clients, probe()]), warm: Promise.all(warm) };
}

/** Stops a service under load: what was lost, and how long it took. */
async function stopOnce(drainSeconds: string, signal: Deno.Signal, moves: boolean) {
  await using service = await start({
    command: underTest.command,
    env: { DRAIN_SECONDS: drainSeconds, LOG_LEVEL: "debug" },
  });
  const { seen, done, warm } = loadBalancer(service.port, moves);
  await warm;
  await sleep(100 + 100 * Math.random());
  const asked = performance.now();
  service.kill(signal);
  const { code } = await endOf(service);
  const milliseconds = performance.now() - asked;
  await done;
  assertEquals(code, 0);
  const handled = service.lines.filter((line) => line.includes('"message":"request"')).length;
  return { ...seen, lost: seen.sent - seen.answered, handled, milliseconds };
}

Deno.test(`a service with DRAIN_SECONDS=1 loses no request of ${CLIENTS} busy clients in ${STOPS} stops`, async () => {
  let [sent, lost] = [0, 0];
  const times: number[] = [];
  for (let stop = 0; stop < STOPS; stop++) {
    const result = await stopOnce("1", stop % 2 ? "SIGINT" : "SIGTERM", true);
    [sent, lost] = [sent + result.sent, lost + result.lost];
    times.push(result.milliseconds);
  }
  figure(
    `${underTest.name}: ${STOPS} stops, ${sent} requests, ${lost} lost, exit after ${
      Math.round(percentile(times, 1))
    } ms at most`,
  );
  assertEquals(lost, 0);
  assert(percentile(times, 1) < 4000);
});

for (const [drain, moves] of [["1", false], ["0", true], ["0", false]] as const) {
  const clients = moves ? "clients that move away" : "clients that never move away";
  Deno.test(`a service with DRAIN_SECONDS=${drain} and ${clients} completes every answer that a handler made`, async () => {
    let [sent, lost] = [0, 0];
    const times: number[] = [];
    for (let stop = 0; stop < 4; stop++) {
      const result = await stopOnce(drain, "SIGTERM", moves);
      assertEquals(result.answered, result.handled);
      [sent, lost] = [sent + result.sent, lost + result.lost];
      times.push(result.milliseconds);
    }
    const slowest = Math.round(percentile(times, 1));
    figure(`${underTest.name}: 4 stops, ${sent} requests, ${lost} cut unread, exit after ${slowest} ms at most`);
    if (moves) assertEquals(lost, 0);
    else assert(lost <= 4 * 2 * CLIENTS, "at most those of connections that the kernel took after the last look");
  });
}

Deno.test("a service that drains says so at once: 503 with Retry-After from /health, Connection: close on every answer", async () => {
  await using service = await start({ command: underTest.command, env: { DRAIN_SECONDS: "1", SHUTDOWN_SECONDS: "2" } });
  using before = await connect(service.port);
  assertEquals((await before.ask(get("/")))?.headers.get("connection"), undefined);
  service.kill();
  await service.line((line) => line.includes("stopping"));
  const health = await askOnce(service, "/health");
  assertEquals(health?.status, 503);
  assertEquals(health?.headers.get("content-type"), "application/problem+json");
  assertEquals(health?.headers.get("retry-after"), "3");
  assertEquals(JSON.parse(health!.body).detail, "Service Unavailable");
  for (
    const answer of [await before.ask(get("/")), await askOnce(service, "/"), await askOnce(service, "/nothing"), health]
  ) {
    assertEquals(answer?.headers.get("connection"), "close");
  }
  assertEquals(await before.ask(get("/")), null, "and the connection is closed after it");
  assertEquals((await endOf(service)).code, 0);
});

Deno.test("connections that are idle, half-open or silent do not hold up the exit", async () => {
  await using service = await start({ command: underTest.command });
  const open: Connection[] = [];
  for (
    const text of [
      "",
      "GET",
      "GET / HTTP/1.1\r\nHost: a\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
      get("/"),
    ]
  ) {
    for (let count = 0; count < 20; count++) {
      const connection = await connect(service.port);
      await connection.write(text);
      open.push(connection);
    }
  }
  await sleep(200);
  const asked = performance.now();
  service.kill();
  const { code } = await endOf(service);
  const milliseconds = performance.now() - asked;
  open.forEach((connection) => connection.close());
  figure(`${underTest.name}: exit after ${Math.round(milliseconds)} ms with ${open.length} such connections`);
  assertEquals(code, 0);
  assert(milliseconds < 2000);
});

Deno.test("a client that pipelines 20,000 requests and reads nothing does not hold up the exit", async () => {
  await using service = await start({ command: underTest.command });
  const clients = await Promise.all(Array.from({ length: 4 }, () => connect(service.port)));
  // Most of it is never taken: the service stops reading where it cannot write.
  const writing = clients.map((client) => client.write(get("/").repeat(20_000)));
  await sleep(500);
  assertEquals((await askOnce(service, "/health"))?.status, 200);
  const asked = performance.now();
  service.kill();
  const { code } = await endOf(service);
  const milliseconds = performance.now() - asked;
  clients.forEach((client) => client.close());
  await Promise.all(writing);
  figure(`${underTest.name}: exit after ${Math.round(milliseconds)} ms`);
  assertEquals(code, 0);
  assert(milliseconds < 2000);
});

for (const [signal, number] of [["SIGTERM", 15], ["SIGINT", 2]] as const) {
  Deno.test(`a second signal, ${signal}, ends the service at once with exit code 128 + ${number}`, async () => {
    await using service = await start({ command: underTest.command, env: { DRAIN_SECONDS: "20" } });
    service.kill("SIGTERM");
    await service.line((line) => line.includes("stopping"));
    service.kill(signal);
    assertEquals((await endOf(service)).code, 128 + number);
  });
}

async function askOnce({ port }: RunningService, path: string): Promise<Answer | null> {
  using connection = await connect(port);
  return await connection.ask(get(path));
}
