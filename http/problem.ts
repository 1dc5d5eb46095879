/**
 * Error answers: `application/problem+json` (RFC 9457).
 *
 * @module
 */

import { STATUS_TEXT } from "@std/http/status";

/** The status codes that the service refuses with. */
export type ProblemStatus = 400 | 401 | 404 | 405 | 500 | 503;

/**
 * Makes an error answer that can be sent again and again, by its `clone()`.
 *
 * @param status The status code; its standard phrase is the `title`.
 * @param detail What is wrong with this request, in the words of the reference implementation.
 * @param headers More headers, such as a challenge.
 */
export function problem(status: ProblemStatus, detail: string, headers: Record<string, string> = {}): Response {
  const title: string = STATUS_TEXT[status];
  return new Response(JSON.stringify({ type: "about:blank", title, status, detail }), {
    status,
    headers: {
      "Content-Type": "application/problem+json",
      "Cache-Control": "no-store, no-transform",
      "X-Content-Type-Options": "nosniff",
      ...headers,
    },
  });
}

export const BAD_REQUEST: Response = problem(400, "Bad Request");
export const NOT_FOUND: Response = problem(404, "Not Found");
export const METHOD_NOT_ALLOWED: Response = problem(405, "Method Not Allowed", { Allow: "GET, HEAD, OPTIONS" });
export const INTERNAL_SERVER_ERROR: Response = problem(500, "Internal Server Error");
