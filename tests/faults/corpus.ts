/**
 * Broken, odd and hostile requests, each with what must come back.
 *
 * What is expected is written as the status of each answer, then what becomes of the connection:
 *
 * - nothing more: it is open, and the next request on it is answered as itself;
 * - `end`: the service closes it;
 * - `wait`: the service waits for the rest of a request, and closes once the client's half is closed;
 *
 * `200h` is an answer without its body, to HEAD. After `h2` stand the frames of an HTTP/2 answer, `:` their error code or status.
 * One character is one byte; `MARKER` becomes a text of the same length that no other request has.
 *
 * @module
 */

/** One connection: its name, what is sent, what must come back. */
export type Case = readonly [name: string, sent: string, expected: string];

/** Where a request is marked. */
export const MARKER = "{a-marker-is-here}";

const HOST = "Host: localhost\r\n";
const ID = `X-Request-Id: ${MARKER}\r\n`;

/** A request with a good `Host` and a marker. */
function request(line: string, headers = "", body = ""): string {
  return `${line} HTTP/1.1\r\n${HOST}${ID}${headers}\r\n${body}`;
}

function header(text: string): string {
  return request("GET /", `${text}\r\n`);
}

function post(headers: string, body: string): string {
  return request("POST /", headers, body);
}

const SMUGGLED = `GET /inspect HTTP/1.1\r\n${HOST}X-Request-Id: ${MARKER}\r\n\r\n`;
const CHUNKED = "Transfer-Encoding: chunked\r\n";

const BASICS: Case[] = [
  ["a good request", request("GET /"), "200"],
  ["HEAD", request("HEAD /"), "200h"],
  ["HEAD of nothing", request("HEAD /nothing"), "404h"],
  ["OPTIONS", request("OPTIONS /"), "204"],
  ["no key", request("GET /inspect"), "401"],
  ["POST", request("POST /"), "405"],
  ["an unknown path", request("GET /nothing"), "404"],
];

const REQUEST_LINES: Case[] = [
  ["nothing but line ends", "\r\n\r\n\r\n", ""],
  ["line ends before a request", `\r\n\r\n${request("GET /")}`, "200"],
  ["bare line feeds", "GET / HTTP/1.1\nHost: a\n\n", "200"],
  ["bare carriage returns", "GET / HTTP/1.1\rHost: a\r\r", "400 end"],
  ["no version", "GET /\r\n\r\n", "400 end"],
  ["HTTP/0.9", "GET / HTTP/0.9\r\n\r\n", "400 end"],
  ["HTTP/1.2", `GET / HTTP/1.2\r\n${HOST}\r\n`, "400 end"],
  ["HTTP/2.0 in text", `GET / HTTP/2.0\r\n${HOST}\r\n`, "400 end"],
  ["HTTP/9.9", "GET / HTTP/9.9\r\n\r\n", "400 end"],
  ["lower-case http", `GET / http/1.1\r\n${HOST}\r\n`, "400 end"],
  ["HTTP/1.1x", `GET / HTTP/1.1x\r\n${HOST}\r\n`, "400 end"],
  ["a version alone", "HTTP/1.1\r\n\r\n", "400 end"],
  ["two blanks before the target", `GET  / HTTP/1.1\r\n${HOST}\r\n`, "400 end"],
  ["two blanks before the version", `GET /  HTTP/1.1\r\n${HOST}\r\n`, "400 end"],
  ["a tab in place of a blank", `GET\t/ HTTP/1.1\r\n${HOST}\r\n`, "400 end"],
  ["a blank before the method", ` GET / HTTP/1.1\r\n${HOST}\r\n`, "400 end"],
  ["a blank in the target", `GET /a b HTTP/1.1\r\n${HOST}\r\n`, "400 end"],
  ["an empty method", ` / HTTP/1.1\r\n${HOST}\r\n`, "400 end"],
  ["a lower-case method", request("get /"), "405"],
  ["an unknown method", request("BREW /"), "405"],
  ["a method of tokens", request("!#$%&'*+-.^_`|~ /"), "405"],
  ["a long method", request(`${"A".repeat(2000)} /`), "405"],
  ["a method with a bracket", request("G(T /"), "400 end"],
  ["a method beyond ASCII", request("G\xc9T /"), "400 end"],
  ["a method with NUL", request("G\0T /"), "400 end"],
  ["a TLS greeting", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\x20".repeat(64), "400 end"],
  ["an SSH greeting", "SSH-2.0-OpenSSH_9.2\r\n", "400 end"],
  ["SMTP", "EHLO localhost\r\n", "400 end"],
  ["SOCKS", "\x05\x01\x00", "400 end"],
  ["zeros", "\0".repeat(1000), "400 end"],
  ["0xff", "\xff".repeat(1000), "400 end"],
  ["an answer for a request", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "400 end"],
  ["TRACE", request("TRACE /"), "405"],
  ["DELETE", request("DELETE /inspect"), "405"],
  ["PRI without the rest of its preface", "PRI * HTTP/1.1\r\nHost: a\r\n\r\n", "400"],
];

const TARGETS: Case[] = [
  ["an absolute target", request("GET http://localhost/"), "200"],
  ["an absolute target with another host", request("GET http://example.org/"), "200"],
  ["an absolute target without a path", request("GET http://localhost"), "200"],
  ["an absolute target in https", request("GET https://localhost/health"), "200"],
  ["an absolute target with user and password", request("GET http://a:b@localhost/"), "200"],
  ["an absolute target without a host", request("GET http:///"), "400 end"],
  ["another scheme", request("GET ftp://localhost/"), "400"],
  ["a scheme alone", request("GET ://x"), "400"],
  ["javascript:", request("GET javascript:alert(1)"), "400"],
  ["an authority for GET", request("GET localhost:80"), "400"],
  ["CONNECT", request("CONNECT localhost:443"), "405"],
  ["CONNECT to a path", request("CONNECT /"), "400"],
  ["OPTIONS *", request("OPTIONS *"), "204"],
  ["GET *", request("GET *"), "400"],
  ["a target without its slash", request("GET health"), "400"],
  ["two slashes", request("GET //"), "404"],
  ["//host/", request("GET //localhost/health"), "404"],
  ["a dot", request("GET /./health"), "404"],
  ["two dots", request("GET /inspect/../health"), "404"],
  ["dots up and out", request("GET /../../../../etc/passwd"), "404"],
  ["encoded dots", request("GET /%2e%2e/%2e%2e/etc/passwd"), "404"],
  ["a slash too many", request("GET /health/"), "404"],
  ["an encoded letter", request("GET /%68ealth"), "404"],
  ["an encoded NUL", request("GET /health%00"), "404"],
  ["an encoded line end", request("GET /health%0d%0aX-Injected:%20yes"), "404"],
  ["bad percent-encoding", request("GET /%zz"), "404"],
  ["half a percent-encoding", request("GET /%"), "404"],
  ["overlong UTF-8, encoded", request("GET /%c0%af"), "404"],
  ["a lone surrogate, encoded", request("GET /%ed%a0%80"), "404"],
  ["a backslash", request("GET \\health"), "400 end"],
  ["a backslash further on", request("GET /\\health"), "404"],
  ["a fragment", request("GET /health#x"), "200"],
  ["a query", request("GET /health?x=%zz&&&=?"), "200"],
  ["a query alone", request("GET ?x"), "400 end"],
  ["a long query", request(`GET /?${"q".repeat(60_000)}`), "200"],
  ["a target that is too long", request(`GET /${"p".repeat(70_000)}`), "414 end"],
  ["control bytes", request("GET /\x01\x02"), "400 end"],
  ["DEL", request("GET /\x7f"), "400 end"],
  ["Latin-1", request("GET /caf\xe9"), "400 end"],
  ["UTF-8", request("GET /caf\xc3\xa9"), "404"],
  ["bad UTF-8", request("GET /\xff\xfe"), "400 end"],
  ["quotes and brackets", request('GET /"<>[]{}|^`'), "400 end"],
  ["a path parameter", request("GET /health;x=1"), "404"],
];

const HOSTS: Case[] = [
  ["no Host", "GET / HTTP/1.1\r\n\r\n", "200"],
  ["two", `GET / HTTP/1.1\r\n${HOST}${HOST}\r\n`, "400"],
  ["an empty one", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "400"],
  ["a blank in it", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400"],
  ["a path in it", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"],
  ["a query in it", "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", "400"],
  ["a fragment in it", "GET / HTTP/1.1\r\nHost: a#b\r\n\r\n", "400"],
  ["a user in it", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "400"],
  ["a scheme in it", "GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", "400"],
  ["a list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "400"],
  ["a bad port", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", "400"],
  ["a port too large", "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", "400"],
  ["an empty port", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n", "200"],
  ["bad percent-encoding in it", "GET / HTTP/1.1\r\nHost: a%zz\r\n\r\n", "400"],
  ["IPv6", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "200"],
  ["half of IPv6", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "400"],
  ["beyond ASCII", "GET / HTTP/1.1\r\nHost: caf\xe9\r\n\r\n", "400"],
  ["control bytes in it", "GET / HTTP/1.1\r\nHost: a\x01\r\n\r\n", "400 end"],
  ["a long one", `GET / HTTP/1.1\r\nHost: ${"a".repeat(5000)}\r\n\r\n`, "200"],
];

const HEADERS: Case[] = [
  ["a folded header", header("X-A: 1\r\n 2"), "400 end"],
  ["a folded header with a tab", header("X-A: 1\r\n\t2"), "400 end"],
  ["a blank line that is none", header("X-A: 1\r\n \r\nX-B: 2"), "400 end"],
  ["a first header that is folded", `GET / HTTP/1.1\r\n Host: a\r\n\r\n`, "400 end"],
  ["a blank before the colon", header("X-A : 1"), "400 end"],
  ["no colon", header("X-A"), "400 end"],
  ["no name", header(": 1"), "400 end"],
  ["an empty value", header("X-A:"), "200"],
  ["blanks around a value", header("X-A: \t 1 \t "), "200"],
  ["a blank in a name", header("X A: 1"), "400 end"],
  ["a bracket in a name", header("X(A): 1"), "400 end"],
  ["a name beyond ASCII", header("X-\xc9: 1"), "400 end"],
  ["NUL in a value", header("X-A: 1\x002"), "400 end"],
  ["NUL in a name", header("X-\0A: 1"), "400 end"],
  ["a control byte in a value", header("X-A: 1\x012"), "400 end"],
  ["DEL in a value", header("X-A: 1\x7f2"), "400 end"],
  ["a carriage return in a value", header("X-A: 1\r2"), "400 end"],
  ["a line feed in a value", header("X-A: 1\nX-B: 2"), "200"],
  ["Latin-1 in a value", header("X-A: \xe9"), "200"],
  ["a giant value", header(`X-A: ${"a".repeat(200_000)}`), "200"],
  ["a value beyond all bounds", header(`X-A: ${"a".repeat(1_500_000)}`), "431 end"],
  ["a giant name", header(`${"a".repeat(60_000)}: 1`), "200"],
  ["a name beyond all bounds", header(`${"a".repeat(70_000)}: 1`), "431 end"],
  ["90 headers", header("X-A: 1\r\n".repeat(90).trimEnd()), "200"],
  ["500 headers", header("X-A: 1\r\n".repeat(500).trimEnd()), "431 end"],
  ["an insane request id", request("GET /", "X-Request-Id: a b\r\n"), "200"],
  ["a giant request id", `GET / HTTP/1.1\r\n${HOST}X-Request-Id: ${"a".repeat(5000)}\r\n\r\n`, "200"],
  ["an empty request id", `GET / HTTP/1.1\r\n${HOST}X-Request-Id:\r\n\r\n`, "200"],
  ["Range", header("Range: bytes=0-1"), "200"],
  ["a bad Range", header("Range: bytes=9-1,,-"), "200"],
  ["If-None-Match", header("If-None-Match: *"), "200"],
  ["an odd Accept", header("Accept: application/x-nothing;q=zz"), "200"],
  ["an odd Accept-Encoding", header("Accept-Encoding: gzip;q=x, , *;q=2"), "200"],
  ["X-Forwarded-For with control characters, encoded", header("X-Forwarded-For: \x80\x9b31m"), "200"],
  ["a method to override", header("X-HTTP-Method-Override: DELETE"), "200"],
];

const CREDENTIALS: Case[] = [
  ["none", request("GET /inspect", "Authorization:\r\n"), "401"],
  ["a scheme alone", request("GET /inspect", "Authorization: Bearer\r\n"), "401"],
  ["an empty token", request("GET /inspect", "Authorization: Bearer \r\n"), "401"],
  ["another scheme", request("GET /inspect", "Authorization: Basic YTpi\r\n"), "401"],
  ["a wrong key", request("GET /inspect", "Authorization: Bearer wrong\r\n"), "401"],
  ["Latin-1", request("GET /inspect", "Authorization: Bearer \xe9\xe8\r\n"), "401"],
  ["UTF-8", request("GET /inspect", "Authorization: Bearer \xc3\xa9\r\n"), "401"],
  ["the key and more", request("GET /inspect", "Authorization: Bearer a-key-of-the-tests-4711 x\r\n"), "401"],
  ["two headers", request("GET /inspect", "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"), "401"],
  ["a giant token", request("GET /inspect", `Authorization: Bearer ${"k".repeat(100_000)}\r\n`), "401"],
  ["a NUL", request("GET /inspect", "Authorization: Bearer a\0b\r\n"), "400 end"],
  ["the key in the query", request("GET /inspect?access_token=a-key-of-the-tests-4711"), "401"],
];

const FRAMING: Case[] = [
  ["a body on GET", request("GET /", "Content-Length: 5\r\n", "hello"), "200"],
  ["a chunked body on GET", request("GET /", CHUNKED, "5\r\nhello\r\n0\r\n\r\n"), "200 end"],
  ["a request as a body", post(`Content-Length: ${SMUGGLED.length + 24}\r\n`, SMUGGLED), "405 end"],
  ["a body that is a request", request("GET /", "Content-Length: 18\r\n", "GET / HTTP/1.1\r\n\r\n"), "200"],
  ["a body that never comes", post("Content-Length: 5\r\n", ""), "405 end"],
  ["a gigabyte that never comes", post("Content-Length: 1073741824\r\n", "x".repeat(1000)), "405 end"],
  ["more than 2^64 bytes", post("Content-Length: 99999999999999999999\r\n", ""), "400 end"],
  ["2^64 - 1 bytes", post("Content-Length: 18446744073709551615\r\n", ""), "431 end"],
  ["a negative length", post("Content-Length: -1\r\n", ""), "400 end"],
  ["a length with a plus", post("Content-Length: +5\r\n", "hello"), "400 end"],
  ["a hexadecimal length", post("Content-Length: 0x5\r\n", "hello"), "400 end"],
  ["a length with a blank", post("Content-Length: 5 5\r\n", "hello"), "400 end"],
  ["a length of words", post("Content-Length: five\r\n", "hello"), "400 end"],
  ["an empty length", post("Content-Length:\r\n", ""), "400 end"],
  ["a fraction", post("Content-Length: 5.0\r\n", "hello"), "400 end"],
  ["two lengths", post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"), "400 end"],
  ["the same length twice", post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), "405"],
  ["a list of lengths", post("Content-Length: 5, 6\r\n", "hello!"), "400 end"],
  ["a list of the same length", post("Content-Length: 5, 5\r\n", "hello"), "400 end"],
  ["length, then chunked", post(`Content-Length: 4\r\n${CHUNKED}`, `0\r\n\r\n${SMUGGLED}`), "405 end"],
  ["chunked, then length", post(`${CHUNKED}Content-Length: 4\r\n`, `0\r\n\r\n${SMUGGLED}`), "405 end"],
  ["length and an unknown coding", post("Content-Length: 5\r\nTransfer-Encoding: x\r\n", "hello"), "400 end"],
  ["an unknown coding", post("Transfer-Encoding: x\r\n", SMUGGLED), "400 end"],
  ["identity", post("Transfer-Encoding: identity\r\n", SMUGGLED), "400 end"],
  ["chunked that is not last", post("Transfer-Encoding: chunked, gzip\r\n", `0\r\n\r\n${SMUGGLED}`), "400 end"],
  ["gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), "405 end"],
  ["chunked twice", post(`${CHUNKED}${CHUNKED}`, "0\r\n\r\n"), "405 end"],
  ["chunked in capitals", post("Transfer-Encoding: CHUNKED\r\n", "0\r\n\r\n"), "405 end"],
  ["chunked with a vertical tab", post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"), "400 end"],
  ["chunked with a blank before the colon", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), "400 end"],
  ["chunked after a folded line", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), "400 end"],
  ["xchunked", post("Transfer-Encoding: xchunked\r\n", `0\r\n\r\n${SMUGGLED}`), "400 end"],
  ["chunked in quotes", post('Transfer-Encoding: "chunked"\r\n', "0\r\n\r\n"), "400 end"],
  ["chunked over HTTP/1.0", `POST / HTTP/1.0\r\n${HOST}${ID}${CHUNKED}\r\n0\r\n\r\n`, "400 end"],
  ["a trailer", post(CHUNKED, "0\r\nX-A: 1\r\n\r\n"), "405 end"],
  ["a trailer that is a length", post(CHUNKED, "0\r\nContent-Length: 99\r\n\r\n"), "405 end"],
  ["chunk extensions", post(CHUNKED, '5;a=b;c="d"\r\nhello\r\n0\r\n\r\n'), "405 end"],
  ["giant chunk extensions", post(CHUNKED, `5;${"a".repeat(100_000)}\r\nhello\r\n0\r\n\r\n`), "405 end"],
  ["a chunk size of letters", post(CHUNKED, `zz\r\nhello\r\n0\r\n\r\n${SMUGGLED}`), "405 end"],
  ["a negative chunk size", post(CHUNKED, `-1\r\nhello\r\n0\r\n\r\n${SMUGGLED}`), "405 end"],
  ["a chunk size with 0x", post(CHUNKED, `0x5\r\nhello\r\n0\r\n\r\n${SMUGGLED}`), "405 end"],
  ["a chunk size beyond 64 bits", post(CHUNKED, `fffffffffffffffff\r\nhello\r\n0\r\n\r\n${SMUGGLED}`), "405 end"],
  ["a chunk size of 2^64 - 1", post(CHUNKED, "ffffffffffffffff\r\nhello"), "405 end"],
  ["a chunk longer than it says", post(CHUNKED, `3\r\nhello\r\n0\r\n\r\n${SMUGGLED}`), "405 end"],
  ["a chunk without its line end", post(CHUNKED, `5\r\nhello0\r\n\r\n${SMUGGLED}`), "405 end"],
  ["chunks with bare line feeds", post(CHUNKED, `5\nhello\n0\n\n${SMUGGLED}`), "405 end"],
  ["a line feed that ends an extension", post(CHUNKED, `5;\nhello\r\n0\r\n\r\n${SMUGGLED}`), "405 end"],
  ["no last chunk", post(CHUNKED, "5\r\nhello\r\n"), "405 end"],
  ["10,000 chunks of a byte", post(CHUNKED, "1\r\nx\r\n".repeat(10_000) + "0\r\n\r\n"), "405 end"],
  ["Expect", post("Expect: 100-continue\r\nContent-Length: 5\r\n", ""), "405 end"],
  ["Expect with its body", post("Expect: 100-continue\r\nContent-Length: 5\r\n", "hello"), "405"],
  ["an unknown Expect", header("Expect: a-miracle"), "200"],
  ["half a request line", "GET /hea", "wait"],
  ["half a head", `GET / HTTP/1.1\r\n${HOST}`, "wait"],
  ["a line feed short of a head", request("GET /").slice(0, -1), "wait"],
  ["nothing", "", "wait"],
];

const CONNECTIONS: Case[] = [
  ["HTTP/1.0", `GET / HTTP/1.0\r\n${ID}\r\n`, "200 end"],
  ["HTTP/1.0 that stays", `GET / HTTP/1.0\r\nConnection: keep-alive\r\n${ID}\r\n`, "200"],
  ["Connection: close", header("Connection: close"), "200 end"],
  ["Connection: close, twice and in capitals", header("Connection: keep-alive, CLOSE"), "200 end"],
  ["an odd Connection", header("Connection: , ;;, host, x-request-id"), "200"],
  [
    "an upgrade to WebSocket",
    header("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13"),
    "200",
  ],
  [
    "an upgrade to h2c",
    header("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"),
    "200",
  ],
  ["an upgrade to TLS", header("Connection: Upgrade\r\nUpgrade: TLS/1.0"), "200"],
  ["an unknown upgrade", header("Connection: Upgrade\r\nUpgrade: a, b, c"), "200"],
  ["three pipelined", request("GET /") + request("GET /nothing") + request("GET /health"), "200 404 200"],
  ["a hundred pipelined", request("GET /").repeat(100), "200 ".repeat(100).trim()],
  ["pipelined, the second broken", request("GET /") + "nonsense\r\n\r\n", "200 400 end"],
  ["pipelined after Connection: close", header("Connection: close") + SMUGGLED, "200 end"],
  ["pipelined after a body", post("Content-Length: 5\r\n", "hello") + request("GET /"), "405 200"],
  ["pipelined after CONNECT", request("CONNECT localhost:443") + request("GET /"), "405 200"],
  ["pipelined after HEAD", request("HEAD /") + request("GET /"), "200h 200"],
];

/** A frame of HTTP/2 (RFC 9113, section 4.1). */
function frame(type: number, flags: number, stream: number, payload = "", length = payload.length): string {
  const bytes = [length >> 16, length >> 8, length, type, flags, stream >> 24, stream >> 16, stream >> 8, stream];
  return String.fromCharCode(...bytes.map((byte) => byte & 255)) + payload;
}

/** A field that is neither compressed nor kept (RFC 7541, section 6.2.2). */
function field(name: string, value: string): string {
  return `\0${String.fromCharCode(name.length)}${name}${String.fromCharCode(value.length)}${value}`;
}

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const [DATA, HEADERS_FRAME, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION] = Array(10)
  .keys();
const END_STREAM = 1, END_HEADERS = 4;
const GET_FIELDS = field(":method", "GET") + field(":scheme", "http") + field(":path", "/") +
  field(":authority", "localhost");
const MARKED = GET_FIELDS + field("x-request-id", MARKER);

function h2(...frames: string[]): string {
  return PREFACE + frame(SETTINGS!, 0, 0) + frames.join("");
}

function ask(fields: string, stream = 1): string {
  return frame(HEADERS_FRAME!, END_STREAM | END_HEADERS, stream, fields);
}

const HTTP2: Case[] = [
  ["a good request", h2(ask(MARKED)), "h2 200"],
  ["two requests", h2(ask(MARKED), ask(MARKED, 3)), "h2 200 200"],
  ["a hundred requests", h2(...Array.from({ length: 100 }, (_, n) => ask(MARKED, 2 * n + 1))), `h2${" 200".repeat(100)}`],
  ["a preface alone", PREFACE, "h2"],
  ["half a preface", PREFACE.slice(0, 20), "wait"],
  ["a broken preface", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "400 end"],
  ["no SETTINGS", PREFACE + ask(MARKED), "h2 200"],
  ["SETTINGS of a bad length", PREFACE + frame(SETTINGS!, 0, 0, "12345"), "h2 goaway:1 end"],
  ["SETTINGS on a stream", PREFACE + frame(SETTINGS!, 0, 1), "h2 goaway:1 end"],
  ["ACK with a payload", h2(frame(SETTINGS!, 1, 0, "123456")), "h2 goaway:1 end"],
  ["a window of more than 2^31 - 1", PREFACE + frame(SETTINGS!, 0, 0, "\0\x04\xff\xff\xff\xff"), "h2 goaway:1 end"],
  ["frames of less than 16,384", PREFACE + frame(SETTINGS!, 0, 0, "\0\x05\0\0\0\x01"), "h2 goaway:1 end"],
  ["a frame that is too long", h2(frame(DATA!, 0, 1, "", 16_385)), "h2 goaway:6 end"],
  ["DATA on stream 0", h2(frame(DATA!, 0, 0, "x")), "h2 goaway:1 end"],
  ["DATA on an idle stream", h2(frame(DATA!, 0, 1, "x")), "h2 goaway:1 end"],
  ["HEADERS on stream 0", h2(ask(MARKED, 0)), "h2 goaway:1 end"],
  ["HEADERS on an even stream", h2(ask(MARKED, 2)), "h2 goaway:1 end"],
  ["HEADERS on a lower stream", h2(ask(MARKED, 5), ask(MARKED, 3)), "h2 goaway:1 end"],
  ["bad compression", h2(ask("\xff\xff\xff\xff\xff\xff\xff")), "h2 goaway:1 end"],
  ["an index that is not there", h2(ask("\xfe")), "h2 goaway:1 end"],
  ["CONTINUATION alone", h2(frame(CONTINUATION!, END_HEADERS, 1, MARKED)), "h2 goaway:1 end"],
  ["HEADERS without their end", h2(frame(HEADERS_FRAME!, END_STREAM, 1, MARKED), ask(MARKED, 3)), "h2 goaway:1 end"],
  [
    "CONTINUATION that ends",
    h2(
      frame(HEADERS_FRAME!, END_STREAM, 1, GET_FIELDS),
      frame(CONTINUATION!, END_HEADERS, 1, field("x-request-id", MARKER)),
    ),
    "h2 200",
  ],
  [
    "no end of CONTINUATION",
    h2(frame(HEADERS_FRAME!, END_STREAM, 1, MARKED), frame(CONTINUATION!, 0, 1, field("x-a", "b")).repeat(2000)),
    "h2 goaway:11 end",
  ],
  ["PUSH_PROMISE from a client", h2(frame(PUSH!, END_HEADERS, 1, "\0\0\0\x02" + MARKED)), "h2 goaway:1 end"],
  ["PING of a bad length", h2(frame(PING!, 0, 0, "1234567")), "h2 goaway:1 end"],
  ["PING on a stream", h2(frame(PING!, 0, 1, "12345678")), "h2 goaway:1 end"],
  ["RST_STREAM of an idle stream", h2(frame(RST_STREAM!, 0, 1, "\0\0\0\x08")), "h2 goaway:1 end"],
  [
    "500 streams opened and reset",
    h2(
      ...Array.from({ length: 500 }, (_, n) => ask(GET_FIELDS, 2 * n + 1) + frame(RST_STREAM!, 0, 2 * n + 1, "\0\0\0\x08")),
    ),
    "h2 goaway:11 end",
  ],
  ["WINDOW_UPDATE of nothing", h2(frame(WINDOW_UPDATE!, 0, 0, "\0\0\0\0")), "h2 goaway:1 end"],
  ["WINDOW_UPDATE past the bound", h2(frame(WINDOW_UPDATE!, 0, 0, "\x7f\xff\xff\xff").repeat(2)), "h2 goaway:3 end"],
  ["PRIORITY of a bad length", h2(frame(PRIORITY!, 0, 1, "1234")), "h2 goaway:1 end"],
  ["GOAWAY from a client", h2(frame(GOAWAY!, 0, 0, "\0\0\0\0\0\0\0\0")), "h2 goaway:0 end"],
  ["an unknown frame", h2(frame(200, 0, 0, "x"), ask(MARKED)), "h2 200"],
  ["HTTP/1.1 after the preface", PREFACE + request("GET /"), "h2 goaway:6 end"],
  ["no :path", h2(ask(field(":method", "GET") + field(":scheme", "http"))), "h2 400"],
  ["an empty :path", h2(ask(field(":method", "GET") + field(":scheme", "http") + field(":path", ""))), "h2 rst:1"],
  ["two :path", h2(ask(GET_FIELDS + field(":path", "/"))), "h2 rst:1"],
  ["an unknown pseudo-field", h2(ask(GET_FIELDS + field(":x", "y"))), "h2 goaway:1 end"],
  ["a pseudo-field after a field", h2(ask(field("x-a", "b") + GET_FIELDS)), "h2 rst:1"],
  ["a name in capitals", h2(ask(GET_FIELDS + field("X-A", "b"))), "h2 goaway:1 end"],
  ["a line end in a value", h2(ask(GET_FIELDS + field("x-a", "b\r\nx-c: d"))), "h2 goaway:1 end"],
  ["Connection", h2(ask(GET_FIELDS + field("connection", "close"))), "h2 rst:1"],
  ["Transfer-Encoding", h2(ask(GET_FIELDS + field("transfer-encoding", "chunked"))), "h2 rst:1"],
  ["an :authority that is none", h2(ask(GET_FIELDS.replace("\x09localhost", "\x09local ost"))), "h2 rst:1"],
  ["another host in Host", h2(ask(MARKED + field("host", "example.org"))), "h2 200"],
  ["a bad Host", h2(ask(MARKED + field("host", "a b"))), "h2 400"],
  [
    "POST with a shorter body than it says",
    h2(
      frame(HEADERS_FRAME!, END_HEADERS, 1, MARKED.replace("\x03GET", "\x04POST") + field("content-length", "9")),
      frame(DATA!, END_STREAM, 1, "x"),
    ),
    "h2 rst:1",
  ],
  ["CONNECT", h2(ask(field(":method", "CONNECT") + field(":authority", "localhost:443"))), "h2 405"],
];

const GROUPS: Record<string, Case[]> = {
  "basics": BASICS,
  "request line": REQUEST_LINES,
  "target": TARGETS,
  "Host": HOSTS,
  "headers": HEADERS,
  "credentials": CREDENTIALS,
  "framing": FRAMING,
  "connection": CONNECTIONS,
  "HTTP/2": HTTP2,
};

/** All of them. */
export const corpus: readonly Case[] = Object.entries(GROUPS).flatMap(([group, cases]) =>
  cases.map(([name, sent, expected]): Case => [`${group}: ${name}`, sent, expected])
);
