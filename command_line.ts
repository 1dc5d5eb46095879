/**
 * The command line: what it may say, and what is said of it when it is wrong.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { closestString } from "@std/text/closest-string";

export const HELP = `konnichiwa - greets, says whether it is healthy, and shows the machine to whoever holds the key

Usage:
  konnichiwa [serve] [--host H] [--port P] [--reuse-port]
  konnichiwa healthcheck [--host H] [--port P]   exit 0 if the service on this host is healthy, else 1
  konnichiwa --help | --version

Flags win over the environment, which wins over a .env file in the working directory.

  API_KEY                  the key, or several separated by commas (required)
  API_KEY_FILE             a file that holds it instead
  HOST             --host  address to listen on (0.0.0.0)
  PORT             --port  0 to 65535, 0 for a free one (4000)
  REUSE_PORT               true: share the port with other processes that say so too; also --reuse-port
  TLS_CERT_FILE            PEM file with the certificate: serve HTTPS
  TLS_KEY_FILE             PEM file with its private key
  LOG_FORMAT               text or json (text on a terminal, else json)
  LOG_LEVEL                debug, info, warn or error (info)
  DRAIN_SECONDS            on a stop signal, how long to go on serving (0)
  SHUTDOWN_SECONDS         then, how long open requests may take (8)

Exit status: 0 stopped as asked, 1 could not run, 2 bad command line, 78 bad configuration, 128+n a second signal n
`;

const COMMANDS = ["serve", "healthcheck"] as const;
const OPTIONS = {
  host: { type: "string" },
  port: { type: "string" },
  "reuse-port": { type: "boolean" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean" },
} as const;

/** What the command line asks for. */
export interface CommandLine {
  readonly command: typeof COMMANDS[number] | "help" | "version";
  /** Values of the flags that were given. */
  readonly flags: { readonly host?: string; readonly port?: string; readonly reusePort?: boolean };
  /** One sentence for each mistake. */
  readonly mistakes: readonly string[];
}

/** Parses the arguments after the program's name. It never throws: what is wrong is in `mistakes`. */
export function parseCommandLine(args: string[]): CommandLine {
  const { values, positionals, tokens } = parseArgs({
    args,
    options: OPTIONS,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const mistakes: string[] = [];
  for (const token of tokens) {
    if (token.kind !== "option") continue;
    const option = Object.hasOwn(OPTIONS, token.name) ? OPTIONS[token.name as keyof typeof OPTIONS] : undefined;
    if (option === undefined) {
      mistakes.push(`unknown flag ${quote(token.rawName)}, did you mean --${nearest(token.name, Object.keys(OPTIONS))}?`);
    } else if (option.type === "boolean") {
      if (token.value !== undefined) mistakes.push(`${token.rawName} takes no value, received ${quote(token.value)}`);
    } else if (token.value === undefined || (!token.inlineValue && token.value.startsWith("-"))) {
      mistakes.push(`${token.rawName} needs a value`);
    }
  }
  // What follows an unknown flag may have been meant as its value: only the flag is reported.
  const [command = "serve", ...rest] = mistakes.length > 0 ? [] : positionals;
  if (!isCommand(command)) {
    mistakes.push(`unknown command ${quote(command)}, did you mean ${nearest(command, COMMANDS)}?`);
  }
  if (rest.length > 0) mistakes.push(`expected one command, received also ${rest.map(quote).join(" ")}`);
  return {
    command: values.help ? "help" : values.version ? "version" : isCommand(command) ? command : "serve",
    flags: { host: textOf(values.host), port: textOf(values.port), reusePort: values["reuse-port"] === true },
    mistakes,
  };
}

function isCommand(text: string): text is typeof COMMANDS[number] {
  return COMMANDS.some((command) => command === text);
}

function nearest(text: string, known: readonly string[]): string {
  return closestString(text, known);
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** Shows a value in a message: bounded, and no control character reaches the terminal. */
export function quote(value: string): string {
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
}
