/**
 * A name for each request, by which its answer and its log lines find each other.
 *
 * @module
 */

/** Visible ASCII, up to 128 characters. */
const SANE = /^[\x21-\x7e]{1,128}$/;

/**
 * Prepares naming requests: by their `X-Request-Id` where that is sane, else by a random prefix and a counter.
 *
 * @param isSecret Tells text that must not be echoed, because a key is in it.
 */
export function createRequestIds(isSecret: (text: string) => boolean): (headers: Headers) => string {
  const prefix = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );
  let count = 0;
  return (headers) => {
    const given = headers.get("x-request-id");
    if (given !== null && SANE.test(given) && !isSecret(given)) return given;
    return `${prefix}-${++count}`;
  };
}
