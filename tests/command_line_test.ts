import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { HELP, parseCommandLine, quote } from "../command_line.ts";

const UNDERSTOOD: [args: string[], command: string, flags: { host?: string; port?: string }][] = [
  [[], "serve", {}],
  [["serve"], "serve", {}],
  [["healthcheck"], "healthcheck", {}],
  [["--port", "80"], "serve", { port: "80" }],
  [["--port=80", "--host=::1"], "serve", { port: "80", host: "::1" }],
  [["serve", "--host", "h", "--port", "http"], "serve", { host: "h", port: "http" }],
  [["--port", "1", "healthcheck"], "healthcheck", { port: "1" }],
  [["--port", "1", "--port", "2"], "serve", { port: "2" }],
  [["--port=-1"], "serve", { port: "-1" }],
  [["--help"], "help", {}],
  [["-h"], "help", {}],
  [["serve", "--help"], "help", {}],
  [["--version"], "version", {}],
  [["--help", "--version"], "help", {}],
  [["--", "serve"], "serve", {}],
];
for (const [args, command, flags] of UNDERSTOOD) {
  Deno.test(`parseCommandLine() understands [${args.join(" ")}] as ${command} ${JSON.stringify(flags)}`, () => {
    const parsed = parseCommandLine(args);
    assertEquals(parsed.mistakes, []);
    assertEquals(parsed.command, command);
    assertEquals([parsed.flags.host, parsed.flags.port], [flags.host, flags.port]);
  });
}

const MISTAKES: [args: string[], ...parts: string[][]][] = [
  [["--prot", "80"], ['"--prot"', "--port"]],
  [["--prot=80"], ['"--prot"', "--port"]],
  [["--hots", "h"], ['"--hots"', "--host"]],
  [["--versoin"], ['"--versoin"', "--version"]],
  [["-p", "80"], ['"-p"', "--"]],
  [["--constructor=x"], ['"--constructor"', "--"]],
  [["--toString"], ['"--toString"', "--"]],
  [["--prot", "80", "--hots", "h"], ['"--prot"', "--port"], ['"--hots"', "--host"]],
  [["--port"], ["--port", "value"]],
  [["--port", "--host", "h"], ["--port", "value"]],
  [["--host"], ["--host", "value"]],
  [["--help=yes"], ["--help", "no value", '"yes"']],
  [["server"], ['"server"', "serve"]],
  [["helthcheck"], ['"helthcheck"', "healthcheck"]],
  [["serve", "healthcheck"], ['"healthcheck"', "one command"]],
  [[""], ['""']],
];
for (const [args, ...expected] of MISTAKES) {
  Deno.test(`parseCommandLine() finds ${expected.length} mistake(s) in [${args.join(" ")}] and names what was meant`, () => {
    const { mistakes } = parseCommandLine(args);
    assertEquals(mistakes.length, expected.length, mistakes.join("\n"));
    expected.forEach((parts, place) => parts.forEach((part) => assertStringIncludes(mistakes[place], part)));
  });
}

Deno.test("parseCommandLine() never throws, whatever it is given", () => {
  for (
    const argument of ["-", "--", "---", "--=", "-=x", "--no-port", "--__proto__", "--constructor=1", "\0", "-hx", "--port="]
  ) {
    assert(Array.isArray(parseCommandLine([argument, argument]).mistakes), argument);
  }
});

Deno.test("quote() bounds a value and lets no control character through", () => {
  assertEquals(quote('a"\x1b\n'), '"a\\"\\u001b\\n"');
  assertEquals(quote("x".repeat(100)).length, 83);
});

Deno.test("HELP names every command, flag and variable", () => {
  const words = [
    "serve",
    "healthcheck",
    "--host",
    "--port",
    "--help",
    "--version",
    "API_KEY",
    "API_KEY_FILE",
    "HOST",
    "PORT",
  ];
  words.push("TLS_CERT_FILE", "TLS_KEY_FILE", "LOG_FORMAT", "LOG_LEVEL", "DRAIN_SECONDS", "SHUTDOWN_SECONDS");
  for (const word of words) assertStringIncludes(HELP, word);
});
