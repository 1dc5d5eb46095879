import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type RunningService, start } from "../service.ts";
import { connect, get, sleep } from "./client.ts";
import { endOf, figure, fixture } from "./command.ts";

const OPEN = 3;

/** Stops a service with a second for open requests while three are open that take so many milliseconds. */
async function stopWithOpenRequests(service: RunningService, milliseconds: number) {
  const connections = await Promise.all(Array.from({ length: OPEN }, () => connect(service.port)));
  const answers = connections.map((connection) => connection.ask(get(`/slow?ms=${milliseconds}`)));
  await sleep(200);
  const asked = performance.now();
  service.kill();
  const { code } = await endOf(service);
  const took = performance.now() - asked;
  const answered = (await Promise.all(answers)).filter((answer) => answer?.status === 204).length;
  connections.forEach((connection) => connection.close());
  return { code, took, answered, last: JSON.parse(service.lines.at(-1)!) };
}

Deno.test("open requests are finished within SHUTDOWN_SECONDS, and the exit code is 0", async () => {
  await using service = await start({ command: fixture("faulty.ts"), env: { SHUTDOWN_SECONDS: "5" } });
  const { code, took, answered, last } = await stopWithOpenRequests(service, 1000);
  figure(`source: ${answered} of ${OPEN} finished, exit ${code} after ${Math.round(took)} ms`);
  assertEquals([code, answered, last.message], [0, OPEN, "stopped"]);
});

Deno.test("requests open past SHUTDOWN_SECONDS are cut and counted, and the exit code is 1", async () => {
  await using service = await start({ command: fixture("faulty.ts"), env: { SHUTDOWN_SECONDS: "1" } });
  const { code, took, answered, last } = await stopWithOpenRequests(service, 30_000);
  figure(`source: ${last.requests} of ${OPEN} cut, exit ${code} after ${Math.round(took)} ms`);
  assertEquals([code, answered, last.level, last.requests], [1, 0, "error", OPEN]);
  assert(took >= 950 && took < 5000);
});

Deno.test("a handler that throws later than at once costs one 500 and one log line, too", async () => {
  await using service = await start({ command: fixture("faulty.ts") });
  using connection = await connect(service.port);
  const answer = await connection.ask(get("/reject-late", { "X-Request-Id": "late" }));
  assertEquals([answer?.status, answer?.headers.get("x-request-id")], [500, "late"]);
  assertStringIncludes(await service.line((line) => line.includes("a handler failed")), "boom later");
});
