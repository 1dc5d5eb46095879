import { assert, assertEquals, assertGreater } from "@std/assert";
import { KEY, type RunningService, start } from "../service.ts";

const deploy = decodeURIComponent(new URL("../../deploy/prometheus/", import.meta.url).pathname);

function has(program: string): boolean {
  try {
    return new Deno.Command(program, { args: ["--version"], stdout: "null", stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}

/** A test that needs programs of Prometheus; where they are missing its name says so. */
function testWith(programs: readonly string[], name: string, fn: () => Promise<void>): void {
  const missing = programs.filter((program) => !has(program));
  if (missing.length === 0) Deno.test(name, fn);
  else Deno.test({ name: `${name} (skipped: no ${missing.join(", no ")})`, ignore: true, fn });
}

/** Runs promtool; what it says, on both outputs, with its exit code. */
async function promtool(args: readonly string[], input = ""): Promise<{ code: number; said: string }> {
  const process = new Deno.Command("promtool", { args: [...args], stdin: "piped", stdout: "piped", stderr: "piped" })
    .spawn();
  const writer = process.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input));
  await writer.close();
  const { code, stdout, stderr } = await process.output();
  return { code, said: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

/** Asks for every route in every way that makes a series of its own; returns how many requests that were. */
async function ask({ origin }: RunningService): Promise<number> {
  const bearer = { Authorization: `Bearer ${KEY}` };
  const requests: [path: string, options: RequestInit][] = [
    ["/", {}],
    ["/", { method: "HEAD" }],
    ["/", { method: "POST", body: "x" }],
    ["/health", {}],
    ["/inspect", {}],
    ["/inspect", { headers: { Authorization: "Bearer another-key" } }],
    ["/inspect", { headers: bearer }],
    ["/none", {}],
    ["/none/other?q=1", { method: "DELETE" }],
    ["/", { method: "INVENTED" }],
    ["/", { method: "INVENTED-TOO" }],
  ];
  for (const [path, options] of requests) await (await fetch(`${origin}${path}`, options)).body?.cancel();
  return requests.length;
}

async function scrape(service: RunningService): Promise<string> {
  const response = await service.get("/metrics");
  assertEquals(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  return await response.text();
}

/** The samples of one name: labels as written (none: "") to value. */
function samples(text: string, name: string): Map<string, number> {
  const lines = [...text.matchAll(/^(\w+)(\{.*\})? (\S+)$/gm)];
  return new Map(lines.filter((line) => line[1] === name).map((line) => [line[2] ?? "", Number(line[3])]));
}

testWith(
  ["promtool"],
  "promtool check metrics is silent on /metrics of a service that was asked for everything",
  async () => {
    await using service = await start();
    await ask(service);
    assertEquals(await promtool(["check", "metrics"], await scrape(service)), { code: 0, said: "" });
  },
);

testWith(["promtool"], "promtool accepts the alert rules, and they fire when they should and only then", async () => {
  const check = await promtool(["check", "rules", `${deploy}rules.yml`]);
  assertEquals(check.code, 0, check.said);
  assert(check.said.includes("3 rules found"), check.said);
  const test = await promtool(["test", "rules", `${deploy}rules_test.yml`]);
  assertEquals(test.code, 0, test.said);
});

Deno.test("/metrics has every series that is promised, and its counters are exact", async () => {
  await using service = await start();
  const asked = await ask(service);
  const text = await scrape(service);

  const total = samples(text, "http_requests_total");
  assertEquals([...total.values()].reduce((sum, value) => sum + value), asked);
  assertEquals(total.get('{route="/",method="OTHER",status="405"}'), 2);
  assertEquals(total.get('{route="unknown",method="DELETE",status="404"}'), 1);
  const routes = new Set([...total.keys()].map((labels) => /route="([^"]*)"/.exec(labels)![1]));
  assertEquals([...routes].sort(), ["/", "/health", "/inspect", "unknown"]);

  const sums = samples(text, "http_request_duration_seconds_sum");
  for (const [labels, count] of samples(text, "http_request_duration_seconds_count")) {
    assertEquals(count, total.get(labels));
    assertGreater(sums.get(labels)!, 0);
    const prefix = labels.slice(0, -1);
    const buckets = [...samples(text, "http_request_duration_seconds_bucket")]
      .filter(([labels]) => labels.startsWith(`${prefix},`)).map(([, value]) => value);
    assertEquals(buckets, buckets.toSorted((a, b) => a - b), "a bucket holds all that smaller ones do");
    assertEquals(buckets.at(-1), count);
  }
  assertEquals(sums.size, total.size);

  assertEquals(Object.fromEntries(samples(text, "konnichiwa_unauthorized_total")), {
    '{reason="no_credentials"}': 1,
    '{reason="invalid_token"}': 1,
  });
  for (
    const [name, value] of [
      ["http_requests_in_flight", 1],
      ["konnichiwa_accept_failures_total", 0],
      ["konnichiwa_log_lines_dropped_total", 0],
      ["konnichiwa_draining", 0],
    ] as const
  ) assertEquals(samples(text, name).get(""), value, name);
  assertEquals([...samples(text, "konnichiwa_build_info").values()], [1]);
  const startTime = samples(text, "process_start_time_seconds").get("")!;
  assert(Math.abs(Date.now() / 1000 - startTime) < 30, `started at ${startTime}`);
  for (
    const name of [
      "process_cpu_seconds_total",
      "process_resident_memory_bytes",
      "process_virtual_memory_bytes",
      "process_max_fds",
      "konnichiwa_host_cpus",
      "konnichiwa_host_memory_total_bytes",
      "konnichiwa_host_memory_available_bytes",
      "konnichiwa_host_uptime_seconds",
    ]
  ) {
    if (Deno.build.os === "linux") assertGreater(samples(text, name).get("") ?? -1, 0, name);
  }
});

testWith(
  ["prometheus", "promtool"],
  "Prometheus scrapes with the key: up is 1, and every request is counted once",
  async () => {
    await using service = await start();
    const directory = await Deno.makeTempDir({ prefix: "konnichiwa-prometheus-" });
    await Deno.writeTextFile(`${directory}/key`, `${KEY}\n`);
    // The configuration that is shown to users, with nothing but addresses and times replaced.
    let configuration = await Deno.readTextFile(`${deploy}prometheus.yml`);
    for (
      const [shown, used] of [
        ["konnichiwa:4000", `127.0.0.1:${service.port}`],
        ["/etc/prometheus/konnichiwa.key", `${directory}/key`],
        ["scrape_interval: 15s", "scrape_interval: 1s\n  evaluation_interval: 1s"],
        ["rules.yml", `${deploy}rules.yml`],
      ] as const
    ) {
      assert(configuration.includes(shown), `prometheus.yml has ${shown}`);
      configuration = configuration.replace(shown, used);
    }
    await Deno.writeTextFile(`${directory}/prometheus.yml`, configuration);
    const check = await promtool(["check", "config", `${directory}/prometheus.yml`]);
    assertEquals(check.code, 0, check.said);

    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const address = `127.0.0.1:${listener.addr.port}`;
    listener.close();
    const prometheus = new Deno.Command("prometheus", {
      args: [
        `--config.file=${directory}/prometheus.yml`,
        `--storage.tsdb.path=${directory}/data`,
        `--web.listen-address=${address}`,
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const said = new Response(prometheus.stderr).text();
    let passed = false;

    /** The values of an instant query, by their labels. */
    async function query(expression: string): Promise<{ metric: Record<string, string>; value: number }[]> {
      try {
        const response = await fetch(`http://${address}/api/v1/query?query=${encodeURIComponent(expression)}`);
        const { data } = await response.json();
        return data.result.map(({ metric, value }: { metric: Record<string, string>; value: [number, string] }) => ({
          metric,
          value: Number(value[1]),
        }));
      } catch {
        return []; // It is still starting.
      }
    }

    /** Waits until an expression has a value that is wanted; returns the last one. */
    async function wait(expression: string, wanted: (value: number | undefined) => boolean): Promise<number | undefined> {
      let value: number | undefined;
      for (const deadline = Date.now() + 20_000; Date.now() < deadline;) {
        value = (await query(expression))[0]?.value;
        if (wanted(value)) break;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      return value;
    }

    try {
      assertEquals(await wait("up", (value) => value === 1), 1, "up");
      // Scrapes are requests too; they are counted under a route of their own.
      const counted = 'sum(http_requests_total{route!="/metrics"}) or vector(0)';
      const before = (await query(counted))[0]!.value;
      let sent = 0;
      await Promise.all(Array.from({ length: 16 }, async () => {
        for (let round = 0; round < 10; round++) {
          const asked = await ask(service);
          sent += asked;
        }
      }));
      assertEquals((await wait(counted, (value) => value! - before >= sent))! - before, sent);

      const scrapes = (await query('http_requests_total{route="/metrics",status="200"}'))[0]!.value;
      await wait('http_requests_total{route="/metrics",status="200"}', (value) => value! >= scrapes + 2);
      assertEquals((await query(counted))[0]!.value - before, sent, "and it stays so");
      assertEquals((await query("http_request_duration_seconds_count - http_requests_total != 0")).length, 0);
      assertEquals(await query('ALERTS{alertname=~"Konnichiwa.*",alertstate="firing"}'), []);
      const { data } = await (await fetch(`http://${address}/api/v1/rules`)).json();
      assertEquals(
        data.groups.flatMap(({ rules }: { rules: { name: string; health: string }[] }) =>
          rules.map(({ name, health }) => `${name} ${health}`)
        ),
        ["KonnichiwaDown ok", "KonnichiwaFailing ok", "KonnichiwaNotAccepting ok"],
      );
      passed = true;
    } finally {
      prometheus.kill("SIGTERM");
      const deadline = setTimeout(() => prometheus.kill("SIGKILL"), 10_000);
      await prometheus.status;
      clearTimeout(deadline);
      if (!passed) console.error((await said).slice(-4000));
      await said;
      await Deno.remove(directory, { recursive: true });
    }
  },
);
