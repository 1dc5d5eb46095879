import { assert, assertEquals } from "@std/assert";
import { assertCommonHeaders, assertProblem, parseAnswer } from "./answer.ts";
import { KEY, start } from "./service.ts";

// The contract's section on authentication (RFC 6750), over a real socket.

const GUARDED = ["/inspect", "/metrics"];
const CHALLENGE = 'Bearer realm="konnichiwa"';
const bearer = (token: string) => `Authorization: Bearer ${token}\r\n`;

const ACCEPTED: [what: string, headers: string][] = [
  ["the key", bearer(KEY)],
  ["the scheme in small letters", `Authorization: bearer ${KEY}\r\n`],
  ["the scheme in capital letters", `Authorization: BEARER ${KEY}\r\n`],
  ["the header's name in any case", `aUTHORIZATION: Bearer ${KEY}\r\n`],
  ["several blanks before the key (RFC 9110, section 11.4)", `Authorization: Bearer   ${KEY}\r\n`],
  ["white space around the value", `Authorization:   Bearer ${KEY} \t\r\n`],
];

const NO_CREDENTIALS: [what: string, headers: string][] = [
  ["no header", ""],
  ["an empty header", "Authorization: \r\n"],
  ["the scheme alone", "Authorization: Bearer\r\n"],
  ["an empty token", "Authorization: Bearer  \r\n"],
  ["another scheme", `Authorization: Basic ${KEY}\r\n`],
  ["the key without a scheme", `Authorization: ${KEY}\r\n`],
  ["a tab after the scheme", `Authorization: Bearer\t${KEY}\r\n`],
  ["two words", `Authorization: Bearer ${KEY} ${KEY}\r\n`],
  ["two headers, both with the key", bearer(KEY) + bearer(KEY)],
  ["two headers, the first with the key", bearer(KEY) + bearer("x")],
  ["two headers, the second with the key", bearer("x") + bearer(KEY)],
  ["two headers of two schemes", `Authorization: Basic eDp5\r\n${bearer(KEY)}`],
  ["two headers, one of them empty", `${bearer(KEY)}Authorization: \r\n`],
  ["the key in a cookie", `Cookie: Authorization=Bearer ${KEY}\r\n`],
  ["the key in another header", `X-Api-Key: ${KEY}\r\nProxy-Authorization: Bearer ${KEY}\r\n`],
];

const WRONG: [what: string, headers: string][] = [
  ["a wrong key", bearer("wrong")],
  ["the beginning of the key", bearer(KEY.slice(0, -1))],
  ["the key and more", bearer(`${KEY}x`)],
  ["the key in other letters", bearer(KEY.toUpperCase())],
  ["a key that is not ASCII", bearer("schl\xfcssel")],
  ["the key and a byte that is not ASCII", bearer(`${KEY}\xff`)],
  ["the key in quotes", bearer(`"${KEY}"`)],
  ["a key of 16 KB", bearer("x".repeat(16_384))],
];

Deno.test("contract: authentication", async (t) => {
  await using service = await start();
  const ask = async (path: string, headers: string, method = "GET") =>
    parseAnswer(await service.raw(`${method} ${path} HTTP/1.1\r\nHost: h\r\n${headers}Connection: close\r\n\r\n`, 2000));

  for (const path of GUARDED) {
    for (const [what, headers] of ACCEPTED) {
      await t.step(`${path} accepts ${what}`, async () => assertEquals((await ask(path, headers)).status, 200));
    }
    for (const [what, headers] of NO_CREDENTIALS) {
      await t.step(`${path} finds no credentials in ${what}`, async () => {
        const answer = await ask(path, headers);
        assertProblem(answer, 401, "Not authenticated");
        assertEquals(answer.headers.get("www-authenticate"), CHALLENGE);
        assertCommonHeaders(answer);
      });
    }
    for (const [what, headers] of WRONG) {
      await t.step(`${path} refuses ${what}`, async () => {
        const answer = await ask(path, headers);
        assertProblem(answer, 401, "Unauthorized");
        assertEquals(answer.headers.get("www-authenticate"), `${CHALLENGE}, error="invalid_token"`);
        assertCommonHeaders(answer);
      });
    }
    await t.step(`${path} finds no credentials in the query (RFC 6750, section 2.3, is not offered)`, async () => {
      assertProblem(await ask(`${path}?access_token=${KEY}`, ""), 401, "Not authenticated");
    });
    await t.step(`HEAD ${path} is refused like GET, without a body`, async () => {
      const [get, head] = [await ask(path, ""), await ask(path, "", "HEAD")];
      assertEquals([head.status, head.body], [401, ""]);
      assertEquals(head.headers.get("www-authenticate"), CHALLENGE);
      assertEquals(head.headers.get("content-length"), get.headers.get("content-length"));
    });
    await t.step(`POST ${path} is 405 before anybody asks for a key`, async () => {
      assertProblem(await ask(path, "", "POST"), 405, "Method Not Allowed");
    });
  }

  await t.step("/ and /health want no key, and mind none", async () => {
    for (const path of ["/", "/health"]) {
      for (const headers of ["", bearer("wrong"), "Authorization: Basic x\r\n"]) {
        assertEquals((await ask(path, headers)).status, 200);
      }
    }
  });

  await t.step("a key is in no answer and in no line of the log, wherever it was sent", async () => {
    const places = [
      `GET /${KEY} HTTP/1.1\r\nHost: h\r\n`,
      `GET /nope?key=${KEY} HTTP/1.1\r\nHost: h\r\n`,
      `${KEY} / HTTP/1.1\r\nHost: h\r\n`,
      `GET / HTTP/1.1\r\nHost: ${KEY}\r\n`,
      `GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: ${KEY}\r\n`,
      `GET / HTTP/1.1\r\nHost: h\r\nX-Request-Id: ${KEY}\r\n`,
      `GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: ${KEY}\r\n`,
      `GET /inspect HTTP/1.1\r\nHost: h\r\n${bearer(`${KEY}x`)}`,
    ];
    for (const request of places) {
      const text = await service.raw(`${request}Connection: close\r\n\r\n`, 2000);
      assert(text.startsWith("HTTP/1.1 "), request);
      assert(!text.includes(KEY), request);
    }
    const { status } = await ask("/last", "");
    assertEquals(status, 404);
    await service.line((line) => line.includes("/last"));
    assert(!service.lines.join("\n").includes(KEY));
  });
});

Deno.test("contract: several keys are valid at once, so that a key can be replaced without an outage", async () => {
  await using service = await start({ env: { API_KEY: "new-key-0815,old-key-4711,k" } });
  const status = async (token: string) => {
    const response = await fetch(`${service.origin}/inspect`, { headers: { Authorization: `Bearer ${token}` } });
    await response.body?.cancel();
    return response.status;
  };
  for (const key of ["new-key-0815", "old-key-4711", "k"]) assertEquals(await status(key), 200, key);
  for (const key of ["new-key-0815,old-key-4711", "new-key-4711", "old-key-0815", "k,", "other"]) {
    assertEquals(await status(key), 401, key);
  }
});
