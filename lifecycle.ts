/**
 * Listening, listening again, and stopping without losing what was asked.
 *
 * @module
 */

import type { Log } from "./log.ts";

/** How to listen. */
export interface ListenOptions {
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
  /** PEM texts; with them HTTPS and HTTP/2 are spoken. */
  readonly tls: { readonly cert: string; readonly key: string } | null;
  /**
   * Whether other processes that ask for it too may listen on the same port: the kernel spreads connections over them.
   * Deno calls this unstable, hence "net" in `deno.json`.
   */
  readonly reusePort: boolean;
  readonly handler: (request: Request, info: Deno.ServeHandlerInfo) => Response | Promise<Response>;
  /** Told when accepting has failed; `first` for the first time in an episode, which ends when descriptors are free again. */
  readonly onAcceptFailure: (error: Error, first: boolean) => void;
}

/** A service that listens. */
export interface Listener {
  readonly host: string;
  readonly port: number;
  /** Looks whether the service still listens, and has it listen again if not. Takes 0.3 ms; to be called about once a second. */
  watch(): void;
  /** Takes no new connections; resolves when the open ones are closed, which half-open ones never are. */
  shutdown(): Promise<void>;
}

/** While the service does not listen, this often it is tried again. */
const RETRY_MS = 100;
const CLOSED = "the listening socket was closed";

/**
 * Listens, and goes on doing so: where a full descriptor table makes accepting fail, Deno closes the listening socket, and
 * another one is opened as soon as that is possible. Open connections are served all the while.
 *
 * Deno tells of the failure (`server.finished`) only when the last connection of that server is closed, which may be never.
 * So the kernel is asked: as long as the service listens, another socket is refused the address.
 *
 * @throws {Deno.errors.AddrInUse} and others, if listening is not possible to begin with.
 */
export function listen({ host, port, tls, reusePort, handler, onAcceptFailure }: ListenOptions): Listener {
  const servers = new Set<Deno.HttpServer<Deno.NetAddr>>();
  let failing = false;
  let reopened = false;

  function serve(): void {
    const options = { hostname: host, port, reusePort, onListen() {} };
    const server = tls ? Deno.serve({ ...options, ...tls }, handler) : Deno.serve(options, handler);
    // As it was resolved: names cannot be looked up again once the door is closed.
    ({ hostname: host, port } = server.addr);
    servers.add(server);
    server.finished.catch(() => {}).finally(() => servers.delete(server));
  }

  function look(): void {
    const error = tryAddress(host, port);
    if (error instanceof Deno.errors.AddrInUse) {
      // To be told so takes a descriptor: there are free ones, and the episode is over. But on a shared port it may be another
      // process that listens: then a failure, or a server that is finished, says that this one does not.
      if (reusePort && !reopened && (failing || servers.size === 0)) {
        if (!failing) onAcceptFailure(new Error(CLOSED), true);
        serve();
      }
      failing = reopened = false;
    } else {
      const again = error === null;
      if (again || !failing) onAcceptFailure(error ?? new Error(CLOSED), !failing);
      failing = true;
      reopened = false;
      if (!again) return;
      serve();
      reopened = true;
    }
  }

  function watch(): void {
    clearTimeout(retry);
    if (stopping) return;
    try {
      look();
    } catch { /* descriptors ran out again in between: next time */ }
    if (failing) retry = setTimeout(watch, RETRY_MS);
  }

  let retry: ReturnType<typeof setTimeout> | undefined;
  let stopping = false;
  serve();
  return {
    host,
    port,
    watch,
    async shutdown() {
      stopping = true;
      clearTimeout(retry);
      await Promise.all([...servers].map((server) => server.shutdown()));
    },
  };
}

/** Why a socket cannot listen there; `null` if it can. */
function tryAddress(hostname: string, port: number): Error | null {
  try {
    Deno.listen({ hostname, port }).close();
    return null;
  } catch (error) {
    return error as Error;
  }
}

/** How long to wait for what while stopping; the figures are from measurements of lost requests (README, "Stopping"). */
export interface StopOptions {
  readonly drainSeconds: number;
  readonly shutdownSeconds: number;
  /** Requests answered so far. */
  readonly answered: () => number;
  /** Requests being answered now. */
  readonly inFlight: () => number;
}

/** How often it is looked whether requests still come. */
const LOOK_MS = 5;
/** Without a drain time: serve on, saying `Connection: close`, until nothing has come for this long … */
const QUIET_BEFORE_MS = 20;
/** … but no longer than this. */
const QUIET_BEFORE_AT_MOST_MS = 100;
/** With nothing in flight and nothing coming for this long, what is still open is half-open or idle. */
const QUIET_AFTER_MS = 50;

/**
 * Stops a listener whose answers say `Connection: close` already.
 *
 * @returns How many requests were cut because they took too long.
 */
export async function stop(listener: Listener, options: StopOptions): Promise<number> {
  if (options.drainSeconds > 0) await sleep(options.drainSeconds * 1000);
  else await quiet(QUIET_BEFORE_MS, QUIET_BEFORE_AT_MOST_MS, options);
  const closed = listener.shutdown().catch(() => {});
  await Promise.race([closed, quiet(QUIET_AFTER_MS, options.shutdownSeconds * 1000, options)]);
  return options.inFlight();
}

/** Resolves once nothing has been asked, and nothing was being answered, for `still` ms; after `limit` ms in any case. */
async function quiet(still: number, limit: number, { answered, inFlight }: StopOptions): Promise<void> {
  const start = performance.now();
  let [since, before] = [start, answered()];
  while (true) {
    await sleep(LOOK_MS);
    const now = performance.now();
    if (answered() !== before || inFlight() > 0) [since, before] = [now, answered()];
    if (now - since >= still || now - start >= limit) return;
  }
}

/**
 * Calls `first` at the first signal to stop; a second one ends the process at once, with exit code 128 + its number.
 *
 * To be called before listening: signals that nobody listens for do nothing to a process that is PID 1.
 *
 * @returns Takes the listeners away; while they are there, the process does not end by itself.
 */
export function onStopSignal(first: (signal: Deno.Signal) => void): () => void {
  const signals: [Deno.Signal, number][] = Deno.build.os === "windows"
    ? [["SIGINT", 2], ["SIGBREAK", 21]]
    : [["SIGINT", 2], ["SIGTERM", 15]];
  let asked = false;
  const listeners = signals.map(([signal, number]) => {
    const listener = () => {
      if (asked) Deno.exit(128 + number);
      asked = true;
      first(signal);
    };
    Deno.addSignalListener(signal, listener);
    return () => Deno.removeSignalListener(signal, listener);
  });
  return () => listeners.forEach((remove) => remove());
}

/** What a connection that breaks may throw: that is the client's doing, and no reason to stop. */
const CONNECTION_ERRORS = [
  Deno.errors.BadResource,
  Deno.errors.BrokenPipe,
  Deno.errors.ConnectionAborted,
  Deno.errors.ConnectionReset,
  Deno.errors.Http,
  Deno.errors.Interrupted,
  Deno.errors.NotConnected,
  Deno.errors.UnexpectedEof,
];

/**
 * Catches errors that nothing else caught. One of a connection is logged, and that is all; after any other the state of the
 * process is not known any more: it is logged and `stop` is called, so that whoever supervises the service starts it anew.
 */
export function onUncaught(log: Log, stop: (reason: string) => void): void {
  function handle(error: unknown): void {
    const said = error instanceof Error ? error.stack ?? error.message : String(error);
    const text = log.isSecret(said) ? "[a key]" : said;
    if (CONNECTION_ERRORS.some((type) => error instanceof type)) return log.warn("a connection broke", { error: text });
    log.error("an error nobody caught", { error: text });
    stop("uncaught error");
  }
  addEventListener("error", (event) => {
    event.preventDefault();
    handle(event.error);
  });
  addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    handle(event.reason);
  });
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
