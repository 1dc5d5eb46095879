import { assertEquals } from "@std/assert";
import { logAccess } from "../../http/access_log.ts";
import { fakeContext, fakeRequest, INFO } from "./fake.ts";

async function written(headers: Record<string, string>, path = "/health", seconds = 0.0012345) {
  const { context, lines } = fakeContext();
  logAccess(context.log, "info", fakeRequest("GET", "http://h/x?token=hidden", headers), INFO, path, 200, seconds, "id-1");
  const all = await lines();
  assertEquals(all.length, 1);
  const { time: _, ...line }: Record<string, unknown> = all[0]!;
  return line;
}

Deno.test("logAccess() writes one line with what was asked, by whom, and how it went; headers that were not sent are left out", async () => {
  assertEquals(await written({}), {
    level: "info",
    message: "request",
    method: "GET",
    path: "/health",
    status: 200,
    duration_ms: 1.235,
    remote: "192.0.2.7",
    request_id: "id-1",
  });
});

Deno.test("logAccess() writes the user agent and who the proxy says it was, made fit for a log", async () => {
  const line = await written({ "user-agent": `a${"x".repeat(1000)}`, "x-forwarded-for": "198.51.100.1, 10.0.0.1" });
  assertEquals(line.forwarded_for, "198.51.100.1, 10.0.0.1");
  assertEquals((line.user_agent as string).length, 257);
});

Deno.test("logAccess() writes no key, wherever a client puts it", async () => {
  const key = "the-key-of-the-unit-tests";
  const line = await written({ "user-agent": `x${key}`, "x-forwarded-for": key }, `/${key}`);
  assertEquals([line.user_agent, line.forwarded_for, line.path], ["[a key]", "[a key]", "[a key]"]);
});
