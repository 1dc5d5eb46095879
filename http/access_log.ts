/**
 * One line for each request that was answered.
 *
 * @module
 */

import type { Level, Log } from "../log.ts";

/** Writes the access line of one request. The query is left out: it may hold secrets. */
export function logAccess(
  log: Log,
  level: Level,
  request: Request,
  info: Deno.ServeHandlerInfo,
  path: string,
  status: number,
  seconds: number,
  requestId: string,
): void {
  const forwardedFor = request.headers.get("x-forwarded-for");
  const remote = info.remoteAddr;
  const userAgent = request.headers.get("user-agent");
  log.log(level, "request", {
    method: log.clean(request.method),
    path: log.clean(path),
    status,
    duration_ms: Math.round(seconds * 1e6) / 1e3,
    remote: "hostname" in remote ? remote.hostname : null,
    forwarded_for: forwardedFor === null ? undefined : log.clean(forwardedFor),
    user_agent: userAgent === null ? undefined : log.clean(userAgent),
    request_id: requestId,
  });
}
