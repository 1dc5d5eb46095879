/**
 * The floor: the least that a server on `Deno.serve` can do, with the same answers and the same fixed headers.
 *
 * @module
 */

const plain = { "Content-Type": "application/json", "X-Content-Type-Options": "nosniff" };
const noStore = { ...plain, "Cache-Control": "no-store" };
const noTransform = { ...plain, "Cache-Control": "no-store, no-transform" };
// As long as an answer of the service: what is sent costs the same.
const figures = JSON.stringify({ now: new Date().toISOString(), figures: "x".repeat(800) });

const answers = new Map<string, () => Response>([
  ["/", () => new Response('{"message":"Konnichiwa"}', { headers: plain })],
  ["/health", () => new Response('"ok"', { headers: noStore })],
  ["/inspect", () => new Response(figures, { headers: noTransform })],
]);

Deno.serve({ hostname: "127.0.0.1", port: Number(Deno.env.get("PORT")), onListen() {} }, ({ url }) => {
  const answer = answers.get(url.slice(url.indexOf("/", 8)));
  return answer ? answer() : new Response(null, { status: 404 });
});
