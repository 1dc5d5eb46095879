import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { parseAnswer } from "./answer.ts";
import { exchange, KEY, run, type RunningService, start } from "./service.ts";

const folder = await Deno.makeTempDir({ prefix: "konnichiwa-tls-" });
addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));

async function openssl(...args: string[]): Promise<boolean> {
  try {
    return (await new Deno.Command("openssl", { args, cwd: folder, stdout: "null", stderr: "null" }).output()).success;
  } catch {
    return false;
  }
}

/** Makes `NAME.pem`, a certificate for this host signed by itself, and `NAME.key`. */
function certificate(name: string, algorithm: string[], more: string[] = []): Promise<boolean> {
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  // Clients refuse a certificate authority's own certificate as a server's.
  const use = ["-addext", "basicConstraints=critical,CA:FALSE"];
  return openssl(
    ...["req", "-x509", "-nodes", "-days", "2", "-newkey"],
    ...algorithm,
    ...names,
    ...use,
    ...more,
    "-keyout",
    `${name}.key`,
    "-out",
    `${name}.pem`,
  );
}

const EC = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
/** A certificate authority's own, for another name, which clients refuse for both reasons. */
function elsewhere(): Promise<boolean> {
  const args = ["req", "-x509", "-nodes", "-days", "2", "-newkey", ...EC, "-subj", "/CN=elsewhere.example"];
  return openssl(...args, "-keyout", "elsewhere.key", "-out", "elsewhere.pem");
}

const ready = await certificate("one", EC) && await certificate("rsa", ["rsa:2048"]) &&
  await certificate("other", EC) &&
  await certificate("weak", ["rsa:1024"]) &&
  await elsewhere() &&
  await openssl("ecparam", "-name", "prime256v1", "-genkey", "-out", "parameters.key") &&
  await openssl(..."req -x509 -days 2 -key parameters.key -subj /CN=localhost -out parameters.pem".split(" ")) &&
  await openssl("ec", "-in", "one.key", "-aes256", "-passout", "pass:x", "-out", "encrypted.key") &&
  await openssl("x509", "-in", "one.pem", "-outform", "DER", "-out", "one.der");

const environment = (cert: string, key: string) => ({
  TLS_CERT_FILE: `${folder}/${cert}`,
  TLS_KEY_FILE: `${folder}/${key}`,
});

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: ready ? name : `${name} (skipped: no openssl to make certificates with)`, ignore: !ready, fn });
}

const caCerts = () => [Deno.readTextFileSync(`${folder}/one.pem`)];

/** Asks with a client that trusts the certificate and speaks only this version. */
async function ask(service: RunningService, http2: boolean, path: string, headers: HeadersInit = {}) {
  using client = Deno.createHttpClient({ caCerts: caCerts(), http1: !http2, http2 });
  const response = await fetch(`${service.origin}${path}`, { client, headers });
  return { status: response.status, headers: response.headers, body: await response.text() };
}

test("with two PEM files it serves HTTPS, over HTTP/1.1 and HTTP/2 alike, and says so", async () => {
  await using service = await start({ env: environment("one.pem", "one.key") });
  assertMatch(service.origin, /^https:\/\/127\.0\.0\.1:\d+$/);
  for (const http2 of [false, true]) {
    assertEquals((await ask(service, http2, "/")).body, '{"message":"Konnichiwa"}');
    const health = await ask(service, http2, "/health");
    assertEquals([health.status, health.body, health.headers.get("cache-control")], [200, '"ok"', "no-store"]);
    const inspect = await ask(service, http2, "/inspect", { Authorization: `Bearer ${KEY}` });
    assertEquals([inspect.status, JSON.parse(inspect.body).service.name], [200, "konnichiwa"]);
    const refused = await ask(service, http2, "/inspect");
    assertEquals([refused.status, JSON.parse(refused.body).detail], [401, "Not authenticated"]);
    assertEquals((await ask(service, http2, "/nope?/health")).status, 404);
    const twice: [string, string][] = [["Authorization", `Bearer ${KEY}`], ["Authorization", `Bearer ${KEY}`]];
    assertEquals((await ask(service, http2, "/inspect", twice)).status, 401);
  }
});

test("clients choose the version of HTTP while they shake hands (ALPN)", async () => {
  await using service = await start({ env: environment("one.pem", "one.key") });
  for (const [offered, chosen] of [[["h2", "http/1.1"], "h2"], [["http/1.1"], "http/1.1"], [["h2"], "h2"]] as const) {
    using connection = await Deno.connectTls({
      hostname: "127.0.0.1",
      port: service.port,
      caCerts: caCerts(),
      alpnProtocols: [...offered],
    });
    assertEquals((await connection.handshake()).alpnProtocol, chosen);
  }
});

test("requests that come as written are answered over TLS as they are without", async () => {
  await using service = await start({ env: environment("one.pem", "one.key") });
  const raw = async (request: string) => {
    using connection = await Deno.connectTls({ hostname: "127.0.0.1", port: service.port, caCerts: caCerts() });
    return parseAnswer(await exchange(connection, request, 2000));
  };
  for (
    const [line, status] of [["GET /%68ealth", 404], ["GET //health", 404], ["TRACE /", 405], ["OPTIONS /", 204]] as const
  ) {
    assertEquals((await raw(`${line} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`)).status, status, line);
  }
  assertEquals((await raw("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n")).status, 400);
  assertEquals((await raw("GET /health HTTP/1.0\r\n\r\n")).body, '"ok"');
});

test("an RSA key will do as well", async () => {
  await using service = await start({ env: environment("rsa.pem", "rsa.key") });
  using client = Deno.createHttpClient({ caCerts: [Deno.readTextFileSync(`${folder}/rsa.pem`)] });
  assertEquals(await (await fetch(`${service.origin}/health`, { client })).text(), '"ok"');
});

test("a key file as openssl ecparam makes it, with the curve's parameters before the key, will do as well", async () => {
  await using service = await start({ env: environment("parameters.pem", "parameters.key") });
  assertEquals(
    (await run({
      args: ["healthcheck"],
      env: { ...environment("parameters.pem", "parameters.key"), PORT: String(service.port) },
    })).code,
    0,
  );
});

test("who speaks plain HTTP to it gets no answer, and others are served on", async () => {
  await using service = await start({ env: environment("one.pem", "one.key") });
  assert(!(await service.raw("GET / HTTP/1.1\r\nHost: h\r\n\r\n", 500)).includes("Konnichiwa"));
  await assertRejects(() => fetch(`http://127.0.0.1:${service.port}/`));
  assertEquals((await ask(service, true, "/health")).body, '"ok"');
});

test("a client that does not trust the certificate is not served", async () => {
  await using service = await start({ env: environment("one.pem", "one.key") });
  await assertRejects(() => fetch(`${service.origin}/`), TypeError);
});

test("SIGTERM stops it within 200 ms with an idle HTTP/2 connection open, exit 0", async () => {
  let fastest = Infinity;
  // The fastest of three counts, as in stop_test.ts.
  for (let tries = 3; tries > 0 && fastest >= 200; tries--) {
    await using service = await start({ env: environment("one.pem", "one.key") });
    using client = Deno.createHttpClient({ caCerts: caCerts(), http1: false, http2: true });
    await (await fetch(`${service.origin}/health`, { client })).text();
    const asked = performance.now();
    service.kill();
    assertEquals((await service.ended).code, 0);
    fastest = Math.min(fastest, performance.now() - asked);
  }
  assert(fastest < 200, `took ${fastest} ms`);
});

test("healthcheck works against it, whomever the certificate is made out to", async () => {
  for (const name of ["one", "elsewhere"]) {
    const env = environment(`${name}.pem`, `${name}.key`);
    await using service = await start({ env });
    const { code, stdout, stderr } = await run({
      args: ["healthcheck"],
      env: { ...env, API_KEY: null, PORT: String(service.port) },
    });
    assertEquals([code, stdout, stderr], [0, "", ""]);
    await using second = await start({ env: { ...env, DRAIN_SECONDS: "30" } });
    second.kill();
    await second.line((line) => line.includes("stopping"));
    assertEquals((await run({ args: ["healthcheck"], env: { ...env, PORT: String(second.port) } })).code, 1);
  }
});

test("healthcheck exits with 1 when one side speaks TLS and the other does not", async () => {
  const env = environment("one.pem", "one.key");
  await using secure = await start({ env });
  await using plain = await start();
  assertEquals((await run({ args: ["healthcheck"], env: { PORT: String(secure.port) } })).code, 1);
  assertEquals((await run({ args: ["healthcheck"], env: { ...env, PORT: String(plain.port) } })).code, 1);
});

const WRONG: [what: string, cert: string, key: string, ...lines: RegExp[]][] = [
  [
    "the key of another certificate",
    "one.pem",
    "other.key",
    /TLS_KEY_FILE is ".*other\.key".*key of the certificate in ".*one\.pem"/,
  ],
  ["a key of another kind", "one.pem", "rsa.key", /TLS_KEY_FILE is ".*rsa\.key"/],
  ["a key in place of the certificate", "one.key", "one.key", /TLS_CERT_FILE is ".*one\.key".*certificate in PEM/],
  ["a certificate in place of the key", "one.pem", "one.pem", /TLS_KEY_FILE is ".*one\.pem".*private key in PEM/],
  ["both in the other's place", "one.key", "one.pem", /TLS_CERT_FILE/, /TLS_KEY_FILE/],
  ["a key that is encrypted", "one.pem", "encrypted.key", /TLS_KEY_FILE is ".*encrypted\.key".*not encrypted/],
  ["a certificate in DER", "one.der", "one.key", /TLS_CERT_FILE is ".*one\.der"/],
  ["a key that is too short to be used", "weak.pem", "weak.key", /TLS_KEY_FILE is ".*weak\.key"/],
  ["a chain with a part that is none", "broken.pem", "one.key", /TLS_CERT_FILE is ".*broken\.pem".*certificate/],
  ["a file that is missing", "none.pem", "one.key", /TLS_CERT_FILE is ".*none\.pem".*No such file/],
  ["a folder", ".", "one.key", /TLS_CERT_FILE is ".*".*directory/],
];
if (ready) {
  const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  Deno.writeTextFileSync(`${folder}/broken.pem`, Deno.readTextFileSync(`${folder}/one.pem`) + broken);
}
for (const [what, cert, key, ...lines] of WRONG) {
  test(`starting it with ${what} is ${lines.length === 1 ? "one line" : `${lines.length} lines`} and exit 78`, async () => {
    const { code, stdout, stderr } = await run({ env: environment(cert, key) });
    assertEquals([code, stdout], [78, ""], stderr);
    assertEquals(stderr.trimEnd().split("\n").length, lines.length, stderr);
    stderr.trimEnd().split("\n").forEach((line, place) => assertMatch(line, lines[place]));
    assert(!stderr.includes("PRIVATE KEY") && !/^\s+at /m.test(stderr), stderr);
  });
}

test("a certificate with a chain after it is served whole", async () => {
  const chain = Deno.readTextFileSync(`${folder}/one.pem`) + Deno.readTextFileSync(`${folder}/other.pem`);
  Deno.writeTextFileSync(`${folder}/chain.pem`, chain);
  await using service = await start({ env: environment("chain.pem", "one.key") });
  const { stdout } = await new Deno.Command("openssl", {
    args: ["s_client", "-showcerts", "-connect", `127.0.0.1:${service.port}`],
    stdin: "null",
    stderr: "null",
  }).output();
  assertEquals(new TextDecoder().decode(stdout).match(/BEGIN CERTIFICATE/g)?.length, 2);
  assertStringIncludes(new TextDecoder().decode(stdout), "CN = localhost");
});
