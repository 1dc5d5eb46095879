/**
 * From a request to a route, and from its answer to what is logged and counted.
 *
 * @module
 */

import { logAccess } from "./access_log.ts";
import { refuse } from "./auth.ts";
import type { Context } from "./context.ts";
import { BAD_REQUEST, INTERNAL_SERVER_ERROR, METHOD_NOT_ALLOWED, NOT_FOUND } from "./problem.ts";
import { createRequestIds } from "./request_id.ts";

/** Turns a request into an answer. Ours await nothing, as all they need is in the context; one that does is waited for when stopping. */
export type Handler = (request: Request, context: Context) => Response | Promise<Response>;

/** What is answered under one path. */
export interface Route {
  /** Exactly as it has to be sent. */
  readonly path: string;
  /** Answers `GET`, and `HEAD` (the runtime leaves the body out). */
  readonly handler: Handler;
  /** Only for whoever holds a key. */
  readonly guarded?: boolean;
  /** Asked for by probes all day long: its access lines are of level `debug`. */
  readonly probed?: boolean;
}

const ALLOWED = new Response(null, {
  status: 204,
  headers: { "Allow": "GET, HEAD, OPTIONS", "X-Content-Type-Options": "nosniff" },
});

/** Prepares the handler for `Deno.serve`. */
export function createRouter(
  routes: readonly Route[],
  context: Context,
): (request: Request, info: Deno.ServeHandlerInfo) => Response | Promise<Response> {
  const table = new Map(routes.map((route) => [route.path, route]));
  const requestIdOf = createRequestIds(context.log.isSecret);
  const { log, metrics } = context;
  let lastHost: string | null = null; // nearly always the same: 1 µs less than looking at it every time

  return (request, info) => {
    const started = performance.now();
    metrics.inFlight++;
    const { method, headers } = request;
    const requestId = requestIdOf(headers);
    const path = pathOf(request.url);
    const route = table.get(path);

    const finish = (response: Response): Response => {
      // A clone of a prepared answer with two headers more costs 1.05 times a new plain one; a new one with all of them 1.15.
      try {
        response.headers.append("X-Request-Id", requestId);
      } catch { // immutable, as that of Response.redirect() is
        response = new Response(response.body, response);
        response.headers.append("X-Request-Id", requestId);
      }
      // RFC 9112, section 6.1: with a Content-Length besides, the connection has to be closed, for the two may be a smuggling pair.
      if (context.draining || headers.has("transfer-encoding")) response.headers.append("Connection", "close");

      metrics.inFlight--;
      const seconds = (performance.now() - started) / 1000;
      metrics.observe(route?.path ?? "unknown", method, response.status, seconds);
      const level = route?.probed ? "debug" : "info";
      if (log.enabled(level)) logAccess(log, level, request, info, path, response.status, seconds, requestId);
      return response;
    };
    const fail = (error: unknown): Response => {
      log.error("a handler failed", {
        request_id: requestId,
        method: log.clean(method),
        path: log.clean(path),
        error: log.isSecret(describe(error)) ? "[a key]" : describe(error),
      });
      return INTERNAL_SERVER_ERROR.clone();
    };

    const host = headers.get("host");
    if (host !== lastHost && host !== null && !isHost(host)) return finish(BAD_REQUEST.clone());
    lastHost = host;
    let answered: Response | Promise<Response>;
    try {
      answered = answer(request, method, path, route, context);
    } catch (error) {
      answered = fail(error);
    }
    return answered instanceof Promise ? answered.catch(fail).then(finish) : finish(answered);
  };
}

function answer(
  request: Request,
  method: string,
  path: string,
  route: Route | undefined,
  context: Context,
): Response | Promise<Response> {
  if (route === undefined) {
    // `CONNECT` names no path, and `OPTIONS *` asks about the whole server (RFC 9110, section 9.3.7; here it arrives as "/*").
    if (method === "CONNECT") return METHOD_NOT_ALLOWED.clone();
    if (method === "OPTIONS" && path === "/*") return ALLOWED.clone();
    return (path === "" ? BAD_REQUEST : NOT_FOUND).clone();
  }
  if (method !== "GET" && method !== "HEAD") return (method === "OPTIONS" ? ALLOWED : METHOD_NOT_ALLOWED).clone();
  if (route.guarded) {
    const refusal = context.authenticate(request);
    if (refusal !== null) {
      context.metrics.unauthorized(refusal);
      return refuse(refusal);
    }
  }
  return route.handler(request, context);
}

/**
 * The path of a request target as it was sent, without the query; empty where there is none.
 *
 * Deno pastes `request.url` together from the scheme, the host as sent and the target. `new URL()` would normalise the path.
 */
function pathOf(url: string): string {
  if (!url.startsWith("http")) return "";
  const start = url.indexOf("/", url.indexOf("://") + 3);
  if (start === -1) return "";
  const end = url.indexOf("?", start);
  return end === -1 ? url.slice(start) : url.slice(start, end);
}

/** `uri-host [ ":" port ]` (RFC 9110, section 7.2); an empty host is none (section 4.2.1). Two headers arrive joined by ", ". */
const HOST = /^(?:\[[0-9a-f:.]+\]|(?:[\w\-.~!$&'()*+,;=]|%[0-9a-f]{2})+)(?::(\d{0,5}))?$/i;

function isHost(host: string): boolean {
  const match = HOST.exec(host);
  return match !== null && Number(match[1] ?? 0) <= 65_535;
}

function describe(error: unknown): string {
  return error instanceof Error ? error.stack ?? String(error) : String(error);
}
