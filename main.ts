/**
 * The life of the service: read, open, listen, give up every permission but `net`, serve, stop.
 *
 * @module
 */

import { HELP, parseCommandLine } from "./command_line.ts";
import { type Configuration, ConfigurationError, readAddress, readConfiguration, systemSources } from "./config.ts";
import manifest from "./deno.json" with { type: "json" };
import { createAuthenticator } from "./http/auth.ts";
import type { Context } from "./http/context.ts";
import { createMetrics } from "./http/metrics.ts";
import { createRouter, type Route } from "./http/router.ts";
import { listen, type Listener, onStopSignal, onUncaught, stop } from "./lifecycle.ts";
import { createLog } from "./log.ts";
import { closeTheDoor } from "./permissions.ts";
import { routes } from "./routes/mod.ts";
import { openTrim } from "./system/memory.ts";
import { createSampler, openSystem } from "./system/sampler.ts";

/** Does what the command line says; resolves to the exit code. */
export async function main(args: string[], table: readonly Route[] = routes): Promise<number> {
  const { command, flags, mistakes } = parseCommandLine(args);
  // Without knowing what is asked for, there is no telling whether the rest is right.
  if (mistakes.length > 0) return fail(2, mistakes);
  if (command === "help") return print(HELP);
  if (command === "version") return print(`konnichiwa ${manifest.version}\n`);
  const sources = systemSources(flags);
  try {
    if (command === "serve") return await serve(await readConfiguration(sources), table);
    const { checkHealth } = await import("./healthcheck.ts");
    const reason = await checkHealth(await readAddress(sources));
    return reason === null ? 0 : fail(1, [`not healthy: ${reason}`]);
  } catch (error) {
    if (error instanceof ConfigurationError) return fail(error.exitCode, error.mistakes);
    throw error;
  }
}

async function serve(configuration: Configuration, table: readonly Route[]): Promise<number> {
  const { keys, host, port, tls, reusePort, drainSeconds, shutdownSeconds } = configuration;
  const log = createLog({
    keys,
    format: configuration.logFormat,
    level: configuration.logLevel,
    color: Deno.stdout.isTerminal() && !Deno.noColor,
    output: Deno.stdout,
  });
  const stopping = Promise.withResolvers<string>();
  const forgetSignals = onStopSignal((signal) => stopping.resolve(signal));
  let failed = false;
  onUncaught(log, (reason) => {
    failed = true;
    stopping.resolve(reason);
  });

  // Open what is measured.
  const sampler = createSampler(await openSystem(log.warn));
  const trim = openTrim();

  // Listen.
  const metrics = createMetrics();
  const context: Context = {
    authenticate: createAuthenticator(keys),
    log,
    metrics,
    sampler,
    service: { name: manifest.name, version: manifest.version, deno: Deno.version.deno, v8: Deno.version.v8 },
    draining: false,
    retryAfter: Math.max(1, Math.ceil(drainSeconds + shutdownSeconds)),
  };
  let listener: Listener;
  try {
    listener = listen({
      host,
      port,
      tls,
      reusePort,
      handler: createRouter(table, context),
      onAcceptFailure(error, first) {
        metrics.acceptFailures++;
        if (first) log.error("cannot accept connections, listening again as soon as possible", { error: error.message });
      },
    });
  } catch (error) {
    return fail(1, [`cannot listen on ${host}, port ${port}: ${describe(error)}`]);
  }

  // Give up every permission but `net`.
  if (closeTheDoor() === false) log.warn("the kernel takes no system call filter: only Deno keeps the door closed");

  // Serve.
  sampler.start((snapshot) => {
    listener.watch();
    trim(snapshot);
  });
  log.info("listening", { address: urlOf(listener, tls !== null), version: manifest.version });
  const reason = await stopping.promise;

  // Stop.
  context.draining = true;
  log.info("stopping", { reason });
  const cut = await stop(listener, {
    drainSeconds,
    shutdownSeconds,
    answered: () => metrics.answered,
    inFlight: () => metrics.inFlight,
  });
  sampler.stop();
  if (cut > 0) log.error("stopped, cutting requests that took too long", { requests: cut });
  else log.info("stopped", { requests: metrics.answered });
  await log.flush(LAST_WORDS_MS);
  forgetSignals();
  return cut > 0 || failed ? 1 : 0;
}

/** How long the last lines of the log may take if nobody reads them. */
const LAST_WORDS_MS = 500;

function urlOf({ host, port }: Listener, secure: boolean): string {
  return `${secure ? "https" : "http"}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function print(text: string): number {
  console.log(text.trimEnd());
  return 0;
}

function fail(exitCode: number, sentences: readonly string[]): number {
  for (const sentence of sentences) console.error(`konnichiwa: ${sentence}`);
  return exitCode;
}

if (import.meta.main) {
  try {
    Deno.exitCode = await main(Deno.args);
  } catch (error) { // such as a door that does not close: better not to serve at all
    Deno.exit(fail(1, [describe(error)]));
  }
  if (Deno.build.standalone) Deno.exit();
  // From source it may end by itself: at every change `deno task dev` stops the service, and an exit would end that too.
  // Half-open connections hold up such an end, so there is an exit after all (measured: 20 ms are too few, 100 enough).
  Deno.unrefTimer(setTimeout(() => Deno.exit(), 100));
}
