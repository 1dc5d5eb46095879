/**
 * A file of the kernel's that is opened once and read again and again.
 *
 * Opening needs a permission, reading through an open descriptor needs none. So every file is opened while the
 * service starts, and goes on telling the truth after the door has closed (`permissions.ts`).
 *
 * @module
 */

/** Says once that a source does not tell what it should; a sentence for the log. */
export type Report = (sentence: string) => void;

/** Reads and parses the file as it is now; `null` where there is nothing, or nothing sensible, to read. */
export type Probe<T> = () => T | null;

// One buffer for all: reads are synchronous and are parsed before the next. The files that are read whole are below 4 KB;
// of /proc/stat, which grows with the machine, the first line is enough.
const buffer = new Uint8Array(16_384);
const decoder = new TextDecoder();

/**
 * Opens `path` and returns how to read it.
 *
 * @param path The file; one that is missing makes a probe that always answers `null`.
 * @param parse Turns the text into figures; `null` for text that it does not understand.
 * @param report Called once when the file stops making sense, and again only after it has made sense in between.
 */
export function openProbe<T>(path: string, parse: (text: string) => T | null, report: Report): Probe<T> {
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) report(`Cannot open ${path}: ${messageOf(error)}`);
    return () => null;
  }
  let failing = false;
  return () => {
    let value: T | null = null;
    let reason = "its content makes no sense";
    try {
      value = parse(readFromStart(file));
    } catch (error) {
      reason = messageOf(error);
    }
    if (value === null && !failing) report(`Cannot read ${path}: ${reason}`);
    failing = value === null;
    return value;
  };
}

function readFromStart(file: Deno.FsFile): string {
  file.seekSync(0, Deno.SeekMode.Start);
  // One read: the kernel writes such a file at once, as far as the buffer goes.
  return decoder.decode(buffer.subarray(0, file.readSync(buffer) ?? 0));
}

/** Reads a file once and whole; empty where it cannot be read. */
export function readOrNothing(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
