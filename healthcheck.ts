/**
 * `konnichiwa healthcheck`: asks the service on this host, for images that have no curl.
 *
 * @module
 */

import type { Address } from "./config.ts";

/** An answer that takes longer is none. */
const PATIENCE_MS = 2000;

/**
 * Asks for `/health`.
 *
 * Not with `fetch`: that goes through a proxy where one is set, and refuses a certificate made out to another name. Whom a
 * process asks about itself needs no proof of identity, and nothing secret is sent.
 *
 * @returns Why the service is not healthy; `null` if it is.
 */
export async function checkHealth({ host, port, secure }: Address): Promise<string | null> {
  const { get } = secure ? await import("node:https") : await import("node:http");
  const target = { host: loopback(host), port, path: "/health", agent: false, rejectUnauthorized: false };
  return await new Promise((resolve) => {
    const timer = setTimeout(() => resolve(`no answer within ${PATIENCE_MS / 1000} s`), PATIENCE_MS);
    const settle = (reason: string | null) => {
      clearTimeout(timer);
      resolve(reason);
    };
    get(target, ({ statusCode }) => settle(statusCode === 200 ? null : `answered ${statusCode}`))
      .on("error", (error) => settle(error.message));
  });
}

/** Addresses that mean "every interface" can be listened on, not connected to. */
function loopback(host: string): string {
  return host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
}
