/**
 * The configuration: flags, then the environment, then a `.env` file, then defaults; every mistake at once.
 *
 * @module
 */

import type { KeyObject } from "node:crypto";
import { type CommandLine, quote } from "./command_line.ts";
import { type Format, FORMATS, type Level, LEVELS } from "./log.ts";

/** Where the service listens. */
export interface Address {
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
  /** Whether it speaks TLS. */
  readonly secure: boolean;
}

/** All that can be set. */
export interface Configuration extends Address {
  /** One or more, visible ASCII. */
  readonly keys: readonly string[];
  /** PEM texts. */
  readonly tls: { readonly cert: string; readonly key: string } | null;
  /** Whether other processes that ask for it too may listen on the same port. */
  readonly reusePort: boolean;
  readonly logFormat: Format;
  readonly logLevel: Level;
  readonly drainSeconds: number;
  readonly shutdownSeconds: number;
}

/** Where settings are read from; the real ones are `systemSources`. */
export interface Sources {
  readonly flags: CommandLine["flags"];
  /** @throws {Error} If the value is no text. */
  env(name: string): string | undefined;
  /** @throws {Error} If the file cannot be read. */
  readTextFile(path: string): string;
  readonly isTerminal: boolean;
}

/** Every mistake in the configuration, each a line that names the setting, what it was and what it may be, never a key. */
export class ConfigurationError extends Error {
  override readonly name = "ConfigurationError";
  readonly mistakes: readonly string[];
  /** 2 when a flag was wrong, else 78 (EX_CONFIG of sysexits.h). */
  readonly exitCode: 2 | 78;

  constructor(mistakes: readonly string[], exitCode: 2 | 78) {
    super(mistakes.join("\n"));
    this.mistakes = mistakes;
    this.exitCode = exitCode;
  }
}

/** The process's own environment and files. */
export function systemSources(flags: Sources["flags"]): Sources {
  return {
    flags,
    env: (name) => Deno.env.get(name),
    readTextFile: readBounded,
    isTerminal: Deno.stdout.isTerminal(),
  };
}

/** Largest file that is read: a chain of certificates has a few KB, and a device would have no end. */
const FILE_LIMIT = 1_048_576;

function readBounded(path: string): string {
  using file = Deno.openSync(path);
  const bytes = new Uint8Array(FILE_LIMIT + 1);
  let length = 0;
  for (let read: number | null = 0; read !== null && length <= FILE_LIMIT; length += read ?? 0) {
    read = file.readSync(bytes.subarray(length));
  }
  if (length > FILE_LIMIT) throw new Error("it is larger than 1 MB");
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, length));
}

/**
 * Reads everything that the service needs.
 *
 * @throws {ConfigurationError} With every mistake there is.
 */
export async function readConfiguration(sources: Sources): Promise<Configuration> {
  const reader = await createReader(sources);
  const address = reader.address();
  const configuration = {
    ...address,
    keys: reader.keys(),
    tls: await reader.tls(),
    reusePort: sources.flags.reusePort || reader.choice("REUSE_PORT", ["true", "false"], "false") === "true",
    logFormat: reader.choice("LOG_FORMAT", FORMATS, sources.isTerminal ? "text" : "json"),
    logLevel: reader.choice("LOG_LEVEL", LEVELS, "info"),
    drainSeconds: reader.seconds("DRAIN_SECONDS", 0),
    shutdownSeconds: reader.seconds("SHUTDOWN_SECONDS", 8),
  };
  reader.check();
  return configuration;
}

/**
 * Reads only where the service listens: all that `healthcheck` needs.
 *
 * @throws {ConfigurationError} With every mistake in that.
 */
export async function readAddress(sources: Sources): Promise<Address> {
  const reader = await createReader(sources);
  const address = reader.address();
  reader.check();
  return address;
}

async function createReader({ flags, env, readTextFile }: Sources) {
  const mistakes: string[] = [];
  const unreadable = new Set<string>();
  let badFlag = false;
  const file = await readDotenv();

  /** The value that wins, and the name under which it was given. */
  function find(name: string, flag?: "host" | "port"): { value: string; name: string } | null {
    const given = flag && flags[flag];
    if (given) return { value: given, name: `--${flag}` };
    let value: string | undefined;
    try {
      value = env(name);
    } catch {
      mistakes.push(`${name} is not text in UTF-8`);
      unreadable.add(name);
    }
    if (value) return { value, name };
    return file[name] ? { value: file[name], name: `${name} in .env` } : null;
  }

  async function readDotenv(): Promise<Record<string, string>> {
    let text: string;
    try {
      text = readTextFile(".env");
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) mistakes.push(`.env cannot be read: ${reasonOf(error)}`);
      return {};
    }
    // What the parser does not understand it leaves out without a word.
    const unquoted = text.replace(/(=\s*)(["'`])(?:\\.|(?!\2)[^\\])*\2/gs, (all) => `=${all.replace(/[^\n]/g, "")}`);
    unquoted.split("\n").forEach((line, index) => {
      if (!/^\s*(#|$)|^\s*(export\s+)?[\w.-]+\s*(=|:\s)/.test(line)) {
        mistakes.push(`.env, line ${index + 1}: expected NAME=value or a comment`);
      } else if (/^[^=#]+=\s*[^\s#]([^#]*[^\s#])?#/.test(line)) {
        mistakes.push(`.env, line ${index + 1}: expected quotes around a value with # in it`);
      }
    });
    return (await import("@std/dotenv")).parse(text);
  }

  function read(name: string, path: string): string | null {
    try {
      return readTextFile(path);
    } catch (error) {
      mistakes.push(`${name} is ${quote(path)}, which cannot be read: ${reasonOf(error)}`);
      return null;
    }
  }

  return {
    address(): Address {
      const host = find("HOST", "host");
      const port = find("PORT", "port");
      if (host && !/^[\w.:%-]+$/.test(host.value)) {
        mistakes.push(`${host.name} is ${quote(host.value)}, expected an IP address or a host name`);
        badFlag ||= host.name.startsWith("--");
      }
      if (port && !(/^\d{1,5}$/.test(port.value) && Number(port.value) <= 65_535)) {
        mistakes.push(`${port.name} is ${quote(port.value)}, expected a whole number from 0 to 65535`);
        badFlag ||= port.name.startsWith("--");
      }
      return {
        host: host?.value ?? "0.0.0.0",
        port: Number(port?.value ?? 4000),
        secure: find("TLS_CERT_FILE") !== null && find("TLS_KEY_FILE") !== null,
      };
    },

    keys(): string[] {
      const direct = find("API_KEY");
      const path = find("API_KEY_FILE");
      if (direct && path) {
        mistakes.push(`${direct.name} and ${path.name} are both set, expected one of them`);
        return [];
      }
      if (!direct && !path) {
        if (!unreadable.has("API_KEY") && !unreadable.has("API_KEY_FILE")) {
          mistakes.push("API_KEY is not set, expected a key, or API_KEY_FILE with a file that holds it");
        }
        return [];
      }
      const name = direct ? direct.name : `${path!.name}, ${quote(path!.value)}`;
      const text = direct ? direct.value : read(path!.name, path!.value)?.trim();
      if (text === undefined) return [];
      if (text === "") {
        mistakes.push(`${name} is empty, expected a file that holds a key`);
        return [];
      }
      const keys = text.split(",");
      keys.forEach((key, index) => {
        const which = keys.length === 1 ? "the key" : `key ${index + 1} of ${keys.length}`;
        if (key === "") mistakes.push(`${name}: ${which} is empty, expected keys separated by single commas`);
        else if (!/^[\x21-\x7e]+$/.test(key)) mistakes.push(`${name}: ${which} has a character that is not visible ASCII`);
      });
      return keys;
    },

    async tls(): Promise<Configuration["tls"]> {
      const certFile = find("TLS_CERT_FILE");
      const keyFile = find("TLS_KEY_FILE");
      if (!certFile && !keyFile) return null;
      if (!certFile || !keyFile) {
        const [set, missing] = certFile ? [certFile.name, "TLS_KEY_FILE"] : [keyFile!.name, "TLS_CERT_FILE"];
        mistakes.push(`${set} is set and ${missing} is not, expected both or neither`);
        return null;
      }
      const cert = read(certFile.name, certFile.value);
      const key = read(keyFile.name, keyFile.value);
      if (cert === null || key === null) return null;
      const { X509Certificate, createPrivateKey } = await import("node:crypto");
      // A file may hold a chain, each part of which is sent; and a key file what `openssl ecparam` writes before the key.
      const chain = cert.match(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/g) ?? [""];
      const certificates = chain.map((part) => attempt(() => new X509Certificate(part)));
      const [certificate] = certificates;
      const keyPart = /-----BEGIN ((?:RSA |EC )?PRIVATE KEY)-----[^]*?-----END \1-----/.exec(key)?.[0] ?? "";
      const privateKey = attempt(() => createPrivateKey(keyPart));
      if (certificates.includes(null)) {
        mistakes.push(`${certFile.name} is ${quote(certFile.value)}, expected a certificate in PEM`);
      }
      if (!privateKey) {
        mistakes.push(`${keyFile.name} is ${quote(keyFile.value)}, expected a private key in PEM, not encrypted`);
      } else if (!isUsable(privateKey)) {
        mistakes.push(
          `${keyFile.name} is ${
            quote(keyFile.value)
          }, expected a key of RSA with 2048 bits or more, of P-256, P-384, P-521 or Ed25519`,
        );
        return null;
      }
      if (certificate && privateKey && !certificate.checkPrivateKey(privateKey)) {
        mistakes.push(
          `${keyFile.name} is ${quote(keyFile.value)}, expected the key of the certificate in ${quote(certFile.value)}`,
        );
      }
      return { cert, key };
    },

    choice<T extends string>(name: string, choices: readonly T[], otherwise: T): T {
      const found = find(name);
      if (found === null) return otherwise;
      const choice = choices.find((choice) => choice === found.value);
      if (choice === undefined) {
        mistakes.push(`${found.name} is ${quote(found.value)}, expected one of ${choices.join(", ")}`);
      }
      return choice ?? otherwise;
    },

    seconds(name: string, otherwise: number): number {
      const found = find(name);
      if (found === null) return otherwise;
      const value = /^\d{1,6}(\.\d{1,3})?$/.test(found.value) ? Number(found.value) : NaN;
      if (!(value <= 86_400)) {
        mistakes.push(`${found.name} is ${quote(found.value)}, expected a number of seconds from 0 to 86400`);
      }
      return value;
    },

    check(): void {
      if (mistakes.length > 0) throw new ConfigurationError([...new Set(mistakes)], badFlag ? 2 : 78);
    },
  };
}

/** Whether TLS can be spoken with it; the runtime would say so only when it listens, as if the address were bad. */
function isUsable({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): boolean {
  const { modulusLength = 0, namedCurve = "" } = asymmetricKeyDetails ?? {};
  if (asymmetricKeyType === "rsa") return modulusLength >= 2048;
  if (asymmetricKeyType === "ec") return ["prime256v1", "secp384r1", "secp521r1"].includes(namedCurve);
  return asymmetricKeyType === "ed25519";
}

function attempt<T>(make: () => T): T | null {
  try {
    return make();
  } catch {
    return null;
  }
}

/** The system's words for an error, without the call that Deno adds: "Is a directory (os error 21)". */
function reasonOf(error: unknown): string {
  if (error instanceof TypeError) return "it is not text in UTF-8";
  return error instanceof Error ? error.message.replace(/: (open|readfile|read) '.*'$/, "") : String(error);
}
