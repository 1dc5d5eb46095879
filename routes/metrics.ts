import { BUCKETS, type Metrics } from "../http/metrics.ts";
import type { Context } from "../http/context.ts";
import type { Handler } from "../http/router.ts";

const HEADERS = {
  "Content-Type": "text/plain; version=0.0.4; charset=utf-8",
  "Cache-Control": "no-store, no-transform",
  "X-Content-Type-Options": "nosniff",
};

/** `GET /metrics`: everything that is counted, in Prometheus' text format. */
export const metrics: Handler = (_request, context) =>
  new Response(requests(context.metrics) + service(context) + system(context), { headers: HEADERS });

type Sample = readonly [labels: Record<string, string | number>, value: number | null | undefined];

/** One metric, or nothing where no value is known. Values are in base units: seconds, bytes, shares from 0 to 1. */
function family(name: string, type: "counter" | "gauge", help: string, ...samples: Sample[]): string {
  const lines = samples
    .filter(([, value]) => typeof value === "number")
    .map(([labels, value]) => `${name}${labelled(labels)} ${value}\n`);
  return lines.length === 0 ? "" : head(name, type, help) + lines.join("");
}

function head(name: string, type: string, help: string): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
}

function labelled(labels: Record<string, string | number>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}=${JSON.stringify(String(value))}`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function requests({ series, inFlight, refusals }: Metrics): string {
  const total = "http_requests_total";
  const duration = "http_request_duration_seconds";
  let text = head(total, "counter", "Requests answered.");
  for (const { route, method, status, buckets } of series) {
    text += `${total}${labelled({ route, method, status })} ${buckets.reduce((sum, count) => sum + count, 0)}\n`;
  }
  text += head(duration, "histogram", "Time from a request's headers to its answer.");
  for (const { route, method, status, buckets, sum } of series) {
    let count = 0;
    buckets.forEach((more, place) => {
      count += more;
      text += `${duration}_bucket${labelled({ route, method, status, le: BUCKETS[place] ?? "+Inf" })} ${count}\n`;
    });
    text += `${duration}_sum${labelled({ route, method, status })} ${sum}\n`;
    text += `${duration}_count${labelled({ route, method, status })} ${count}\n`;
  }
  return text +
    family("http_requests_in_flight", "gauge", "Requests being answered.", [{}, inFlight]) +
    family(
      "konnichiwa_unauthorized_total",
      "counter",
      "Requests refused for want of a key.",
      ...Object.entries(refusals).map(([reason, count]): Sample => [{ reason }, count]),
    );
}

function service({ metrics, log, draining, sampler, service: { version, deno, v8 } }: Context): string {
  const { pid } = sampler.snapshot.facts;
  return family("konnichiwa_accept_failures_total", "counter", "Times that the service had to listen again.", [
    {},
    metrics.acceptFailures,
  ]) +
    family("konnichiwa_log_lines_dropped_total", "counter", "Log lines that nobody took.", [{}, log.dropped]) +
    family("konnichiwa_draining", "gauge", "1 from the moment the service was told to stop.", [{}, Number(draining)]) +
    family("konnichiwa_build_info", "gauge", "What runs, and which of several processes on one port this is.", [{
      version,
      deno,
      v8,
      pid,
    }, 1]);
}

function system({ sampler: { snapshot } }: Context): string {
  const { facts, cpu, memory, loadAverage, processMemory, controlGroup } = snapshot;
  const group = "konnichiwa_control_group";
  return [
    family("process_cpu_seconds_total", "counter", "Processor time of this process.", [{}, snapshot.processCpu]),
    family("process_resident_memory_bytes", "gauge", "Resident memory.", [{}, processMemory?.resident]),
    family("process_virtual_memory_bytes", "gauge", "Virtual memory.", [{}, processMemory?.virtual]),
    family("process_start_time_seconds", "gauge", "When this process started, in seconds since 1970.", [
      {},
      facts.startTime,
    ]),
    family("process_max_fds", "gauge", "How many descriptors this process may open.", [{}, facts.descriptorLimit]),
    family("konnichiwa_host_cpus", "gauge", "Processors of the host.", [{}, facts.cpuCount]),
    family("konnichiwa_host_cpu_used_ratio", "gauge", "Share of all processors' time in the last window.", [
      {},
      cpu && snapshot.cpuUsed,
    ]),
    family("konnichiwa_host_load1", "gauge", "Load average over one minute.", [{}, loadAverage?.[0]]),
    family("konnichiwa_host_load5", "gauge", "Load average over five minutes.", [{}, loadAverage?.[1]]),
    family("konnichiwa_host_load15", "gauge", "Load average over fifteen minutes.", [{}, loadAverage?.[2]]),
    family("konnichiwa_host_memory_total_bytes", "gauge", "Memory of the host.", [{}, memory?.total]),
    family("konnichiwa_host_memory_available_bytes", "gauge", "Memory to be had without swapping.", [
      {},
      memory?.available,
    ]),
    family("konnichiwa_host_uptime_seconds", "gauge", "Time since the host started.", [{}, snapshot.uptime]),
    family(`${group}_memory_limit_bytes`, "gauge", "The group's memory limit.", [{}, controlGroup?.memory?.limit]),
    family(`${group}_memory_used_bytes`, "gauge", "The group's working set.", [{}, controlGroup?.memory?.used]),
    family(`${group}_cpu_limit_processors`, "gauge", "The group's processor limit.", [{}, controlGroup?.cpu?.limit]),
    family(`${group}_cpu_seconds_total`, "counter", "Processor time of the group.", [{}, controlGroup?.cpu?.used]),
    family(`${group}_cpu_periods_total`, "counter", "Scheduling periods of the group.", [
      {},
      controlGroup?.cpu?.periods?.total,
    ]),
    family(`${group}_cpu_throttled_periods_total`, "counter", "Those in which the group was held back.", [
      {},
      controlGroup?.cpu?.periods?.throttled,
    ]),
  ].join("");
}
