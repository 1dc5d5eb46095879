import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type Answer, assertCommonHeaders, assertProblem, parseAnswer } from "./answer.ts";
import { exchange, KEY, type RunningService, start } from "./service.ts";

// The sentences of the contract about routes, methods, paths, `Host` and errors; authentication_test.ts has those about keys.

const ROUTES = ["/", "/health", "/inspect", "/metrics"];
const ALLOW = "GET, HEAD, OPTIONS";

/** Sends a request exactly as written, with the key. */
async function ask(service: RunningService, method: string, target: string, more = "Host: localhost\r\n"): Promise<Answer> {
  const head = `${method} ${target} HTTP/1.1\r\n${more}Authorization: Bearer ${KEY}\r\nConnection: close\r\n\r\n`;
  return parseAnswer(await service.raw(head, 2000));
}

Deno.test("contract: routes", async (t) => {
  await using service = await start();

  await t.step("GET / greets", async () => {
    const response = await fetch(`${service.origin}/`);
    assertEquals([response.status, response.headers.get("content-type")], [200, "application/json"]);
    assertEquals(await response.text(), '{"message":"Konnichiwa"}');
    assertCommonHeaders(response);
  });

  await t.step("GET /health says ok as a JSON string, not to be stored", async () => {
    const response = await fetch(`${service.origin}/health`);
    assertEquals([response.status, response.headers.get("content-type")], [200, "application/json"]);
    assertEquals(response.headers.get("cache-control"), "no-store");
    assertEquals(await response.text(), '"ok"');
    assertCommonHeaders(response);
  });

  await t.step("GET /inspect answers whoever holds the key with an object, not to be stored", async () => {
    const response = await service.get("/inspect");
    assertEquals([response.status, response.headers.get("content-type")], [200, "application/json"]);
    assertStringIncludes(response.headers.get("cache-control"), "no-store");
    assertEquals(typeof (await response.json()).system, "object");
    assertCommonHeaders(response);
  });

  await t.step("GET /metrics answers whoever holds the key with Prometheus' text format", async () => {
    const response = await service.get("/metrics");
    assertEquals(response.status, 200);
    assertMatch(response.headers.get("content-type"), /^text\/plain; version=0\.0\.4/);
    assertMatch(await response.text(), /^# HELP \S+ .+\n# TYPE \S+ (counter|gauge|histogram)\n/);
    assertCommonHeaders(response);
  });

  for (const path of ROUTES) {
    await t.step(`HEAD ${path} has the status and the headers of GET, Content-Length too, and no body`, async () => {
      // The figures of /inspect and /metrics change by the second and by the request, and their length with them.
      const changing = path === "/inspect" || path === "/metrics";
      let [get, head]: Answer[] = [];
      for (let tries = changing ? 5 : 1; tries > 0; tries--) {
        get = await ask(service, "GET", path);
        head = await ask(service, "HEAD", path);
        if (head.headers.get("content-length") === get.headers.get("content-length")) break;
      }
      assertEquals(head!.body, "");
      assertEquals(head!.status, get!.status);
      assertEquals(get!.headers.get("content-length"), String(get!.body.length));
      const comparable = ({ headers }: Answer) =>
        [...headers].filter(([name]) =>
          !["date", "x-request-id", path === "/metrics" ? "content-length" : ""].includes(name)
        );
      assertEquals(comparable(head!), comparable(get!));
      assert(Number(head!.headers.get("content-length")) > 0);
    });

    await t.step(`OPTIONS ${path} names what is allowed, with or without a key`, async () => {
      const answer = parseAnswer(
        await service.raw(`OPTIONS ${path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`, 2000),
      );
      assertEquals([answer.status, answer.headers.get("allow"), answer.body], [204, ALLOW, ""]);
      assertCommonHeaders(answer);
    });

    for (const method of ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "BREW", "get", "Options"]) {
      await t.step(`${method} ${path} is 405 with the same Allow`, async () => {
        const answer = await ask(service, method, path);
        assertProblem(answer, 405, "Method Not Allowed");
        assertEquals(answer.headers.get("allow"), ALLOW);
        assertCommonHeaders(answer);
      });
    }
  }

  await t.step("CONNECT, which names no path (RFC 9110, section 9.3.6), is 405", async () => {
    const answer = await ask(service, "CONNECT", "localhost:443");
    assertProblem(answer, 405, "Method Not Allowed");
    assertEquals(answer.headers.get("allow"), ALLOW);
  });

  await t.step("CONNECT with a path is 405, or 400 from versions of Deno that take it for broken HTTP", async () => {
    for (const path of ROUTES) {
      const { status } = await ask(service, "CONNECT", `http://localhost${path}`);
      assert(status === 405 || status === 400, `${path}: ${status}`);
    }
  });

  await t.step("OPTIONS * asks about the whole server", async () => {
    const answer = await ask(service, "OPTIONS", "*");
    assertEquals([answer.status, answer.headers.get("allow")], [204, ALLOW]);
  });

  await t.step("a POST with a body is answered, and the connection stays usable", async () => {
    const both = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" +
      "GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    const text = await service.raw(both, 2000);
    assertMatch(text, /^HTTP\/1\.1 405 [^]*HTTP\/1\.1 200 OK[^]*"ok"$/);
  });
});

Deno.test("contract: paths", async (t) => {
  await using service = await start();

  const unknown = [
    "/nope",
    "/./health",
    "/../health",
    "/health/",
    "/health/.",
    "//health",
    "/%68ealth",
    "/Health",
    "/health;x",
    "/health%3F",
  ];
  for (const path of [...unknown, "/inspect/", "/healt", "/healthy", "/favicon.ico", "/index.html", "//", "/*"]) {
    await t.step(`GET ${path} is 404`, async () => {
      const answer = await ask(service, "GET", path);
      assertProblem(answer, 404, "Not Found");
      assertCommonHeaders(answer);
    });
  }

  for (const method of ["HEAD", "OPTIONS", "POST", "DELETE", "TRACE", "BREW"]) {
    await t.step(`${method} of an unknown path is 404`, async () => {
      for (const path of ["/nope", "/health/", "/%69nspect"]) {
        const answer = await ask(service, method, path);
        assertEquals(answer.status, 404, path);
        assertEquals(answer.headers.get("content-type"), "application/problem+json");
        assertEquals(answer.headers.get("content-length"), String((await ask(service, "GET", path)).body.length));
      }
    });
  }

  await t.step("the query string plays no part", async () => {
    for (const query of ["?", "?a=b", "?/nope", "?x=/../..&y=%zz", "??", `?${"q".repeat(4000)}`]) {
      assertEquals((await ask(service, "GET", `/health${query}`)).body, '"ok"', query);
      assertEquals((await ask(service, "GET", `/${query}`)).status, 200, query);
      assertEquals((await ask(service, "GET", `/nope${query}`)).status, 404, query);
    }
    assertEquals((await ask(service, "GET", "/nope?/health")).status, 404);
  });

  await t.step("a target in absolute form is served by its path (RFC 9112, section 3.2.2)", async () => {
    assertEquals((await ask(service, "GET", "http://other.example/health")).body, '"ok"');
    assertEquals((await ask(service, "GET", "http://other.example/nope")).status, 404);
  });
});

Deno.test("contract: Host", async (t) => {
  await using service = await start();

  await t.step("one that is a name or an address is served, with or without a port", async () => {
    for (const host of ["localhost", "127.0.0.1:4000", "[::1]:80", "a.b-c_d", "h:", "UPPER.example"]) {
      assertEquals((await ask(service, "GET", "/", `Host: ${host}\r\n`)).status, 200, host);
    }
  });

  await t.step("one that is none is 400", async () => {
    for (
      const host of [
        "",
        "a b",
        "a/b",
        "u@h",
        "h:x",
        "h:99999",
        ":80",
        "http://h",
        "[::1",
        "\xe9",
        "h?",
        "h#",
        "a\\b",
        "<h>",
        "h:80:80",
      ]
    ) {
      const answer = await ask(service, "GET", "/", `Host: ${host}\r\n`);
      assertProblem(answer, 400, "Bad Request");
      assertCommonHeaders(answer);
    }
  });

  await t.step("more than one is 400, the same twice too", async () => {
    for (const [first, second] of [["a", "b"], ["a", "a"], ["a", ""], ["", "a"]]) {
      const answer = await ask(service, "GET", "/", `Host: ${first}\r\nHost: ${second}\r\n`);
      assertEquals(answer.status, 400, `${first} and ${second}`);
    }
  });

  await t.step("a bad one is 400 on every route, for every method, key or not", async () => {
    for (const path of [...ROUTES, "/nope"]) {
      for (const method of ["GET", "HEAD", "OPTIONS", "POST"]) {
        assertEquals((await ask(service, method, path, "Host: a b\r\n")).status, 400, `${method} ${path}`);
      }
    }
  });

  await t.step("a missing one is served: HTTP/1.0 health checks send none", async () => {
    for (const version of ["1.0", "1.1"]) {
      const answer = parseAnswer(await service.raw(`GET /health HTTP/${version}\r\nConnection: close\r\n\r\n`, 2000));
      assertEquals([answer.status, answer.body], [200, '"ok"']);
    }
    assertMatch(await service.raw("GET /health HTTP/1.0\r\n\r\n", 2000), /"ok"$/);
  });
});

Deno.test("contract: what Deno answers by itself to broken HTTP has no body, and the service goes on", async () => {
  await using service = await start();
  const broken = [
    "\r\n\r\n\0\r\n\r\n",
    "GET\r\n\r\n",
    "GET / HTTP/9.9\r\nHost: h\r\n\r\n",
    "GET health HTTP/1.1\r\nHost: h\r\n\r\n",
    "CONNECT /health HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
    `GET /inspect HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ${KEY}\0\r\n\r\n`,
  ];
  for (const request of broken) {
    const { status, headers, body } = parseAnswer(await service.raw(request, 300));
    assertEquals([status, body, headers.get("server")], [400, "", null], JSON.stringify(request));
  }
  assertEquals(await (await service.get("/health")).text(), '"ok"');
});

Deno.test("contract: answers are not compressed, whatever the client accepts, so that clients and figures stay simple", async () => {
  await using service = await start();
  for (const path of ["/", "/health", "/inspect", "/metrics", "/nope"]) {
    const answer = await ask(service, "GET", path, "Host: h\r\nAccept-Encoding: gzip, br\r\n");
    assertEquals(answer.headers.get("content-encoding"), null, path);
    assertEquals(answer.headers.get("content-length"), String(answer.body.length), path);
  }
});

Deno.test("contract: HTTP/2 without TLS, for those who know beforehand, is served the same", async () => {
  await using service = await start();
  using client = Deno.createHttpClient({ http1: false, http2: true });
  const response = await fetch(`${service.origin}/health`, { client });
  assertEquals([response.status, await response.text()], [200, '"ok"']);
  const refused = await fetch(`${service.origin}/inspect`, { client });
  assertEquals([refused.status, (await refused.json()).detail], [401, "Not authenticated"]);
});

Deno.test("contract: the answer names the request, by the client's id where it brought a sane one", async () => {
  await using service = await start();
  assertEquals((await ask(service, "GET", "/", "Host: h\r\nX-Request-Id: abc-1\r\n")).headers.get("x-request-id"), "abc-1");
  const made = (await ask(service, "GET", "/", `Host: h\r\nX-Request-Id: ${KEY}\r\n`)).headers.get("x-request-id");
  assertMatch(made, /^[0-9a-f]{16}-\d+$/);
});

Deno.test("contract: two requests in one go are answered in their order", async () => {
  await using service = await start();
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: service.port });
  const text = await exchange(
    connection,
    "GET /nope HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    2000,
  );
  assertMatch(text, /^HTTP\/1\.1 404 [^]*HTTP\/1\.1 200 OK[^]*Konnichiwa/);
});
