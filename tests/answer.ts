/**
 * Reads answers as they come over a socket, for tests that `fetch` is too well-behaved for.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";

/** One HTTP/1 answer. */
export interface Answer {
  readonly status: number;
  /** Names in lower case; those that came twice are joined by ", ". */
  readonly headers: Headers;
  readonly body: string;
}

/** Parses an answer whose connection was closed after it. */
export function parseAnswer(text: string): Answer {
  const end = text.indexOf("\r\n\r\n");
  assert(end !== -1, `no answer: ${JSON.stringify(text)}`);
  const [statusLine = "", ...lines] = text.slice(0, end).split("\r\n");
  const headers = new Headers();
  for (const line of lines) headers.append(line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim());
  return { status: Number(statusLine.split(" ")[1]), headers, body: text.slice(end + 4) };
}

/** Checks an error answer: problem+json with the status and detail given, and nothing that tells of the inside. */
export function assertProblem({ status, headers, body }: Answer, expected: number, detail: string): void {
  assertEquals(status, expected, body);
  assertEquals(headers.get("content-type"), "application/problem+json");
  const document = JSON.parse(body);
  assertEquals(Object.keys(document).sort(), ["detail", "status", "title", "type"]);
  assertEquals([document.type, document.status, document.detail], ["about:blank", expected, detail]);
}

/** The headers that an answer has whatever it is about, and none that gives the server away. */
export function assertCommonHeaders({ headers }: { headers: Headers }): void {
  assertEquals(headers.get("x-content-type-options"), "nosniff");
  assertEquals(headers.get("server"), null);
  assertEquals(headers.get("x-powered-by"), null);
}
