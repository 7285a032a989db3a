// Serves folders on 127.0.0.1, and takes what tests hand in.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
  ".wasm": "application/wasm",
  ".svg": "image/svg+xml",
};

/** `routes` maps a first part of a path to a folder, or to a function of (path, body); `headers` go with files. */
export async function serve(routes, headers = {}) {
  const answer = async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    const [, first] = pathname.split("/");
    const route = routes[first];
    if (route === undefined) return response.writeHead(404).end();
    const rest = normalize(decodeURIComponent(pathname.slice(first.length + 1))).replace(/^(\.\.[/\\])+/, "");
    if (typeof route === "function") {
      const pieces = [];
      for await (const piece of request) pieces.push(piece);
      const body = await route(rest, Buffer.concat(pieces));
      return response.writeHead(body === undefined ? 204 : 200).end(body);
    }
    try {
      const file = join(route, rest.endsWith("/") ? `${rest}index.html` : rest);
      const bytes = await readFile(file);
      response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream", ...headers }).end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  };
  const server = createServer((request, response) => {
    answer(request, response).catch((error) => response.writeHead(500).end(String(error)));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}
