/**
 * All that handlers need besides the request, made before the first one comes.
 *
 * @module
 */

import type { Log } from "../log.ts";
import type { Snapshot } from "../system/sampler.ts";
import type { Authenticate } from "./auth.ts";
import type { Metrics } from "./metrics.ts";

/** What handlers may look at. */
export interface Context {
  readonly authenticate: Authenticate;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly sampler: { readonly snapshot: Snapshot };
  readonly service: Service;
  /** Whether the service has been told to stop. */
  draining: boolean;
  /** Seconds after which another process should have taken over from one that drains. */
  readonly retryAfter: number;
}

/** What runs. */
export interface Service {
  readonly name: string;
  readonly version: string;
  readonly deno: string;
  readonly v8: string;
}
