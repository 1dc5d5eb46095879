/**
 * Counts requests, for `/metrics`.
 *
 * @module
 */

import type { Refusal } from "./auth.ts";

/** Upper bounds in seconds. Measured: most greetings take 2 to 5 µs; what takes longer than a second is broken. */
export const BUCKETS = [2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 1e-3, 5e-3, 0.025, 0.1, 1] as const;

const METHODS = new Set(["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT"]);

/** Requests of one route, method and status. */
export interface Series {
  readonly route: string;
  readonly method: string;
  readonly status: number;
  /** Sum of their durations, in seconds. */
  sum: number;
  /** How many took at most `BUCKETS[i]` seconds and more than the bound before; the last place is for all that took longer. */
  readonly buckets: number[];
}

/** The counters. */
export interface Metrics {
  /** Requests answered so far, and being answered now. */
  answered: number;
  inFlight: number;
  acceptFailures: number;
  readonly refusals: Record<Refusal, number>;
  readonly series: readonly Series[];
  observe(route: string, method: string, status: number, seconds: number): void;
  unauthorized(reason: Refusal): void;
}

/** Makes counters that are all at zero. */
export function createMetrics(): Metrics {
  const series: Series[] = [];
  const refusals: Record<Refusal, number> = { no_credentials: 0, invalid_token: 0 };

  /** There are a handful, a hundred at most: looking through them takes less than maps of maps. */
  function find(route: string, method: string, status: number): Series {
    for (const one of series) {
      if (one.status === status && one.route === route && one.method === method) return one;
    }
    if (method !== "OTHER" && !METHODS.has(method)) return find(route, "OTHER", status);
    const made = { route, method, status, sum: 0, buckets: new Array(BUCKETS.length + 1).fill(0) };
    series.push(made);
    return made;
  }

  const metrics: Metrics = {
    answered: 0,
    inFlight: 0,
    acceptFailures: 0,
    refusals,
    series,
    observe(route, method, status, seconds) {
      metrics.answered++;
      const found = find(route, method, status);
      found.sum += seconds;
      let bucket = 0;
      while (bucket < BUCKETS.length && seconds > BUCKETS[bucket]!) bucket++;
      found.buckets[bucket]!++;
    },
    unauthorized(reason) {
      refusals[reason]++;
    },
  };
  return metrics;
}
