import { assertAlmostEquals, assertEquals } from "@std/assert";
import { BUCKETS, createMetrics } from "../../http/metrics.ts";

Deno.test("createMetrics() counts by route, method and status", () => {
  const metrics = createMetrics();
  metrics.observe("/", "GET", 200, 0.5);
  metrics.observe("/", "GET", 200, 0.25);
  metrics.observe("/", "HEAD", 200, 0);
  metrics.observe("/", "GET", 400, 0);
  metrics.observe("unknown", "GET", 404, 0);
  assertEquals(metrics.answered, 5);
  assertEquals(
    metrics.series.map(({ route, method, status, buckets }) => [route, method, status, add(buckets)]),
    [["/", "GET", 200, 2], ["/", "HEAD", 200, 1], ["/", "GET", 400, 1], ["unknown", "GET", 404, 1]],
  );
  assertAlmostEquals(metrics.series[0]!.sum, 0.75);
});

Deno.test("createMetrics() counts methods that nobody knows as one, so that clients cannot make series without end", () => {
  const metrics = createMetrics();
  for (const method of ["BREW", "get", "X".repeat(1000)]) metrics.observe("/", method, 405, 0);
  assertEquals(metrics.series.map(({ method, buckets }) => [method, add(buckets)]), [["OTHER", 3]]);
});

Deno.test("createMetrics() puts a duration into the first bucket that it is not longer than", () => {
  const metrics = createMetrics();
  for (const seconds of [0, BUCKETS[0], BUCKETS[0] * 1.01, 1, 1.01, 1000]) metrics.observe("/", "GET", 200, seconds);
  const { buckets } = metrics.series[0]!;
  assertEquals(buckets.length, BUCKETS.length + 1);
  assertEquals([buckets[0], buckets[1], buckets.at(-2), buckets.at(-1), add(buckets)], [2, 1, 1, 2, 6]);
});

Deno.test("createMetrics() counts refusals by reason", () => {
  const metrics = createMetrics();
  metrics.unauthorized("no_credentials");
  metrics.unauthorized("invalid_token");
  metrics.unauthorized("invalid_token");
  assertEquals(metrics.refusals, { no_credentials: 1, invalid_token: 2 });
});

function add(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}
