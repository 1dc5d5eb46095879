import { assert, assertEquals } from "@std/assert";
import { type RunningService, start } from "../service.ts";
import { bytesOf, get, parseAnswer, textOf } from "./client.ts";
import { figure, underTest } from "./command.ts";
import { type Case, corpus, MARKER } from "./corpus.ts";
import { mutate, randomFrom } from "./mutate.ts";

/** SEED=… and MUTATIONS=… for other and more of them. */
const SEED = Number(Deno.env.get("SEED") ?? 4711);
const MUTATIONS = Number(Deno.env.get("MUTATIONS") ?? 10_000);
/** How long nothing must come for "the service waits". */
const SILENCE_MS = 150;
/** What takes longer than this hangs. */
const HANG_MS = 10_000;

/** A connection of which every byte that came back is kept. */
async function open(port: number) {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const socket = { received: "", ended: false, send, until, finish: () => connection.closeWrite(), close };
  let look = () => {};
  const reading = (async () => {
    const buffer = new Uint8Array(65_536);
    try {
      for (let read; (read = await connection.read(buffer)) !== null;) {
        socket.received += textOf(buffer.subarray(0, read));
        look();
      }
    } catch { /* reset: ended, too */ }
    socket.ended = true;
    look();
  })();

  async function send(text: string): Promise<void> {
    try {
      const bytes = bytesOf(text);
      for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
    } catch { /* the service has closed it: what came back tells */ }
  }

  /** Whether `done` came true within so many milliseconds. */
  function until(done: () => boolean, milliseconds: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(done()), milliseconds);
      look = () => {
        if (!done()) return;
        clearTimeout(timer);
        resolve(true);
      };
      look();
    });
  }

  async function close(): Promise<void> {
    connection.close();
    await reading;
  }

  return socket;
}

const REQUEST_ID = /^[0-9a-f]{16}-\d+$/;

/** Every whole answer, as its status, checked for being of this connection's requests; and what is left over. */
function readAnswers(received: string, sent: string, heads: readonly boolean[]): { statuses: string[]; rest: string } {
  const statuses: string[] = [];
  for (let found; (found = parseAnswer(received, heads[statuses.length])) !== null;) {
    const { status, headers, body } = found.answer;
    assert(status >= 200 && status < 500, `Status ${status}`);
    const id = headers.get("x-request-id");
    if (id === undefined) assertEquals(body, "", "what the runtime answers by itself is empty");
    else {
      assert(REQUEST_ID.test(id) || sent.includes(id), `An answer with the id ${id}, which this connection has not sent`);
      assertEquals(headers.get("x-content-type-options"), "nosniff");
      assertEquals(headers.has("server"), false);
    }
    statuses.push(`${status}${heads[statuses.length] ? "h" : ""}`);
    received = received.slice(found.length);
  }
  return { statuses, rest: received };
}

/** The frames of an HTTP/2 answer that matter: the status of each answer, and what was refused. */
function readFrames(received: string): string {
  let text = "h2";
  for (let place = 0; place + 9 <= received.length;) {
    const at = (offset: number) => received.charCodeAt(place + offset);
    const [length, type] = [at(0) << 16 | at(1) << 8 | at(2), at(3)];
    // The first field is the status: indexed for 200, 204, 400 and 404 (RFC 7541, appendix A), else three digits.
    if (type === 1) {
      text += ` ${({ 0x88: 200, 0x89: 204, 0x8c: 400, 0x8d: 404 })[at(9)] ?? statusOf(received.slice(place + 9))}`;
    }
    if (type === 3) text += ` rst:${at(12)}`;
    if (type === 7) text += ` goaway:${at(16)}`;
    place += 9 + length;
  }
  return text;
}

/** Three digits in the code of RFC 7541, appendix B: 0 to 2 have five bits, 3 to 9 six, from 011001 on. */
function statusOf(block: string): string {
  let bits = Array.from(block.slice(2, 5), (byte) => byte.charCodeAt(0).toString(2).padStart(8, "0")).join("");
  let digits = "";
  while (digits.length < 3) {
    const short = parseInt(bits.slice(0, 5), 2);
    digits += short < 3 ? short : parseInt(bits.slice(0, 6), 2) - 22;
    bits = bits.slice(short < 3 ? 5 : 6);
  }
  return digits;
}

/** As long as the place it takes. */
function markerOf(place: number): string {
  return `m-${place.toString(36)}-${crypto.randomUUID().replaceAll("-", "")}`.slice(0, MARKER.length);
}

/** What one case of the corpus comes to, written as the corpus writes it. */
async function outcomeOf(port: number, [, sent, expected]: Case, marker: string): Promise<string> {
  const text = sent.replaceAll(MARKER, marker);
  const wanted = expected.split(" ").filter((word) => /^\d/.test(word));
  const heads = wanted.map((word) => word.endsWith("h"));
  const socket = await open(port);
  try {
    await socket.send(text);
    if (expected.startsWith("h2")) {
      const seen = () => readFrames(socket.received) + (socket.ended ? " end" : "");
      await socket.until(() => seen() === expected, HANG_MS);
      await socket.until(() => false, socket.ended ? 0 : SILENCE_MS);
      return seen();
    }
    const answers = () => readAnswers(socket.received, text, heads).statuses;
    await socket.until(
      () => socket.ended || answers().length >= Math.max(1, wanted.length),
      wanted.length > 0 ? HANG_MS : SILENCE_MS,
    );
    if (expected.endsWith("end")) await socket.until(() => socket.ended, HANG_MS);
    if (expected.endsWith("wait")) {
      await socket.until(() => socket.ended, SILENCE_MS);
      if (socket.ended) return [...answers(), "end"].join(" ");
      await socket.finish();
      return [...answers(), await socket.until(() => socket.ended, HANG_MS) ? "wait" : "hang"].join(" ");
    }
    if (socket.ended) return [...answers(), "end"].join(" ");

    // Open: the next request has to be answered as itself.
    const probe = `${marker}-probe`;
    await socket.send(get("/health", { "X-Request-Id": probe, "Connection": "close" }));
    const ended = await socket.until(() => socket.ended, HANG_MS);
    const { statuses, rest } = readAnswers(socket.received, text + probe, heads);
    const good = ended && rest === "" && statuses.pop() === "200" && socket.received.lastIndexOf(probe) > 0;
    return good ? statuses.join(" ") : `${statuses.join(" ")} and a connection that is out of step`;
  } finally {
    await socket.close();
  }
}

Deno.test(`the service answers each of ${corpus.length} broken and hostile requests as it must`, async () => {
  await using service = await start({ command: underTest.command });
  const wrong: string[] = [];
  const cases = corpus.entries();
  await inParallel(16, async () => {
    for (const [place, one] of cases) {
      const seen = await outcomeOf(service.port, one, markerOf(place)).catch((error) => error.message);
      if (seen !== one[2]) wrong.push(`${one[0]}: expected "${one[2]}", saw "${seen}"`);
    }
  });
  figure(`${underTest.name}: ${corpus.length} cases, ${wrong.length} wrong`);
  assertEquals(wrong, []);
  await assertUnharmed(service);
});

Deno.test(`${MUTATIONS} mutated requests (seed ${SEED}) get no 5xx, no hang, and no byte of another's answer`, async () => {
  await using service = await start({ command: underTest.command });
  const random = randomFrom(SEED);
  const bases = corpus.map(([, sent]) => sent).filter((sent) => sent.length < 5000);
  const choose = () => bases[random(bases.length)]!;
  const made = new Set<string>(); // the ids that the service has made: each belongs to one answer only
  const statuses = new Map<string, number>();
  let [left, answers] = [MUTATIONS, 0];
  const started = performance.now();
  await inParallel(64, async () => {
    while (left-- > 0) {
      const marker = markerOf(left);
      const base = choose();
      const text = mutate(base, choose(), random).replaceAll(MARKER, marker);
      const binary = text.startsWith("PRI");
      const sent = binary ? text : text + get("/health", { "X-Request-Id": marker, "Connection": "close" });
      const socket = await open(service.port);
      await socket.send(sent);
      if (!await socket.until(() => socket.ended, 50)) {
        await socket.finish();
        assert(await socket.until(() => socket.ended, HANG_MS), `A hang on ${JSON.stringify(text)}`);
      }
      await socket.close();
      const { received } = socket;
      const seen = received.startsWith("HTTP")
        ? [...received.matchAll(/HTTP\/1\.[01] (\d{3})/g)].map(([, status]) => status!)
        : readFrames(received).split(" ").filter((word) => /^\d{3}$/.test(word));
      for (const status of seen) {
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        assert(status < "500", `${status} on ${JSON.stringify(text)}`);
      }
      answers += seen.length;
      for (const [, id = ""] of received.matchAll(/x-request-id: (.*)\r\n/g)) {
        if (sent.includes(id)) continue;
        assert(REQUEST_ID.test(id) && !made.has(id), `An answer with the id ${id} on ${JSON.stringify(text)}`);
        made.add(id);
      }
    }
  });
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  const counts = [...statuses].sort().map(([status, count]) => `${count} × ${status}`).join(", ");
  figure(`${underTest.name}: ${MUTATIONS} connections in ${seconds} s, ${answers} answers: ${counts}`);
  await assertUnharmed(service);
});

/** The same process serves on, has logged no error and counted no 5xx. */
async function assertUnharmed(service: RunningService): Promise<void> {
  const response = await service.get("/inspect");
  assertEquals((await response.json()).process.pid, service.pid);
  const metrics = await (await service.get("/metrics")).text();
  assertEquals(metrics.match(/^http_requests_total\{.*status="5.*$/m), null);
  assertEquals(metrics.match(/^http_requests_in_flight (.*)$/m)?.[1], "1", "none but the request for the metrics");
  assertEquals(service.lines.filter((line) => /"level":"(error|warn)"/.test(line)), []);
}

async function inParallel(count: number, work: () => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: count }, work));
}
