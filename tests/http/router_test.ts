import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { createRouter, type Route } from "../../http/router.ts";
import { fakeContext, fakeRequest, INFO } from "./fake.ts";

const ROUTES: Route[] = [
  { path: "/moved", handler: () => Response.redirect("http://h/") },
  { path: "/", handler: () => new Response("root") },
  { path: "/a", handler: (request) => new Response(request.method) },
  { path: "/guarded", handler: () => new Response("secret"), guarded: true },
  { path: "/probed", handler: () => new Response("ok"), probed: true },
  {
    path: "/fault",
    handler: () => {
      throw new Error("internal wording");
    },
  },
];

/** Quiet by default: a line that waits to be written would outlive the test. */
function setUp(level: "debug" | "info" | "error" = "error") {
  const { context, lines } = fakeContext(level);
  const router = createRouter(ROUTES, context);
  const ask = (method: string, url: string, headers?: Record<string, string>) =>
    // These handlers await nothing.
    router(fakeRequest(method, url, headers), INFO) as Response;
  return { context, lines, ask };
}

const STATUSES: [method: string, url: string, status: number][] = [
  ["GET", "http://h/", 200],
  ["GET", "http://h/a", 200],
  ["GET", "http://h/a?x=/../&y", 200],
  ["GET", "http://h/a?", 200],
  ["GET", "https://[::1]:8443/a", 200],
  ["HEAD", "http://h/a", 200],
  ["OPTIONS", "http://h/a", 204],
  ["OPTIONS", "http://h/guarded", 204],
  ["OPTIONS", "http://h/*", 204],
  ["POST", "http://h/a", 405],
  ["TRACE", "http://h/a", 405],
  ["CONNECT", "http://h/a", 405],
  ["CONNECT", "h:443", 405],
  ["get", "http://h/a", 405],
  ["BREW", "http://h/guarded", 405],
  ["GET", "http://h/a/", 404],
  ["GET", "http://h//a", 404],
  ["GET", "http://h/./a", 404],
  ["GET", "http://h/b/../a", 404],
  ["GET", "http://h/%61", 404],
  ["GET", "http://h/A", 404],
  ["GET", "http://h/__proto__", 404],
  ["GET", "http://h/constructor", 404],
  ["OPTIONS", "http://h/nope", 404],
  ["DELETE", "http://h/nope", 404],
  ["GET", "", 400],
  ["GET", "http://h", 400],
  ["GET", "://x", 400],
];
for (const [method, url, status] of STATUSES) {
  Deno.test(`createRouter() answers ${method} ${url} with ${status}`, () => {
    assertEquals(setUp().ask(method, url).status, status);
  });
}

const HOSTS = ["h", "h:", "h:0", "h:65535", "127.0.0.1:4000", "[::1]", "[::ffff:1.2.3.4]:80", "a_b.c-d", "%41", "xn--a"];
for (const host of HOSTS) {
  Deno.test(`createRouter() serves Host ${host}`, () => {
    assertEquals(setUp().ask("GET", "http://h/", { host }).status, 200);
  });
}

const NO_HOSTS = [
  "",
  ":80",
  "h:65536",
  "h:x",
  "h:-1",
  "h:1:2",
  "a b",
  "a/b",
  "a?b",
  "a#b",
  "u@h",
  "a, b",
  "[::1",
  "::1",
  "%4",
  "<",
  "\xe9",
];
for (const host of NO_HOSTS) {
  Deno.test(`createRouter() refuses ${JSON.stringify(host)}, which is no host, also after having served one`, () => {
    const { ask } = setUp();
    assertEquals(ask("GET", "http://h/", { host }).status, 400);
    assertEquals(ask("GET", "http://h/", { host: "h" }).status, 200);
    assertEquals(ask("GET", "http://h/", { host }).status, 400);
    assertEquals(ask("GET", "http://h/", { host }).status, 400);
  });
}

Deno.test("createRouter() serves a request without Host, as HTTP/1.0 and HTTP/2 have it", () => {
  assertEquals(setUp().ask("GET", "http://h/").status, 200);
});

Deno.test("createRouter() lets only whoever holds the key through a guard, and counts refusals", async () => {
  const { ask, context } = setUp();
  assertEquals(ask("GET", "http://h/guarded").status, 401);
  assertEquals(ask("HEAD", "http://h/guarded").status, 401);
  assertEquals(ask("GET", "http://h/guarded", { authorization: "Bearer wrong" }).status, 401);
  const let_in = ask("GET", "http://h/guarded", { authorization: "Bearer the-key-of-the-unit-tests" });
  assertEquals(await let_in.text(), "secret");
  assertEquals(context.metrics.refusals, { no_credentials: 2, invalid_token: 1 });
});

Deno.test("createRouter() turns a fault of a handler into 500 without its words, and logs them under the request's id", async () => {
  const { ask, context, lines } = setUp("debug");
  const response = ask("GET", "http://h/fault", { "x-request-id": "id-7" });
  assertEquals(response.status, 500);
  const body = await response.text();
  assertEquals(JSON.parse(body).detail, "Internal Server Error");
  assert(!body.includes("wording") && !body.includes("router_test"), body);
  const [fault, access] = await lines();
  assertEquals([fault?.level, fault?.request_id, fault?.path], ["error", "id-7", "/fault"]);
  assertStringIncludes(fault?.error, "internal wording");
  assertStringIncludes(fault?.error, "router_test.ts");
  assertEquals([access?.message, access?.status, access?.request_id], ["request", 500, "id-7"]);
  assertEquals(context.metrics.inFlight, 0);
});

Deno.test("createRouter() adds its headers to an answer that a handler may not change any more, too", () => {
  const { ask, context } = setUp();
  const response = ask("GET", "http://h/moved", { "x-request-id": "id-8" });
  assertEquals([response.status, response.headers.get("location")], [302, "http://h/"]);
  assertEquals(response.headers.get("x-request-id"), "id-8");
  assertEquals(context.metrics.inFlight, 0);
});

Deno.test("createRouter() names each request: by the id it brought, or by one of its own", () => {
  const { ask } = setUp();
  assertEquals(ask("GET", "http://h/", { "x-request-id": "mine" }).headers.get("x-request-id"), "mine");
  const [first, second] = [1, 2].map(() => ask("GET", "http://h/nope").headers.get("x-request-id"));
  assert(first && second && first !== second);
});

Deno.test("createRouter() tells clients to close their connections while draining, and only then", () => {
  const { ask, context } = setUp();
  assertEquals(ask("GET", "http://h/").headers.get("connection"), null);
  context.draining = true;
  for (const url of ["http://h/", "http://h/nope"]) {
    assertEquals(ask("GET", url).headers.get("connection"), "close");
  }
});

Deno.test("createRouter() counts by the route, never by a path that a client made up", () => {
  const { ask, context } = setUp();
  ask("GET", "http://h/a?x=1");
  ask("GET", "http://h/made/up/1");
  ask("GET", "http://h/made/up/2");
  assertEquals(context.metrics.series.map(({ route, status }) => [route, status]), [["/a", 200], ["unknown", 404]]);
  assertEquals([context.metrics.answered, context.metrics.inFlight], [3, 0]);
});

Deno.test("createRouter() writes access lines as info, those of probed routes as debug, and without the query", async () => {
  const debug = setUp("debug");
  debug.ask("GET", "http://h/a?token=hidden");
  debug.ask("GET", "http://h/probed");
  const lines = await debug.lines();
  assertEquals(lines.map(({ level, path }) => [level, path]), [["info", "/a"], ["debug", "/probed"]]);
  const info = setUp("info");
  info.ask("GET", "http://h/a");
  info.ask("GET", "http://h/probed");
  assertEquals((await info.lines()).map(({ path }) => path), ["/a"]);
  const error = setUp("error");
  error.ask("GET", "http://h/a");
  assertEquals(await error.lines(), []);
});
