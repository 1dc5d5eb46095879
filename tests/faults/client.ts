/**
 * A client that sends what it is told, byte by byte, and sees what comes back.
 *
 * @module
 */

/** One HTTP/1 answer, whole. */
export interface Answer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** A connection on which one request is sent after the other. */
export interface Connection extends Disposable {
  /** Writes; resolves to false if the other side had closed. */
  write(text: string): Promise<boolean>;
  /** The next whole answer; `null` when the other side closes before, or `milliseconds` pass. */
  answer(milliseconds?: number): Promise<Answer | null>;
  /** `write()`, then `answer()`. */
  ask(text: string, milliseconds?: number): Promise<Answer | null>;
  close(): void;
}

/** Opens a connection to the loopback address. */
export async function connect(port: number): Promise<Connection> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const buffer = new Uint8Array(16_384);
  let received = "";
  let open = true;

  function close(): void {
    if (open) connection.close();
    open = false;
  }

  async function write(text: string): Promise<boolean> {
    try {
      const bytes = bytesOf(text);
      for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
      return true;
    } catch {
      return false;
    }
  }

  async function answer(milliseconds = 10_000): Promise<Answer | null> {
    const timer = setTimeout(close, milliseconds);
    try {
      while (true) {
        const found = parseAnswer(received);
        if (found) {
          received = received.slice(found.length);
          return found.answer;
        }
        const read = await connection.read(buffer);
        if (read === null) return null;
        received += textOf(buffer.subarray(0, read));
      }
    } catch {
      return null; // reset, or closed by the timer
    } finally {
      clearTimeout(timer);
    }
  }

  return {
    write,
    answer,
    close,
    ask: async (text, milliseconds) => await write(text) ? await answer(milliseconds) : null,
    [Symbol.dispose]: close,
  };
}

/** A whole request. */
export function get(path: string, headers: Record<string, string> = {}): string {
  const lines = Object.entries({ Host: "localhost", ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`;
}

/** The first answer in what was received, and how many bytes it took; `null` while it is not whole. */
export function parseAnswer(text: string, toHead = false): { answer: Answer; length: number } | null {
  const end = text.indexOf("\r\n\r\n");
  if (end === -1) return null;
  const [first = "", ...lines] = text.slice(0, end).split("\r\n");
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1] ?? NaN);
  const headers = new Map(lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
  }));
  const empty = toHead || status < 200 || status === 204 || status === 304;
  const length = end + 4 + (empty ? 0 : Number(headers.get("content-length") ?? 0));
  if (text.length < length) return null;
  return { answer: { status, headers, body: text.slice(end + 4, length) }, length };
}

/** One byte for each character. */
export function bytesOf(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place++) bytes[place] = text.charCodeAt(place);
  return bytes;
}

/** One character for each byte. */
export function textOf(bytes: Uint8Array): string {
  let text = "";
  for (let place = 0; place < bytes.length; place += 8192) {
    text += String.fromCharCode(...bytes.subarray(place, place + 8192));
  }
  return text;
}

/** The value below which `share` (0 to 1) of all values lie; sorts them. */
export function percentile(values: number[], share: number): number {
  values.sort((a, b) => a - b);
  return values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? NaN;
}

/** Waits. */
export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
