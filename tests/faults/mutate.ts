/**
 * Makes new requests out of known ones, by chance that can be repeated.
 *
 * @module
 */

/** Whole numbers from 0 up to, not including, `below`. */
export type Random = (below: number) => number;

/** A sequence that a seed determines (xorshift32, Marsaglia 2003). */
export function randomFrom(seed: number): Random {
  let state = seed | 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** What parsers stumble over. */
const TOKENS = [
  "\r\n",
  "\r\n\r\n",
  "\n",
  "\r",
  "\0",
  " ",
  "\t",
  ":",
  "%",
  "%00",
  "\x7f",
  "\xff",
  "\xc3",
  "HTTP/1.0",
  "HTTP/1.1",
  "GET ",
  "Host: x\r\n",
  "Content-Length: 3\r\n",
  "Content-Length: 0\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Connection: close\r\n",
  "Connection: keep-alive\r\n",
  "Expect: 100-continue\r\n",
  "Upgrade: h2c\r\n",
  "0\r\n\r\n",
  "ffffffff\r\n",
  "-1",
  "99999999999999999999",
  "http://",
  "://",
  "/../",
  "*",
  "?",
  "#",
];

/** Changes `text` in one to four places; `other` lends a piece of itself. */
export function mutate(text: string, other: string, random: Random): string {
  for (let changes = 1 + random(4); changes > 0; changes--) {
    const at = random(text.length + 1);
    const length = random(4) === 0 ? random(100) : 1 + random(4);
    const [before, piece, after] = [text.slice(0, at), text.slice(at, at + length), text.slice(at + length)];
    const start = random(other.length + 1);
    text = [
      () => before + after,
      () => before + piece + piece + after,
      () => before + String.fromCharCode(random(256)) + text.slice(at + 1),
      () => before + String.fromCharCode((text.charCodeAt(at) || 0) ^ 1 << random(8)) + text.slice(at + 1),
      () => before + TOKENS[random(TOKENS.length)] + text.slice(at),
      () => before + TOKENS[random(TOKENS.length)] + after,
      () => before + other.slice(start, start + length) + text.slice(at),
      () => before + other.slice(start),
      () => before + piece.repeat(1 + random(50)) + after,
      () => before + String.fromCharCode(...Array.from({ length }, () => random(256))) + after,
      () => random(8) === 0 ? before : before + after,
    ][random(11)]!();
  }
  return text;
}
