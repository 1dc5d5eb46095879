/**
 * Bearer authentication (RFC 6750) with keys that are known from the start.
 *
 * @module
 */

import { problem } from "./problem.ts";

const REALM = 'Bearer realm="konnichiwa"';
const NOT_AUTHENTICATED = problem(401, "Not authenticated", { "WWW-Authenticate": REALM });
const UNAUTHORIZED = problem(401, "Unauthorized", { "WWW-Authenticate": `${REALM}, error="invalid_token"` });

/** Why a request was refused. */
export type Refusal = "no_credentials" | "invalid_token";

/** Tells whether a request carries one of the keys: `null` if so, else why not. */
export type Authenticate = (request: Request) => Refusal | null;

/**
 * Prepares authentication with one or several keys.
 *
 * Every key is laid into an array of the same length before the first request, and every comparison looks at every place
 * of every key: its time depends neither on the keys nor on where a token differs.
 *
 * @param keys Visible ASCII, one or more.
 */
export function createAuthenticator(keys: readonly string[]): Authenticate {
  const length = Math.max(...keys.map((key) => key.length));
  const expected = keys.map((key) => ({
    length: key.length,
    codes: Uint16Array.from({ length }, (_, place) => place < key.length ? key.charCodeAt(place) : 0),
  }));
  const given = new Uint16Array(length);

  return (request) => {
    const token = tokenOf(request.headers.get("authorization"));
    if (token === null) return "no_credentials";
    for (let place = 0; place < length; place++) given[place] = place < token.length ? token.charCodeAt(place) : 0;
    let matches = 0;
    for (const key of expected) {
      let difference = token.length ^ key.length;
      for (let place = 0; place < length; place++) difference |= key.codes[place]! ^ given[place]!;
      matches |= Number(difference === 0);
    }
    return matches === 1 ? null : "invalid_token";
  };
}

/**
 * The token of a header `Bearer <token>`, the scheme in any case (RFC 9110, section 11.1); `null` where there is none to use.
 *
 * Two `Authorization` headers arrive as one, joined by a comma and a blank; no token has a blank.
 */
function tokenOf(header: string | null): string | null {
  if (header === null || header.slice(0, 7).toLowerCase() !== "bearer ") return null;
  const token = header.slice(7).replace(/^ +/, "");
  return token === "" || token.includes(" ") ? null : token;
}

/** The answer to a request without the key. */
export function refuse(refusal: Refusal): Response {
  return (refusal === "no_credentials" ? NOT_AUTHENTICATED : UNAUTHORIZED).clone();
}
