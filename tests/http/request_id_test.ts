import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { createRequestIds } from "../../http/request_id.ts";

const idOf = createRequestIds((text) => text.includes("secret"));
const ask = (given?: string) => idOf(new Headers(given === undefined ? {} : { "x-request-id": given }));

Deno.test("createRequestIds() keeps a sane id that the client gave", () => {
  for (const id of ["a", "0b9c6f2e-4f3a-4e0e-9a51-3c1a6a1d7e10", "!~", "x".repeat(128)]) assertEquals(ask(id), id);
});

Deno.test("createRequestIds() replaces an id that is empty, too long, or not visible ASCII", () => {
  for (const id of ["", "a b", "x".repeat(129), "caf\xe9", "a\tb"]) {
    assertMatch(ask(id), /^[0-9a-f]{16}-\d+$/, JSON.stringify(id));
  }
});

Deno.test("createRequestIds() does not echo an id that has a key in it", () => {
  assertMatch(ask("my-secret-1"), /^[0-9a-f]{16}-\d+$/);
});

Deno.test("createRequestIds() never makes the same id twice, in this process or another", () => {
  const ids = Array.from({ length: 1000 }, () => ask());
  assertEquals(new Set(ids).size, 1000);
  const other = createRequestIds(() => false)(new Headers());
  assertNotEquals(other.split("-")[0], ids[0]!.split("-")[0]);
});
