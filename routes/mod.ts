/**
 * All that the service answers.
 *
 * @module
 */

import type { Route } from "../http/router.ts";
import { greeting } from "./greeting.ts";
import { health } from "./health.ts";
import { inspect } from "./inspect.ts";
import { metrics } from "./metrics.ts";

export const routes: readonly Route[] = [
  { path: "/", handler: greeting },
  { path: "/health", handler: health, probed: true },
  { path: "/inspect", handler: inspect, guarded: true },
  { path: "/metrics", handler: metrics, guarded: true },
];
