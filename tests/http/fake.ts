/**
 * A context and requests for tests of what turns the one into an answer to the other.
 *
 * @module
 */

import { createAuthenticator } from "../../http/auth.ts";
import type { Context } from "../../http/context.ts";
import { createMetrics } from "../../http/metrics.ts";
import { createLog, type Level } from "../../log.ts";
import type { Snapshot } from "../../system/sampler.ts";

/** What `Deno.serve` tells a handler besides the request. */
export const INFO = { remoteAddr: { transport: "tcp", hostname: "192.0.2.7", port: 50_000 } } as Deno.ServeHandlerInfo;

/** A line of the log. */
export type Line = Record<string, unknown> & { readonly level: Level; readonly message: string };

/** A real context with one key, but no figures; and how to see what was logged. */
export function fakeContext(level: Level = "debug"): { context: Context; lines: () => Promise<Line[]> } {
  const keys = ["the-key-of-the-unit-tests"];
  let written = "";
  const log = createLog({
    keys,
    level,
    format: "json",
    color: false,
    output: {
      write(bytes) {
        written += new TextDecoder().decode(bytes);
        return Promise.resolve(bytes.length);
      },
    },
  });
  const context: Context = {
    authenticate: createAuthenticator(keys),
    log,
    metrics: createMetrics(),
    sampler: { snapshot: {} as Snapshot },
    service: { name: "konnichiwa", version: "0", deno: "0", v8: "0" },
    draining: false,
    retryAfter: 8,
  };
  return {
    context,
    async lines() {
      await log.flush(1000);
      return written.split("\n").slice(0, -1).map((line) => JSON.parse(line));
    },
  };
}

/** A request whose URL stays as it is written, like one of `Deno.serve`: a real `Request` would normalise it. */
export function fakeRequest(method: string, url: string, headers: Record<string, string> = {}): Request {
  return { method, url, headers: new Headers(headers) } as Request;
}
