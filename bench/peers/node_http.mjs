// The three routes on node:http, as one would write them there: figures are read for each request.
import { createServer } from "node:http";
import { Buffer } from "node:buffer";
import os from "node:os";
import process from "node:process";

const authorization = `Bearer ${process.env.API_KEY}`;

function size(bytes) {
  const units = ["Bytes", "KB", "MB", "GB", "TB"];
  let unit = 0;
  for (; bytes >= 1024 && unit < 4; unit++) bytes /= 1024;
  return `${bytes.toFixed(2)} ${units[unit]}`;
}

function duration(seconds) {
  return new Date(seconds * 1000).toISOString().slice(11, 19);
}

let last = { idle: 0, total: 0 };

function cpuUsed() {
  let [idle, total] = [0, 0];
  for (const { times } of os.cpus()) {
    idle += times.idle;
    total += times.user + times.nice + times.sys + times.idle + times.irq;
  }
  const used = total === last.total ? 0 : 1 - (idle - last.idle) / (total - last.total);
  last = { idle, total };
  return Math.round(used * 100);
}

function inspect() {
  const [total, free] = [os.totalmem(), os.freemem()];
  const { rss } = process.memoryUsage();
  return {
    now: new Date().toISOString(),
    system: {
      platform: os.type(),
      release: os.release(),
      arch: os.machine(),
      uptime: duration(os.uptime()),
      hostname: os.hostname(),
      cpu_used_percent: cpuUsed(),
      memory_used_percent: Math.round((1 - free / total) * 100),
    },
    memory: { total: size(total), free: size(free) },
    process: {
      pid: process.pid,
      uptime: duration(process.uptime()),
      memoryUsage: { rss: size(rss), vms: null, percent: `${(rss / total * 100).toFixed(2)}%` },
    },
  };
}

function send(response, status, value, headers = {}) {
  const body = JSON.stringify(value);
  response.writeHead(status, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
    "X-Content-Type-Options": "nosniff",
    ...headers,
  });
  response.end(body);
}

createServer((request, response) => {
  switch (request.url) {
    case "/":
      return send(response, 200, { message: "Konnichiwa" });
    case "/health":
      return send(response, 200, "ok", { "Cache-Control": "no-store" });
    case "/inspect":
      if (request.headers.authorization !== authorization) return send(response, 401, { detail: "Unauthorized" });
      return send(response, 200, inspect(), { "Cache-Control": "no-store" });
    default:
      return send(response, 404, { detail: "Not Found" });
  }
}).listen(Number(process.env.PORT), "127.0.0.1");
