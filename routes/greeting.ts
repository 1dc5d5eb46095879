import type { Handler } from "../http/router.ts";

const GREETING = new Response('{"message":"Konnichiwa"}', {
  headers: { "Content-Type": "application/json", "X-Content-Type-Options": "nosniff" },
});

/** `GET /`: says hello. */
export const greeting: Handler = () => GREETING.clone();
