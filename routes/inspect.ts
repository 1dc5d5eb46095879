import type { Service } from "../http/context.ts";
import type { Handler } from "../http/router.ts";
import type { Snapshot } from "../system/sampler.ts";
import { formatDuration, formatPercent, formatSize } from "../system/units.ts";

const HEADERS = {
  "Content-Type": "application/json",
  // The runtime would compress it for clients that can unpack, which costs more than the kilobyte that it saves.
  "Cache-Control": "no-store, no-transform",
  "X-Content-Type-Options": "nosniff",
};

let latest: { snapshot: Snapshot; rest: string; now: number; response: Response } | undefined;

/** `GET /inspect`: the machine, this process and its control group. All but `now` is written once a second, `now` once a millisecond. */
export const inspect: Handler = (_request, { sampler: { snapshot }, service }) => {
  const now = Date.now();
  if (latest?.snapshot !== snapshot || latest.now !== now) {
    const rest = latest?.snapshot === snapshot ? latest.rest : JSON.stringify(describe(snapshot, service)).slice(1);
    const response = new Response(`{"now":"${new Date(now).toISOString()}",${rest}`, { headers: HEADERS });
    latest = { snapshot, rest, now, response };
  }
  return latest.response.clone();
};

/** Everything but `now`, in the shape that the contract fixes. */
export function describe(snapshot: Snapshot, service: Service) {
  const { facts, memory, processMemory, controlGroup: group } = snapshot;
  return {
    system: {
      platform: facts.platform,
      release: facts.release,
      arch: facts.arch,
      uptime: snapshot.uptime === null ? null : formatDuration(snapshot.uptime),
      hostname: facts.hostname,
      cpu_used_percent: formatPercent(snapshot.cpuUsed),
      memory_used_percent: memory && formatPercent((memory.total - memory.available) / memory.total),
      cpu_count: facts.cpuCount,
      load_average: snapshot.loadAverage,
    },
    memory: { total: size(memory?.total), free: size(memory?.available) },
    process: {
      pid: facts.pid,
      uptime: formatDuration(snapshot.processUptime),
      memoryUsage: {
        rss: size(processMemory?.resident),
        vms: size(processMemory?.virtual),
        percent: memory && processMemory && `${(processMemory.resident / memory.total * 100).toFixed(2)}%`,
      },
      cpu_used_percent: formatPercent(snapshot.processCpuUsed),
      heap: { used: size(snapshot.heap.used), total: size(snapshot.heap.total) },
    },
    control_group: group && {
      memory: {
        limit: size(group.memory?.limit),
        used: size(group.memory?.used),
        used_percent: group.memory?.limit && group.memory.used !== null
          ? formatPercent(group.memory.used / group.memory.limit)
          : null,
      },
      cpu: {
        limit: group.cpu?.limit ?? null,
        used_percent: formatPercent(snapshot.groupCpuUsed),
        throttled_percent: formatPercent(snapshot.groupThrottled),
      },
    },
    service,
  };
}

function size(bytes: number | null | undefined): string | null {
  return typeof bytes === "number" ? formatSize(bytes) : null;
}
