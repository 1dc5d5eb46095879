import { assert, assertEquals } from "@std/assert";
import { createAuthenticator, refuse } from "../../http/auth.ts";

const authenticate = createAuthenticator(["first-key", "second", "a,b"]);

function ask(authorization?: string) {
  return authenticate(new Request("http://h/", { headers: authorization === undefined ? {} : { authorization } }));
}

const ACCEPTED = [
  "Bearer first-key",
  "bearer first-key",
  "BEARER first-key",
  "bEaReR second",
  "Bearer   second",
  "Bearer second ",
  "Bearer a,b",
];
for (const header of ACCEPTED) {
  Deno.test(`createAuthenticator() accepts ${JSON.stringify(header)}`, () => assertEquals(ask(header), null));
}

const NO_CREDENTIALS = [
  undefined,
  "",
  "Bearer",
  "Bearer ",
  "Bearer     ",
  "Bearerfirst-key",
  "Bearer\tfirst-key",
  "first-key",
  "Basic first-key",
  "Token first-key",
  "XBearer first-key",
  "Bearer first-key x",
  "Bearer first-key, Bearer first-key",
  "Bearer first-key, Basic x",
  "Basic x, Bearer first-key",
];
for (const header of NO_CREDENTIALS) {
  Deno.test(`createAuthenticator() finds no credentials in ${JSON.stringify(header)}`, () => {
    assertEquals(ask(header), "no_credentials");
  });
}

const WRONG = [
  "Bearer x",
  "Bearer first-ke",
  "Bearer first-key1",
  "Bearer First-key",
  "Bearer first-key\xa0",
  "Bearer first-k\xe9y",
  "Bearer second,first-key",
  "Bearer secondfirst-key",
  "Bearer seconD",
  `Bearer ${"x".repeat(10_000)}`,
  `Bearer first-key${"x".repeat(10_000)}`,
];
for (const header of WRONG) {
  Deno.test(`createAuthenticator() refuses ${JSON.stringify(header.slice(0, 30))}, ${header.length} characters`, () => {
    assertEquals(ask(header), "invalid_token");
  });
}

Deno.test("createAuthenticator() takes a character for none other that has the same low byte", () => {
  // A header cannot hold it; the comparison must not depend on that.
  const headers = { get: () => `Bearer ${String.fromCharCode(0x100 + "s".charCodeAt(0))}econd` };
  assertEquals(authenticate({ headers } as unknown as Request), "invalid_token");
});

Deno.test("createAuthenticator() forgets the token before: a shorter one is not filled up with its rest", () => {
  assertEquals(ask("Bearer first-key"), null);
  assertEquals(ask("Bearer first"), "invalid_token");
  assertEquals(ask("Bearer second"), null);
});

Deno.test("createAuthenticator() accepts a key that was given twice", () => {
  const twice = createAuthenticator(["same", "same"]);
  assertEquals(twice(new Request("http://h/", { headers: { authorization: "Bearer same" } })), null);
});

Deno.test("createAuthenticator() takes the same time wherever a token differs, and for whichever key", () => {
  // Long keys and many, the fastest of many runs in turn: what is left is the work itself. Measured: within 1.2 times of one
  // another, on a busy machine too; stopping at the first difference makes the first token 18 times as fast as the last.
  const length = 5000;
  const keys = Array.from({ length: 40 }, (_, number) => "a".repeat(length - 2) + number.toString(36).padStart(2, "0"));
  const long = createAuthenticator(keys);
  const tokens = [`x${keys[0]!.slice(1)}`, `${keys[0]!.slice(0, -1)}x`, keys[0]!, keys.at(-1)!];
  const requests = tokens.map((token) => ({ headers: { get: () => `Bearer ${token}` } }) as unknown as Request);
  const fastest = tokens.map(() => Infinity);
  for (let round = 0; round < 60; round++) {
    requests.forEach((request, place) => {
      const started = performance.now();
      long(request);
      fastest[place] = Math.min(fastest[place]!, performance.now() - started);
    });
  }
  const [least, most] = [Math.min(...fastest), Math.max(...fastest)];
  assert(most / least < 4, `the fastest of 60 runs each took ${fastest.map((time) => time.toFixed(3))} ms`);
});

Deno.test("refuse() challenges whoever brought no credentials, without an error", async () => {
  const response = refuse("no_credentials");
  assertEquals(response.status, 401);
  assertEquals(response.headers.get("www-authenticate"), 'Bearer realm="konnichiwa"');
  assertEquals((await response.json()).detail, "Not authenticated");
});

Deno.test("refuse() tells of a wrong key that it is invalid", async () => {
  const response = refuse("invalid_token");
  assertEquals(response.status, 401);
  assertEquals(response.headers.get("www-authenticate"), 'Bearer realm="konnichiwa", error="invalid_token"');
  assertEquals((await response.json()).detail, "Unauthorized");
});
