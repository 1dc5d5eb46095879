/**
 * Draws the comparison, as SVG that can be read on a light page and on a dark one.
 *
 * @module
 */

import { figure, type Results } from "./report.ts";

const PANELS = [
  { title: "CPU time per greeting, µs", figure: "cpu /", divisor: 1 },
  { title: "CPU time per /inspect, µs", figure: "cpu /inspect", divisor: 1 },
  { title: "Resident memory after 200,000 requests, MB", figure: "memory loaded", divisor: 2 ** 20 },
  { title: "p99 at a constant 1,000 requests/s, ms", figure: "constant p99", divisor: 1 },
];

const NAMES: Record<string, string> = {
  service: "konnichiwa",
  quiet: "konnichiwa, no access lines",
  floor: "bare Deno.serve",
  go: "Go net/http",
  node: "node:http",
  fastapi: "FastAPI + psutil",
  "fastapi-fast": "FastAPI, uvloop + httptools",
  nginx: "nginx, return 200",
};

const [WIDTH, LABEL, ROW, HEAD, GAP] = [720, 220, 22, 30, 14];
/** The longest bar ends where its figure still fits. */
const BAR = WIDTH - LABEL - 90;

/** Draws bars: shorter is better in all of them. */
export function drawChart(results: Results): string {
  let y = 16;
  let body = "";
  for (const { title, figure: name, divisor } of PANELS) {
    const bars = results.candidates.flatMap((candidate) => {
      const label = NAMES[candidate.name];
      const summary = figure(results, candidate.name, name);
      return label && summary
        ? [{ label, own: candidate.name in { service: 0, quiet: 0 }, value: summary.median / divisor }]
        : [];
    }).toSorted((a, b) => a.value - b.value);
    if (bars.length === 0) continue;
    const longest = bars.at(-1)!.value;
    body += `<text class="title" x="20" y="${y + 14}">${title}</text>\n`;
    y += HEAD;
    for (const { label, own, value } of bars) {
      const width = Math.max(2, value / longest * BAR).toFixed(1);
      const text = value < 10 ? value.toPrecision(2) : Math.round(value);
      body += `<text x="${LABEL}" y="${y + 12}" text-anchor="end"${own ? ' class="own"' : ""}>${label}</text>` +
        `<rect x="${LABEL + 10}" y="${y}" width="${width}" height="${ROW - 6}" rx="2" class="${own ? "bar own" : "bar"}"/>` +
        `<text x="${(LABEL + 16 + Number(width)).toFixed(1)}" y="${y + 12}"${own ? ' class="own"' : ""}>${text}</text>\n`;
      y += ROW;
    }
    y += GAP;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" width="${WIDTH}" height="${y}" role="img">
<title>konnichiwa compared with other servers; shorter is better</title>
<style>
svg { font: 13px system-ui, sans-serif }
text { fill: #444c56 } .title { font-weight: 600 } text.own { font-weight: 600; fill: #1f2328 }
.card { fill: #fff; stroke: #d0d7de } .bar { fill: #afb8c1 } .bar.own { fill: #0969da }
@media (prefers-color-scheme: dark) {
text { fill: #adbac7 } text.own { fill: #f0f6fc }
.card { fill: #161b22; stroke: #373e47 } .bar { fill: #545d68 } .bar.own { fill: #4493f8 }
}
</style>
<rect class="card" x="0.5" y="0.5" width="${WIDTH - 1}" height="${y - 1}" rx="6"/>
${body}</svg>
`;
}
