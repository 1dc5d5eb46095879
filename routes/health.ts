import { problem } from "../http/problem.ts";
import type { Handler } from "../http/router.ts";

const OK = new Response('"ok"', {
  headers: {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
  },
});

/** `GET /health`: whether new work may be sent here. `503` from the moment the service was told to stop. */
export const health: Handler = (_request, { draining, retryAfter }) =>
  draining ? problem(503, "Service Unavailable", { "Retry-After": String(retryAfter) }) : OK.clone();
