import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { ConfigurationError, readAddress, readConfiguration, type Sources } from "../config.ts";

interface Given {
  readonly flags?: Partial<Sources["flags"]>;
  readonly env?: Record<string, string>;
  /** Contents by path; an error is thrown. */
  readonly files?: Record<string, string | Error>;
  readonly isTerminal?: boolean;
}

function sources({ flags = {}, env = {}, files = {}, isTerminal = false }: Given): Sources {
  return {
    flags: flags as Sources["flags"],
    env: (name) => env[name],
    readTextFile(path) {
      const content = files[path];
      if (content === undefined) throw new Deno.errors.NotFound("No such file or directory (os error 2): open 'x'");
      if (content instanceof Error) throw content;
      return content;
    },
    isTerminal,
  };
}

const read = (given: Given) => readConfiguration(sources({ ...given, env: { API_KEY: "k", ...given.env } }));

async function mistakesOf(given: Given): Promise<{ mistakes: readonly string[]; exitCode: number }> {
  const error = await assertRejects(() => readConfiguration(sources(given)), ConfigurationError);
  const { mistakes, exitCode } = error as ConfigurationError;
  return { mistakes, exitCode };
}

Deno.test("readConfiguration() needs a key and has a default for all else", async () => {
  const { keys, host, port, tls, secure, logFormat, logLevel, drainSeconds, shutdownSeconds } = await read({});
  assertEquals({ keys, host, port, tls, secure, logFormat, logLevel, drainSeconds, shutdownSeconds }, {
    keys: ["k"],
    host: "0.0.0.0",
    port: 4000,
    tls: null,
    secure: false,
    logFormat: "json",
    logLevel: "info",
    drainSeconds: 0,
    shutdownSeconds: 8,
  });
});

Deno.test("readConfiguration() prefers flags to the environment, that to .env, that to the default", async () => {
  const files = { ".env": "PORT=1\nHOST=from-file\nLOG_LEVEL=warn\n" };
  assertEquals((await read({ files })).port, 1);
  assertEquals((await read({ files, env: { PORT: "2" } })).port, 2);
  const all = await read({ files, env: { PORT: "2", HOST: "from-environment" }, flags: { port: "3" } });
  assertEquals([all.port, all.host, all.logLevel, all.shutdownSeconds], [3, "from-environment", "warn", 8]);
});

Deno.test("readConfiguration() counts an empty value as not set, wherever it is given", async () => {
  const files = { ".env": "PORT=7\nHOST=\nLOG_LEVEL=''\n" };
  const { port, host, logLevel } = await read({ files, env: { PORT: "", HOST: "" }, flags: { port: "" } });
  assertEquals([port, host, logLevel], [7, "0.0.0.0", "info"]);
  assertEquals((await read({ env: { API_KEY_FILE: "", TLS_CERT_FILE: "" } })).keys, ["k"]);
});

Deno.test("readConfiguration() writes text on a terminal and JSON elsewhere, unless told", async () => {
  assertEquals((await read({ isTerminal: true })).logFormat, "text");
  assertEquals((await read({ isTerminal: true, env: { LOG_FORMAT: "json" } })).logFormat, "json");
  assertEquals((await read({ env: { LOG_FORMAT: "text" } })).logFormat, "text");
});

Deno.test("readConfiguration() takes several keys, separated by commas", async () => {
  assertEquals((await read({ env: { API_KEY: "new,old,older" } })).keys, ["new", "old", "older"]);
  assertEquals((await read({ env: { API_KEY: "!#$%&~" } })).keys, ["!#$%&~"]);
});

Deno.test("readConfiguration() takes the keys from a file, without the white space around them", async () => {
  for (const content of ["a,b", "a,b\n", "\n  a,b\r\n\n"]) {
    const { keys } = await readConfiguration(sources({ env: { API_KEY_FILE: "/s" }, files: { "/s": content } }));
    assertEquals(keys, ["a", "b"]);
  }
});

Deno.test("readConfiguration() takes a key from .env as it is: quotes dropped, $NAME not expanded", async () => {
  const key = async (text: string) =>
    (await readConfiguration(sources({ files: { ".env": text }, env: { HOME: "/h" } }))).keys;
  assertEquals(await key("API_KEY=a$HOME\n"), ["a$HOME"]);
  assertEquals(await key('API_KEY="a#b"\n'), ["a#b"]);
  assertEquals(await key("# a comment\n\nexport API_KEY='q' # why\n"), ["q"]);
  assertEquals(await key("\ufeffAPI_KEY=k\r\nPORT=1\r\n"), ["k"]);
});

Deno.test("readConfiguration() takes whole and broken seconds", async () => {
  const { drainSeconds, shutdownSeconds } = await read({ env: { DRAIN_SECONDS: "0.25", SHUTDOWN_SECONDS: "86400" } });
  assertEquals([drainSeconds, shutdownSeconds], [0.25, 86_400]);
});

for (const port of ["0", "1", "65535"]) {
  Deno.test(`readConfiguration() takes port ${port}`, async () => {
    assertEquals((await read({ env: { PORT: port } })).port, Number(port));
  });
}

for (const host of ["127.0.0.1", "::", "::1", "fe80::1%eth0", "localhost", "my-host.example"]) {
  Deno.test(`readConfiguration() takes host ${host}`, async () => {
    assertEquals((await read({ env: { HOST: host } })).host, host);
  });
}

const API_KEY = "k";
const DENIED = new Deno.errors.PermissionDenied("Permission denied (os error 13): open '/s'");
/** What is given, the exit code, and for each mistake what its line has to say. */
const MISTAKES: [given: Given, exitCode: number, ...lines: RegExp[]][] = [
  [{}, 78, /API_KEY is not set.*API_KEY_FILE/],
  [{ env: { API_KEY: "" } }, 78, /API_KEY is not set/],
  [{ env: { API_KEY: "a,,b" } }, 78, /API_KEY.*key 2 of 3 is empty/],
  [{ env: { API_KEY: "," } }, 78, /key 1 of 2 is empty/, /key 2 of 2 is empty/],
  [{ env: { API_KEY: "a, b" } }, 78, /API_KEY.*key 2 of 2.*visible ASCII/],
  [{ env: { API_KEY: " " } }, 78, /API_KEY.*visible ASCII/],
  [{ env: { API_KEY: "schlüssel" } }, 78, /API_KEY.*visible ASCII/],
  [{ env: { API_KEY: "a\tb" } }, 78, /API_KEY.*visible ASCII/],
  [{ files: { ".env": "API_KEY=a b\n" } }, 78, /API_KEY in \.env.*visible ASCII/],
  [{ env: { API_KEY, API_KEY_FILE: "/s" }, files: { "/s": "k" } }, 78, /API_KEY and API_KEY_FILE are both set/],
  [{ env: { API_KEY }, files: { ".env": "API_KEY_FILE=/s\n" } }, 78, /API_KEY and API_KEY_FILE in \.env are both set/],
  [
    { env: { API_KEY_FILE: "/s" }, files: { ".env": "API_KEY=k\n", "/s": "k" } },
    78,
    /API_KEY in \.env and API_KEY_FILE are/,
  ],
  [{ env: { API_KEY_FILE: "/s" } }, 78, /API_KEY_FILE is "\/s".*cannot be read: No such file or directory \(os error 2\)$/],
  [
    { env: { API_KEY_FILE: "/s" }, files: { "/s": DENIED } },
    78,
    /"\/s".*cannot be read: Permission denied \(os error 13\)$/,
  ],
  [{ env: { API_KEY_FILE: "/s" }, files: { "/s": "" } }, 78, /API_KEY_FILE, "\/s" is empty/],
  [{ env: { API_KEY_FILE: "/s" }, files: { "/s": " \n" } }, 78, /API_KEY_FILE, "\/s" is empty/],
  [{ env: { API_KEY_FILE: "/s" }, files: { "/s": "a\nb\n" } }, 78, /API_KEY_FILE.*visible ASCII/],
  [{ env: { API_KEY }, files: { ".env": DENIED } }, 78, /\.env cannot be read: Permission denied/],
  [{ env: { API_KEY }, files: { ".env": "PORT=1\nnonsense\n# ok\nHOST h\n" } }, 78, /\.env, line 2:/, /\.env, line 4:/],
  [{ env: {}, files: { ".env": "API_KEY=ab#cdefgh # a comment\n" } }, 78, /\.env, line 1: expected quotes .*#/],
  [{ env: { API_KEY, PORT: "http" } }, 78, /^PORT is "http".*0 to 65535/],
  [{ env: { API_KEY, PORT: "65536" } }, 78, /^PORT is "65536"/],
  [{ env: { API_KEY, PORT: "-1" } }, 78, /^PORT is "-1"/],
  [{ env: { API_KEY, PORT: "80.0" } }, 78, /^PORT is "80.0"/],
  [{ env: { API_KEY, PORT: "0x50" } }, 78, /^PORT is "0x50"/],
  [{ env: { API_KEY, PORT: " 80" } }, 78, /^PORT is " 80"/],
  [{ env: { API_KEY, PORT: "000080" } }, 78, /^PORT is "000080"/],
  [{ env: { API_KEY }, files: { ".env": "PORT=http\n" } }, 78, /^PORT in \.env is "http"/],
  [{ env: { API_KEY }, flags: { port: "http" } }, 2, /^--port is "http"/],
  [{ env: { API_KEY, PORT: "http" }, flags: { port: "ftp" } }, 2, /^--port is "ftp"/],
  [{ env: { API_KEY }, flags: { host: "a b" } }, 2, /^--host is "a b"/],
  [{ env: { API_KEY, HOST: "http://h" } }, 78, /^HOST is "http:\/\/h"/],
  [{ flags: { port: "http" } }, 2, /^--port/, /API_KEY is not set/],
  [{ env: { API_KEY, LOG_FORMAT: "xml" } }, 78, /^LOG_FORMAT is "xml".*json.*text/],
  [{ env: { API_KEY, LOG_LEVEL: "INFO" } }, 78, /^LOG_LEVEL is "INFO".*debug.*info.*warn.*error/],
  [{ env: { API_KEY, DRAIN_SECONDS: "-1" } }, 78, /^DRAIN_SECONDS is "-1".*seconds/],
  [{ env: { API_KEY, DRAIN_SECONDS: "5s" } }, 78, /^DRAIN_SECONDS is "5s"/],
  [{ env: { API_KEY, SHUTDOWN_SECONDS: "86401" } }, 78, /^SHUTDOWN_SECONDS is "86401"/],
  [{ env: { API_KEY, SHUTDOWN_SECONDS: "Infinity" } }, 78, /^SHUTDOWN_SECONDS is "Infinity"/],
  [{ env: { API_KEY, TLS_CERT_FILE: "/c" }, files: { "/c": "x" } }, 78, /TLS_CERT_FILE is set and TLS_KEY_FILE is not/],
  [{ env: { API_KEY, TLS_KEY_FILE: "/k" }, files: { "/k": "x" } }, 78, /TLS_KEY_FILE is set and TLS_CERT_FILE is not/],
  [
    { env: { API_KEY, TLS_CERT_FILE: "/c", TLS_KEY_FILE: "/k" } },
    78,
    /TLS_CERT_FILE is "\/c".*cannot be read/,
    /TLS_KEY_FILE is "\/k".*cannot be read/,
  ],
  [
    { env: { API_KEY, TLS_CERT_FILE: "/c", TLS_KEY_FILE: "/k" }, files: { "/c": "none", "/k": "none" } },
    78,
    /TLS_CERT_FILE is "\/c".*certificate/,
    /TLS_KEY_FILE is "\/k".*private key/,
  ],
  [
    {
      env: {
        PORT: "http",
        HOST: "a b",
        LOG_LEVEL: "x",
        LOG_FORMAT: "x",
        DRAIN_SECONDS: "x",
        SHUTDOWN_SECONDS: "x",
        TLS_KEY_FILE: "k",
      },
    },
    78,
    /^HOST/,
    /^PORT/,
    /^API_KEY/,
    /^TLS_KEY_FILE/,
    /^LOG_FORMAT/,
    /^LOG_LEVEL/,
    /^DRAIN_SECONDS/,
    /^SHUTDOWN_SECONDS/,
  ],
];
for (const [given, exitCode, ...lines] of MISTAKES) {
  const shown = JSON.stringify(given, (_, value) => value instanceof Error ? value.name : value);
  Deno.test(`readConfiguration() finds ${lines.length} mistake(s), exit ${exitCode}, in ${shown}`, async () => {
    const found = await mistakesOf(given);
    assertEquals(found.exitCode, exitCode);
    assertEquals(found.mistakes.length, lines.length, found.mistakes.join("\n"));
    lines.forEach((line, place) => assertMatch(found.mistakes[place], line));
    for (const mistake of found.mistakes) assert(!/[\n\r]/.test(mistake), mistake);
  });
}

Deno.test("readConfiguration() puts no key into a mistake", async () => {
  const secret = "s3cret value";
  for (
    const given of [
      { env: { API_KEY: secret } },
      { env: { API_KEY: `ok,${secret},,` } },
      { env: { API_KEY: secret, API_KEY_FILE: "/s" } },
      { env: { API_KEY_FILE: "/s" }, files: { "/s": secret } },
      { files: { ".env": `API_KEY=${secret}\n` } },
      { files: { ".env": `API_KEY ${secret}\n` } },
    ] as Given[]
  ) {
    const { mistakes } = await mistakesOf(given);
    assert(!mistakes.join("\n").includes("s3cret"), mistakes.join("\n"));
  }
});

Deno.test("readConfiguration() says which variable is not text", async () => {
  const { mistakes } = await (async () => {
    const broken = {
      ...sources({ env: {} }),
      env(name: string) {
        if (name === "HOST") throw new TypeError("not UTF-8");
        return name === "API_KEY" ? "k" : undefined;
      },
    };
    return await assertRejects(() => readConfiguration(broken), ConfigurationError) as ConfigurationError;
  })();
  assertEquals(mistakes, ["HOST is not text in UTF-8"]);
});

Deno.test("readAddress() needs no key, and does not look at what healthcheck does not need", async () => {
  const files = { ".env": "PORT=7\n" };
  const env = { LOG_LEVEL: "nonsense", DRAIN_SECONDS: "x", TLS_CERT_FILE: "/c", TLS_KEY_FILE: "/k" };
  const { host, port, secure } = await readAddress(sources({ files, env, flags: { host: "::1" } }));
  assertEquals({ host, port, secure }, { host: "::1", port: 7, secure: true });
  await assertRejects(() => readAddress(sources({ flags: { port: "http" } })), ConfigurationError);
});
