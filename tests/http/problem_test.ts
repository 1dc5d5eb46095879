import { assertEquals } from "@std/assert";
import { BAD_REQUEST, INTERNAL_SERVER_ERROR, METHOD_NOT_ALLOWED, NOT_FOUND, problem } from "../../http/problem.ts";

Deno.test("problem() makes a problem document of RFC 9457", async () => {
  const response = problem(503, "Service Unavailable", { "Retry-After": "8" });
  assertEquals(response.status, 503);
  assertEquals(response.headers.get("content-type"), "application/problem+json");
  assertEquals(response.headers.get("x-content-type-options"), "nosniff");
  assertEquals(response.headers.get("retry-after"), "8");
  assertEquals(await response.json(), {
    type: "about:blank",
    title: "Service Unavailable",
    status: 503,
    detail: "Service Unavailable",
  });
});

Deno.test("problem() titles with the standard phrase and details in the words it was given", async () => {
  const { title, detail } = await problem(401, "Not authenticated").json();
  assertEquals([title, detail], ["Unauthorized", "Not authenticated"]);
});

for (
  const [response, status, detail] of [
    [BAD_REQUEST, 400, "Bad Request"],
    [NOT_FOUND, 404, "Not Found"],
    [METHOD_NOT_ALLOWED, 405, "Method Not Allowed"],
    [INTERNAL_SERVER_ERROR, 500, "Internal Server Error"],
  ] as const
) {
  Deno.test(`the prepared answer ${status} says ${detail}, and can be sent again and again`, async () => {
    for (let time = 0; time < 2; time++) {
      const sent = response.clone();
      assertEquals([sent.status, (await sent.json()).detail], [status, detail]);
    }
  });
}

Deno.test("the prepared answer 405 names the methods that are allowed (RFC 9110, section 15.5.6)", () => {
  assertEquals(METHOD_NOT_ALLOWED.headers.get("allow"), "GET, HEAD, OPTIONS");
});
