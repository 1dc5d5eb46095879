import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import manifest from "../deno.json" with { type: "json" };
import { HELP } from "../command_line.ts";
import { type Ended, FROM_SOURCE, KEY, run, start, type StartOptions } from "./service.ts";

/** Runs `act` in a new folder with these files; a value of `null` makes a folder. */
async function inFolder<T>(
  files: Record<string, string | Uint8Array | null>,
  act: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: "konnichiwa-start-" });
  try {
    for (const [name, content] of Object.entries(files)) {
      if (content === null) await Deno.mkdir(`${folder}/${name}`);
      else if (typeof content === "string") await Deno.writeTextFile(`${folder}/${name}`, content);
      else await Deno.writeFile(`${folder}/${name}`, content);
    }
    return await act(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Exit code, exactly one line on stderr for each mistake, nothing else, no stack trace, no key. */
function assertRefused({ code, signal, stdout, stderr }: Ended, expected: number, lines: RegExp[]): void {
  assertEquals([code, signal], [expected, null], stderr);
  assertEquals(stdout, "");
  assertEquals(stderr.split("\n").length - 1, lines.length, stderr);
  assert(stderr.endsWith("\n"));
  stderr.trimEnd().split("\n").forEach((line, place) => {
    assertMatch(line, /^konnichiwa: /);
    assertMatch(line, lines[place]!);
  });
  assert(!/^\s+at |file:\/\/|\.ts:\d|Uncaught|node:/m.test(stderr) && !stderr.includes("\x1b"), stderr);
  assert(!stderr.includes(KEY) && !stderr.includes("s3cret"), stderr);
}

const NO_KEY = { API_KEY: null };
/** What is wrong, how it is started (in a folder with `files`), the exit code, and a pattern for each line. */
const WRONG: [
  what: string,
  options: StartOptions,
  files: Record<string, string | Uint8Array | null>,
  code: number,
  ...lines: RegExp[],
][] = [
  ["no key", { env: NO_KEY }, {}, 78, /API_KEY is not set.*API_KEY_FILE/],
  ["an empty key", { env: { API_KEY: "" } }, {}, 78, /API_KEY is not set/],
  ["a blank key", { env: { API_KEY: "  " } }, {}, 78, /API_KEY.*visible ASCII/],
  ["a key with a blank", { env: { API_KEY: "s3cret s3cret" } }, {}, 78, /API_KEY.*visible ASCII/],
  ["an empty key among several", { env: { API_KEY: "s3cret,,s3cret2" } }, {}, 78, /API_KEY.*2 of 3 is empty/],
  ["PORT=http", { env: { PORT: "http" } }, {}, 78, /PORT is "http".*0 to 65535/],
  ["PORT=99999", { env: { PORT: "99999" } }, {}, 78, /PORT is "99999".*0 to 65535/],
  ["a bad port in .env", { env: { PORT: null } }, { ".env": "PORT=http\n" }, 78, /PORT in \.env is "http"/],
  ["both key variables", { env: { API_KEY_FILE: "key" } }, { key: "s3cret" }, 78, /API_KEY and API_KEY_FILE are both set/],
  [
    "both key variables, one in .env",
    {},
    { key: "s3cret", ".env": "API_KEY_FILE=key\n" },
    78,
    /API_KEY and API_KEY_FILE in \.env/,
  ],
  ["a key file that is missing", { env: { ...NO_KEY, API_KEY_FILE: "key" } }, {}, 78, /API_KEY_FILE is "key".*No such file/],
  ["a key file that is empty", { env: { ...NO_KEY, API_KEY_FILE: "key" } }, { key: "" }, 78, /API_KEY_FILE, "key" is empty/],
  [
    "a key file of white space",
    { env: { ...NO_KEY, API_KEY_FILE: "key" } },
    { key: "\n \n" },
    78,
    /API_KEY_FILE, "key" is empty/,
  ],
  [
    "a key file that is a folder",
    { env: { ...NO_KEY, API_KEY_FILE: "key" } },
    { key: null },
    78,
    /API_KEY_FILE is "key".*directory/,
  ],
  [
    "a key file that is no text",
    { env: { ...NO_KEY, API_KEY_FILE: "key" } },
    { key: new Uint8Array([255, 254, 0]) },
    78,
    /API_KEY_FILE is "key".*UTF-8/,
  ],
  [
    "a key file without an end",
    { env: { ...NO_KEY, API_KEY_FILE: "/dev/zero" } },
    {},
    78,
    /API_KEY_FILE is "\/dev\/zero".*larger than 1 MB/,
  ],
  [
    "a key file with two lines",
    { env: { ...NO_KEY, API_KEY_FILE: "key" } },
    { key: "s3cret\ns3cret2\n" },
    78,
    /API_KEY_FILE.*visible ASCII/,
  ],
  ["a .env that is a folder", {}, { ".env": null }, 78, /\.env cannot be read: .*directory/],
  ["a .env that is no text", {}, { ".env": new Uint8Array([65, 61, 255]) }, 78, /\.env cannot be read: .*UTF-8/],
  [
    "a .env with a line that is none",
    {},
    { ".env": "LOG_LEVEL=info\nAPI_KEY s3cret\n" },
    78,
    /\.env, line 2: expected NAME=value/,
  ],
  [
    "a certificate without its key",
    { env: { TLS_CERT_FILE: "c.pem" } },
    { "c.pem": "" },
    78,
    /TLS_CERT_FILE is set and TLS_KEY_FILE is not/,
  ],
  [
    "a key without its certificate",
    { env: { TLS_KEY_FILE: "k.pem" } },
    { "k.pem": "" },
    78,
    /TLS_KEY_FILE is set and TLS_CERT_FILE is not/,
  ],
  [
    "a certificate that is none",
    { env: { TLS_CERT_FILE: "c.pem", TLS_KEY_FILE: "k.pem" } },
    { "c.pem": "s3cret", "k.pem": "s3cret" },
    78,
    /TLS_CERT_FILE is "c\.pem".*certificate in PEM/,
    /TLS_KEY_FILE is "k\.pem".*private key in PEM/,
  ],
  ["LOG_FORMAT=xml", { env: { LOG_FORMAT: "xml" } }, {}, 78, /LOG_FORMAT is "xml".*json.*text/],
  ["LOG_LEVEL=loud", { env: { LOG_LEVEL: "loud" } }, {}, 78, /LOG_LEVEL is "loud".*debug.*info.*warn.*error/],
  ["DRAIN_SECONDS=soon", { env: { DRAIN_SECONDS: "soon" } }, {}, 78, /DRAIN_SECONDS is "soon".*seconds/],
  ["SHUTDOWN_SECONDS=-1", { env: { SHUTDOWN_SECONDS: "-1" } }, {}, 78, /SHUTDOWN_SECONDS is "-1".*seconds/],
  ["a host that is none", { env: { HOST: "http://h/" } }, {}, 78, /HOST is "http:\/\/h\/"/],
  ["--prot 80", { args: ["--prot", "80"] }, {}, 2, /"--prot".*--port/],
  ["--port http", { args: ["--port", "http"] }, {}, 2, /--port is "http".*0 to 65535/],
  ["--port 99999", { args: ["--port=99999"] }, {}, 2, /--port is "99999"/],
  ["--port without a value", { args: ["--port"] }, {}, 2, /--port needs a value/],
  ["--host with a blank", { args: ["--host", "a b"] }, {}, 2, /--host is "a b"/],
  ["an unknown command", { args: ["server"] }, {}, 2, /"server".*serve/],
  ["two commands", { args: ["serve", "healthcheck"] }, {}, 2, /one command.*"healthcheck"/],
  ["control characters in a flag", { args: ["--\x1b[31m\n"] }, {}, 2, /unknown flag "--\\u001b\[31m\\n"/],
  ["two bad flags", { args: ["--prot", "80", "--hots", "h"] }, {}, 2, /--prot/, /--hots/],
  [
    "all at once",
    {
      env: {
        API_KEY: null,
        HOST: "a b",
        PORT: "http",
        LOG_FORMAT: "x",
        LOG_LEVEL: "x",
        DRAIN_SECONDS: "x",
        SHUTDOWN_SECONDS: "x",
        TLS_CERT_FILE: "c",
      },
    },
    {},
    78,
    /HOST/,
    /PORT/,
    /API_KEY/,
    /TLS_CERT_FILE/,
    /LOG_FORMAT/,
    /LOG_LEVEL/,
    /DRAIN_SECONDS/,
    /SHUTDOWN_SECONDS/,
  ],
  ["a bad flag and no key", { args: ["--port", "http"], env: NO_KEY }, {}, 2, /--port/, /API_KEY/],
];
for (const [what, options, files, code, ...lines] of WRONG) {
  Deno.test(`starting it with ${what} is ${lines.length === 1 ? "one line" : `${lines.length} lines`} and exit ${code}`, () =>
    inFolder(files, async (cwd) => assertRefused(await run({ ...options, cwd }), code, lines)));
}

Deno.test("starting it with a .env or a key file that it may not read is one line and exit 78", () =>
  inFolder({ ".env": "PORT=0\n", key: "s3cret" }, async (cwd) => {
    // Root may read everything, unless it is started without the capability to (capabilities(7)).
    const lesser = Deno.uid() === 0 ? ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] : [];
    const command = [...lesser, ...FROM_SOURCE];
    await Deno.chmod(`${cwd}/key`, 0);
    const env = { ...NO_KEY, API_KEY_FILE: "key" };
    assertRefused(await run({ command, cwd, env }), 78, [/API_KEY_FILE is "key".*Permission denied/]);
    await Deno.chmod(`${cwd}/.env`, 0);
    assertRefused(await run({ command, cwd }), 78, [/\.env cannot be read: Permission denied/]);
  }));

Deno.test("starting it with a .env or a key file that not even root can read is one line and exit 78", () =>
  inFolder({}, async (cwd) => {
    await Deno.symlink("key", `${cwd}/key`);
    assertRefused(await run({ cwd, env: { ...NO_KEY, API_KEY_FILE: "key" } }), 78, [
      /API_KEY_FILE is "key".*symbolic links/,
    ]);
    await Deno.symlink(".env", `${cwd}/.env`);
    assertRefused(await run({ cwd }), 78, [/\.env cannot be read: .*symbolic links/]);
  }));

Deno.test("an address in use is one line and exit 1", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr as Deno.NetAddr;
  assertRefused(await run({ env: { PORT: String(port) } }), 1, [
    new RegExp(`cannot listen on 127\\.0\\.0\\.1, port ${port}: .*in use`),
  ]);
});

Deno.test("an address that this host does not have is one line and exit 1", async () => {
  // 192.0.2.0/24 is for documentation (RFC 5737).
  assertRefused(await run({ env: { HOST: "192.0.2.1" } }), 1, [/cannot listen on 192\.0\.2\.1, port 0: /]);
});

for (const args of [["--help"], ["-h"], ["serve", "--help"], ["healthcheck", "--help"]]) {
  Deno.test(`${args.join(" ")} prints the help, needs no configuration, and exits with 0`, async () => {
    const { code, stdout, stderr } = await run({ args, env: { API_KEY: null, PORT: "http" } });
    assertEquals([code, stdout, stderr], [0, HELP, ""]);
  });
}

Deno.test("--version prints name and version, and exits with 0", async () => {
  const { code, stdout, stderr } = await run({ args: ["--version"], env: { API_KEY: null } });
  assertEquals([code, stdout, stderr], [0, `konnichiwa ${manifest.version}\n`, ""]);
});

Deno.test("PORT=0 takes a free port and says which, on one line with the version and without the key", async () => {
  await using service = await start();
  assert(service.port > 0);
  const { time, ...line } = JSON.parse(service.lines[0]!);
  assert(Math.abs(Date.parse(time) - Date.now()) < 10_000);
  assertEquals(line, {
    level: "info",
    message: "listening",
    address: `http://127.0.0.1:${service.port}`,
    version: manifest.version,
  });
  assertEquals(await (await fetch(`${service.origin}/health`)).text(), '"ok"');
  assert(!service.lines.join().includes(KEY));
});

Deno.test("flags win over the environment, which wins over .env", () =>
  inFolder({ ".env": `API_KEY=key-of-the-file\nLOG_FORMAT=text\nPORT=1\nHOST=192.0.2.1\n` }, async (cwd) => {
    const env = { API_KEY: null, LOG_FORMAT: null, PORT: "2", HOST: null };
    await using service = await start({ cwd, env, args: ["--port", "0", "--host=127.0.0.1"] });
    assert(service.port > 2);
    assertMatch(service.lines[0], /^\S+Z INFO {2}listening address=http:\/\/127\.0\.0\.1:\d+ version=\S+$/);
    const status = async (key: string) => {
      const response = await fetch(`${service.origin}/inspect`, { headers: { Authorization: `Bearer ${key}` } });
      await response.body?.cancel();
      return response.status;
    };
    assertEquals([await status("key-of-the-file"), await status(KEY)], [200, 401]);
  }));

Deno.test("API_KEY wins over the one in .env, and an empty one counts as not set", () =>
  inFolder({ ".env": "API_KEY=key-of-the-file\n" }, async (cwd) => {
    for (const [given, valid] of [[KEY, KEY], ["", "key-of-the-file"]] as const) {
      await using service = await start({ cwd, env: { API_KEY: given } });
      const response = await fetch(`${service.origin}/inspect`, { headers: { Authorization: `Bearer ${valid}` } });
      await response.body?.cancel();
      assertEquals(response.status, 200);
    }
  }));

for (
  const [what, content] of [["", KEY], [" with a newline at its end", `${KEY}\n`], [
    " with white space around",
    `\n ${KEY}\r\n\r\n`,
  ]]
) {
  Deno.test(`API_KEY_FILE names a file that holds the key${what}`, () =>
    inFolder({ key: content! }, async (cwd) => {
      await using service = await start({ cwd, env: { API_KEY: null, API_KEY_FILE: `${cwd}/key` } });
      const response = await service.get("/inspect");
      await response.body?.cancel();
      assertEquals(response.status, 200);
    }));
}

Deno.test("starting it without HOST listens on every address", async () => {
  await using service = await start({ env: { HOST: null } });
  assertStringIncludes(service.lines[0], '"address":"http://0.0.0.0:');
  assertEquals(await (await fetch(`${service.origin}/health`)).text(), '"ok"');
});
