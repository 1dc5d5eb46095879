/**
 * Writes what was measured, and whether the targets are met, as Markdown.
 *
 * @module
 */

import { summarise, type Summary } from "./statistics.ts";

/** What was measured of one candidate in one round, by name. */
export type Figures = Record<string, number>;

/** All that a run measured. */
export interface Results {
  readonly date: string;
  readonly machine: {
    readonly processor: string;
    readonly processors: number;
    /** Bytes. */
    readonly memory: number;
    readonly system: string;
    readonly generator: string;
  };
  readonly candidates: readonly { readonly name: string; readonly title: string; readonly version: string }[];
  readonly missing: readonly { readonly title: string; readonly reason: string }[];
  /** Figures by the candidate's name. */
  readonly rounds: readonly Readonly<Record<string, Figures>>[];
}

/** A figure of a candidate, such as `["quiet", "cpu /"]`. */
type Cell = readonly [candidate: string, figure: string];

/** What is aimed at: a figure, relative to another one where there is one. */
interface Target {
  readonly what: string;
  readonly of: Cell;
  readonly to?: Cell;
  readonly atMost: number;
  readonly atLeast?: number;
  /** Of a figure that is relative to nothing. */
  readonly unit?: string;
}

const TARGETS: readonly Target[] = [
  { what: "CPU per `/`, access lines off, to the floor", of: ["quiet", "cpu /"], to: ["floor", "cpu /"], atMost: 1.1 },
  { what: "CPU per `/`, defaults, to the floor", of: ["service", "cpu /"], to: ["floor", "cpu /"], atMost: 1.4 },
  { what: "CPU per `/`, access lines off, to Go", of: ["quiet", "cpu /"], to: ["go", "cpu /"], atMost: 0.9 },
  { what: "CPU per `/`, access lines off, to FastAPI", of: ["quiet", "cpu /"], to: ["fastapi", "cpu /"], atMost: 0.25 },
  ...(["service", "quiet"] as const).flatMap((name): Target[] => {
    const how = name === "service" ? "defaults" : "access lines off";
    return [
      {
        what: `CPU per \`/inspect\`, ${how}, to our own \`/\``,
        of: [name, "cpu /inspect"],
        to: [name, "cpu /"],
        atMost: 1.3,
      },
      {
        what: `CPU per \`/inspect\`, ${how}, to FastAPI and psutil`,
        of: [name, "cpu /inspect"],
        to: ["fastapi", "cpu /inspect"],
        atMost: 0.06,
      },
      {
        what: `CPU per refused \`/inspect\`, ${how}, to our own \`/\``,
        of: [name, "cpu refused"],
        to: [name, "cpu /"],
        atMost: 1.6,
      },
    ];
  }),
  { what: "p99 at 1,000 requests/s", of: ["service", "constant p99"], atMost: 3, unit: "ms" },
  {
    what: "p99 at 1,000 requests/s, to FastAPI's p50",
    of: ["service", "constant p99"],
    to: ["fastapi", "constant p50"],
    atMost: 1,
  },
  { what: "Start to first answer, to the floor", of: ["service", "start"], to: ["floor", "start"], atMost: 1.25 },
  { what: "Start to first answer, to FastAPI", of: ["service", "start"], to: ["fastapi", "start"], atMost: 0.3 },
  {
    what: "Resident memory, idle, to the floor",
    of: ["service", "memory idle"],
    to: ["floor", "memory idle"],
    atMost: 1.25,
  },
  {
    what: "Resident memory after 200,000 requests, to the floor",
    of: ["service", "memory loaded"],
    to: ["floor", "memory loaded"],
    atMost: 1.25,
  },
  { what: "Two processes on one port, CPU per `/`, to one", of: ["pair", "cpu /"], to: ["service", "cpu /"], atMost: 1.1 },
  { what: "Two processes on one port, share of the first", of: ["pair", "share"], atLeast: 35, atMost: 65, unit: "%" },
  { what: "CPU per second, idle", of: ["service", "idle"], atMost: 1, unit: "ms" },
];

/** One figure in all rounds, relative to another one of the same round where that is given. */
function valuesOf({ rounds }: Results, [candidate, figure]: Cell, to?: Cell): number[] {
  return rounds.flatMap((round) => {
    const value = round[candidate]?.[figure];
    const other = to ? round[to[0]]?.[to[1]] : 1;
    return value === undefined || other === undefined ? [] : [value / other];
  });
}

/** The summary of a figure; `null` where it was not measured. */
export function figure(results: Results, candidate: string, name: string): Summary | null {
  return summarise(valuesOf(results, [candidate, name]));
}

function digits(value: number): string {
  return value >= 1000 ? Math.round(value).toLocaleString("en") : value.toPrecision(3);
}

function withSpread(summary: Summary | null): string {
  return summary === null ? "–" : `${digits(summary.median)} (${digits(summary.min)}–${digits(summary.max)})`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |\n`;
  return line(head) + line(head.map((_, column) => column === 0 ? "---" : "--:")) + rows.map(line).join("");
}

function targets(results: Results): string {
  return table(
    ["figure", "target", "measured", ""],
    TARGETS.map(({ what, of, to, atMost, atLeast, unit }) => {
      const limit = atLeast === undefined ? `≤ ${atMost}` : `${atLeast}–${atMost}`;
      const summary = summarise(valuesOf(results, of, to));
      const aim = `${limit} ${unit ?? "×"}`;
      if (summary === null) return [what, aim, "–", "not measured"];
      // Several rounds share connections anew each time: all of them have to be within.
      const [low, high] = atLeast === undefined ? [0, summary.median] : [summary.min, summary.max];
      return [what, aim, withSpread(summary), high <= atMost && low >= (atLeast ?? 0) ? "met" : "**not met**"];
    }),
  );
}

/** One row for each candidate. `figures` are the columns: title, name, and what to divide by. */
function figures(results: Results, columns: readonly (readonly [title: string, name: string, divisor?: number])[]): string {
  const rows = results.candidates
    .map(({ name, title }) => [
      title,
      ...columns.map(([, figure, divisor = 1]) =>
        withSpread(summarise(valuesOf(results, [name, figure]).map((value) => value / divisor)))
      ),
    ])
    .filter(([, ...cells]) => cells.some((cell) => cell !== "–"));
  return table(["", ...columns.map(([title]) => title)], rows);
}

function relative(results: Results): string {
  const others = results.candidates.filter(({ name }) => name !== "pair");
  const paths = ["cpu /", "cpu /health", "cpu /inspect"];
  const rows = others.map(({ name, title }) => [
    title,
    ...paths.map((path) => withSpread(summarise(valuesOf(results, [name, path], ["service", path])))),
  ]);
  return table(["", "`/`", "`/health`", "`/inspect`"], rows);
}

/** How far the ratios to the floor and among our own figures moved since another run, on the same machine. */
function comparison(results: Results, before: Results | null): string {
  if (before === null || JSON.stringify(before.machine) !== JSON.stringify(results.machine)) return "";
  const rows = TARGETS.filter(({ to }) => to !== undefined).flatMap(({ what, of, to }) => {
    const [now, then] = [summarise(valuesOf(results, of, to)), summarise(valuesOf(before, of, to))];
    if (now === null || then === null) return [];
    const change = (now.median / then.median - 1) * 100;
    return [[what, digits(then.median), digits(now.median), `${change < 0 ? "−" : "+"}${Math.abs(change).toFixed(0)} %`]];
  });
  if (rows.length === 0) return "";
  return `\n## Compared with the run before, of ${before.date}\n\n${table(["ratio", "then", "now", "change"], rows)}`;
}

/**
 * Writes the report.
 *
 * @param before The run before, if there was one: the report says how far its ratios are from these.
 */
export function report(results: Results, before: Results | null): string {
  const { date, machine, candidates, missing, rounds } = results;
  const versions = new Map(candidates.map(({ title, version }) => [title, version]));
  const late = summarise(candidates.flatMap(({ name }) => valuesOf(results, [name, "constant late"])));
  return `# Results

Written by \`deno task bench\` on ${date}; do not edit. Each figure is the median of ${rounds.length} rounds, with the least and the
greatest in parentheses. All candidates of a round run side by side on one processor and are loaded in turn, from another.
Ratios are of figures of the same round. CPU time is what the kernel counted for the process, whoever waited for what;
requests per second swing with the load generator and say little.

- Machine: ${machine.processors} × ${machine.processor}, ${Math.round(machine.memory / 2 ** 30)} GB, ${machine.system}
- Load: ${machine.generator}, 32 keep-alive connections for each process of the server
${[...versions].map(([title, version]) => `- ${title}: ${version}\n`).join("")}${
    missing.map(({ title, reason }) => `- Missing: ${title} (${reason.split("\n")[0]})\n`).join("")
  }
## Targets

${targets(results)}
## CPU time per request, µs

${
    figures(results, [["`/`", "cpu /"], ["`/health`", "cpu /health"], ["\`/inspect\`", "cpu /inspect"], [
      "`/inspect`, wrong key",
      "cpu refused",
    ]])
  }
Relative to konnichiwa with its defaults:

${relative(results)}
## As fast as it goes, \`/\`

${figures(results, [["requests/s", "rate /"], ["p50, ms", "p50 /"], ["p99, ms", "p99 /"]])}
## At a constant 1,000 requests/s, \`/\`

From the moment at which a request was due, so that waiting is not hidden (\`constant_rate.ts\`). The generator itself was at
most ${digits(late?.max ?? 0)} ms late for 99 of 100 requests, in the worst case.

${figures(results, [["p50, ms", "constant p50"], ["p99, ms", "constant p99"]])}
## Start, memory, idling

${
    figures(results, [
      ["start to first answer, ms", "start"],
      ["resident, idle, MB", "memory idle", 2 ** 20],
      ["after 200,000 requests, MB", "memory loaded", 2 ** 20],
      ["CPU per idle second, ms", "idle"],
    ])
  }${comparison(results, before)}`;
}
