/**
 * The service's log: one line for each event, on standard output.
 *
 * Lines are gathered and written together. A reader that has stopped reading never stops the service: what does not fit into
 * a bounded queue is dropped and counted.
 *
 * @module
 */

/** From the least to the most serious. */
export const LEVELS = ["debug", "info", "warn", "error"] as const;
export type Level = typeof LEVELS[number];

export const FORMATS = ["json", "text"] as const;
export type Format = typeof FORMATS[number];

/** What an event carries besides its message; `undefined` is left out. */
export type Fields = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** Takes events. */
export interface Log {
  /** Whether events of this level are written at all. */
  enabled(level: Level): boolean;
  log(level: Level, message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
  /** Makes text from outside fit for the log: bounded, without control characters, without a key. */
  clean(text: string): string;
  /** Tells text that a key is in. */
  isSecret(text: string): boolean;
  /** Lines lost so far because nobody took them. */
  readonly dropped: number;
  /** Writes what is gathered; resolves when it is written, or after `milliseconds` if nobody takes it. */
  flush(milliseconds: number): Promise<void>;
}

/** How a log is made. */
export interface LogOptions {
  readonly format: Format;
  readonly level: Level;
  /** Colours, in text. */
  readonly color: boolean;
  /** Never written, whatever a client sends. */
  readonly keys: readonly string[];
  /** Where the lines go: standard output. */
  readonly output: { write(bytes: Uint8Array): Promise<number> };
}

/** A line waits at most this long for others. */
const GATHER_MS = 50;
/** Written at once when there is this much, in characters: larger batches are not cheaper. */
const BATCH_LENGTH = 32_768;
/** More than this, in characters, is not kept: a few thousand lines. */
const QUEUE_LENGTH = 1_048_576;
/** After an output failed (its reader is gone, the disk is full), it is tried again after this time. */
const RETRY_MS = 1000;
/** Text from outside is cut after this many characters. */
const FIELD_LENGTH = 256;
/** A shorter key is looked for as a whole only: API_KEY=k would hide every path with a k in it. */
const SECRET_LENGTH = 8;

/** What nearly all clients send, and may be written as it is. */
const PLAIN = /^[\x20-\x7e]*$/;
/** Control characters, and what Unicode has besides: invisible ones, such as turn text around, and ends of lines. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

/** Makes a log. */
export function createLog({ format, level, color, keys, output }: LogOptions): Log {
  const encoder = new TextEncoder();
  const enabled = new Set(LEVELS.slice(LEVELS.indexOf(level)));
  // What is cut off is not searched: how long that takes tells of the key, and of 400 KB it would tell much.
  const searched = FIELD_LENGTH + Math.max(...keys.map((key) => key.length));
  const render = format === "json" ? renderJson : color ? renderColoredText : renderText;
  let gathered = "";
  let timer: ReturnType<typeof setTimeout> | undefined;
  let writing: Promise<void> | null = null;
  let dropped = 0;
  let reported = 0;

  function add(line: string): void {
    if (gathered.length + line.length > QUEUE_LENGTH) {
      dropped++;
      return;
    }
    gathered += line;
    if (writing !== null) return;
    if (gathered.length >= BATCH_LENGTH) write();
    else timer ??= setTimeout(write, GATHER_MS);
  }

  function write(): void {
    clearTimeout(timer);
    timer = undefined;
    writing ??= writeAll().finally(() => {
      writing = null;
      if (gathered !== "") timer ??= setTimeout(write, GATHER_MS);
    });
  }

  async function writeAll(): Promise<void> {
    while (gathered !== "") {
      let bytes = encoder.encode(gathered);
      gathered = "";
      while (bytes.length > 0) {
        try {
          bytes = bytes.subarray(await output.write(bytes));
        } catch {
          await new Promise((resolve) => Deno.unrefTimer(setTimeout(resolve, RETRY_MS)));
        }
      }
      if (dropped > reported) {
        // Not by add(): the queue may be full again, and the report would be dropped with the rest.
        gathered += render(now(), "warn", "log lines were dropped: nobody took them", { lines: dropped - reported });
        reported = dropped;
      }
    }
  }

  function isSecret(text: string): boolean {
    return keys.some((key) => key.length < SECRET_LENGTH ? text === key : text.includes(key));
  }

  const log: Log = {
    enabled: (asked) => enabled.has(asked),
    log(asked, message, fields = {}) {
      if (enabled.has(asked)) add(render(now(), asked, message, fields));
    },
    info: (message, fields) => log.log("info", message, fields),
    warn: (message, fields) => log.log("warn", message, fields),
    error: (message, fields) => log.log("error", message, fields),
    clean(text) {
      if (isSecret(text.slice(0, searched))) return "[a key]";
      const cut = text.length > FIELD_LENGTH ? `${text.slice(0, FIELD_LENGTH)}…` : text;
      return PLAIN.test(cut) ? cut : cut.replace(UNPRINTABLE, escape);
    },
    isSecret,
    get dropped() {
      return dropped;
    },
    async flush(milliseconds) {
      if (writing === null && gathered !== "") write();
      if (writing === null) return;
      let deadline: ReturnType<typeof setTimeout> | undefined;
      await Promise.race([writing, new Promise((resolve) => deadline = setTimeout(resolve, milliseconds))]);
      clearTimeout(deadline);
    },
  };
  return log;
}

let lastMillisecond = 0;
let lastTime = "";

/** ISO 8601 with milliseconds; written once a millisecond. */
function now(): string {
  const millisecond = Date.now();
  if (millisecond !== lastMillisecond) {
    lastMillisecond = millisecond;
    lastTime = new Date(millisecond).toISOString();
  }
  return lastTime;
}

/** Writes each character as `\uXXXX`, twice that where it takes two places in a string. */
function escape(character: string): string {
  return character.replace(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Text that JSON has as it is, between quotes. */
const VERBATIM = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

/** Field by field: an access line takes 0.4 µs, JSON.stringify of one object with all fields 1.4. */
function renderJson(time: string, level: Level, message: string, fields: Fields): string {
  let line = `{"time":"${time}","level":"${level}","message":${quote(message)}`;
  for (const name in fields) {
    const value = fields[name];
    if (value !== undefined) line += `,"${name}":${typeof value === "string" ? quote(value) : value}`;
  }
  return `${line}}\n`;
}

function quote(text: string): string {
  return VERBATIM.test(text) ? `"${text}"` : JSON.stringify(text);
}

function renderText(time: string, level: Level, message: string, fields: Fields): string {
  let line = `${time} ${level.toUpperCase().padEnd(5)} ${message}`;
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const text = String(value);
    line += ` ${name}=${/^[^\s"=\\]+$/.test(text) ? text : JSON.stringify(text)}`;
  }
  return `${line}\n`;
}

/** SGR codes (ECMA-48) for each level: grey, green, yellow, red. */
const COLORS: Record<Level, number> = { debug: 90, info: 32, warn: 33, error: 31 };

function renderColoredText(time: string, level: Level, message: string, fields: Fields): string {
  return renderText(time, level, message, fields)
    .replace(time, `\x1b[90m${time}\x1b[0m`)
    .replace(level.toUpperCase(), `\x1b[${COLORS[level]}m${level.toUpperCase()}\x1b[0m`);
}
