/**
 * `konnichiwa healthcheck`: asks the service on this host, for images that have no curl.
 *
 * @module
 */

import { quote } from "./command_line.ts";
import type { Address } from "./config.ts";

const REQUEST = "GET /health HTTP/1.1\r\nHost: localhost\r\nUser-Agent: konnichiwa-healthcheck\r\nConnection: close\r\n\r\n";

/** An answer that takes longer is none. */
const PATIENCE_MS = 2000;

/**
 * Asks for `/health`.
 *
 * Over a plain socket: `fetch` goes through a proxy where one is set, and like `node:https` (2.7.11) it refuses a certificate
 * made out to another name. Asking oneself needs no proof of identity, and nothing secret is sent.
 *
 * @returns Why the service is not healthy; `null` if it is.
 */
export async function checkHealth({ host, port, secure }: Address): Promise<string | null> {
  const target = { host: loopback(host), port };
  const socket = secure
    ? (await import("node:tls")).connect({ ...target, rejectUnauthorized: false })
    : (await import("node:net")).connect(target);
  return await new Promise((resolve) => {
    const timer = setTimeout(() => resolve(`no answer within ${PATIENCE_MS / 1000} s`), PATIENCE_MS);
    const settle = (reason: string | null) => {
      clearTimeout(timer);
      resolve(reason);
    };
    let answer = "";
    socket.setEncoding("latin1");
    socket.on(secure ? "secureConnect" : "connect", () => socket.write(REQUEST));
    socket.on("data", (text) => answer += text);
    socket.on("error", (error) => settle(error.message));
    socket.on("close", () => settle(answer.startsWith("HTTP/1.1 200 ") ? null : `answered ${quote(answer.slice(0, 30))}`));
  });
}

/** Addresses that mean "every interface" can be listened on, not connected to. */
function loopback(host: string): string {
  return host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
}
