/** The HTTP server by itself: what it answers, and what it does not let a client do. */
import assert from "node:assert/strict";
import {
  HttpListenError,
  type HttpRoutes,
  plain,
  startHttpServer,
} from "../../lib/edge/http_server.ts";
import { waitUntil } from "../process/wait_until.ts";
import { connect, type RawConnection, rawRequest } from "./raw_request.ts";

const ROUTES: HttpRoutes = {
  "/livez": () => plain(200, "fine"),
  "/broken": () => {
    throw new Error("secret details");
  },
  "/large": () => plain(200, "x".repeat(3_000_000)),
};

function start(connectionMs?: number) {
  return startHttpServer({ address: { host: "127.0.0.1", port: 0 }, routes: ROUTES, connectionMs });
}

function statusLine(answer: string): string {
  return answer.split("\r\n", 1)[0];
}

async function isAnswered(address: string): Promise<boolean> {
  return (await rawRequest(address, "GET /livez HTTP/1.1\r\n\r\n")).startsWith("HTTP/1.1 200 ");
}

Deno.test("a known path is answered, with or without a query, and the connection closed", async () => {
  await using server = start();
  for (const path of ["/livez", "/livez?verbose"]) {
    const response = await fetch(`http://${server.address}${path}`);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("content-type"), "text/plain; charset=utf-8");
    assert.equal(response.headers.get("connection"), "close");
    assert.equal(await response.text(), "fine\n");
  }
});

Deno.test("HEAD is answered like GET, without the body", async () => {
  await using server = start();
  const get = await rawRequest(server.address, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
  const head = await rawRequest(server.address, "HEAD /livez HTTP/1.1\r\nHost: a\r\n\r\n");
  assert.equal(get, `${head}fine\n`);
  assert.match(head, /\r\nContent-Length: 5\r\n/);
});

Deno.test("every other method is answered 405 with the methods that there are", async () => {
  await using server = start();
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"]) {
    const answer = await rawRequest(server.address, `${method} /livez HTTP/1.1\r\n\r\n`);
    assert.equal(statusLine(answer), "HTTP/1.1 405 Method Not Allowed");
    assert.match(answer, /\r\nAllow: GET, HEAD\r\n/);
  }
});

Deno.test("a body is not read, and its sender still gets the answer", async () => {
  await using server = start();
  const body = "x".repeat(30_000);
  const head = `POST /livez HTTP/1.1\r\nContent-Length: ${body.length}\r\n\r\n`;
  assert.match(await rawRequest(server.address, head + body), /^HTTP\/1\.1 405 /);
});

Deno.test("an unknown path is answered 404, and a broken handler 500 without details", async () => {
  await using server = start();
  for (const path of ["/", "/livez/", "/Livez", "/%6civez", "/constructor", "/__proto__", "//x"]) {
    const answer = await rawRequest(server.address, `GET ${path} HTTP/1.1\r\n\r\n`);
    assert.equal(statusLine(answer), "HTTP/1.1 404 Not Found", path);
  }
  const answer = await rawRequest(server.address, "GET /broken HTTP/1.1\r\n\r\n");
  assert.equal(statusLine(answer), "HTTP/1.1 500 Internal Server Error");
  assert.ok(!answer.includes("secret"));
});

Deno.test("what is not HTTP/1 is answered 400", async () => {
  await using server = start();
  for (
    const text of [
      "\r\n\r\n",
      "GET\r\n\r\n",
      "GET /livez\r\n\r\n",
      "GET livez HTTP/1.1\r\n\r\n",
      "get /livez HTTP/1.1\r\n\r\n",
      "GET /li vez HTTP/1.1\r\n\r\n",
      "GET /\u{1F4A9} HTTP/1.1\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\n",
      "\x16\x03\x01 TLS\n\n",
    ]
  ) {
    assert.equal(
      statusLine(await rawRequest(server.address, text)),
      "HTTP/1.1 400 Bad Request",
      JSON.stringify(text),
    );
  }
});

Deno.test("a long URL and long or many header fields are answered 431", async () => {
  await using server = start();
  for (
    const text of [
      `GET /${"a".repeat(9_000)} HTTP/1.1\r\n\r\n`,
      `GET /livez HTTP/1.1\r\nX: ${"a".repeat(9_000)}\r\n\r\n`,
      `GET /livez HTTP/1.1\r\n${"X: y\r\n".repeat(2_000)}\r\n`,
    ]
  ) {
    assert.match(await rawRequest(server.address, text), /^HTTP\/1\.1 431 /);
  }
});

Deno.test("a head that arrives byte by byte is answered once it is there", async () => {
  await using server = start();
  await using connection = await connect(server.address);
  for (const byte of "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n") await connection.send(byte);
  assert.match(await connection.readAll(), /^HTTP\/1\.1 200 /);
});

Deno.test("a client that sends nothing, or stops halfway, is cut off", async () => {
  await using server = start(200);
  for (const text of ["", "GET /livez HT", "GET /livez HTTP/1.1\r\nHost: a\r\n"]) {
    assert.equal(await rawRequest(server.address, text), "");
  }
});

Deno.test("clients that do not read their answer are cut off, and leave their places to others", async () => {
  await using server = start(200);
  await using held = new AsyncDisposableStack();
  for (let count = 0; count < 32; count++) {
    const connection = held.use(await connect(server.address));
    await connection.send("GET /large HTTP/1.1\r\n\r\n");
  }
  await waitUntil("somebody else is answered", () => isAnswered(server.address));
});

Deno.test("so many connections are served at once and no more, and a free place is used again", async () => {
  await using server = start(60_000);
  await using held = new AsyncDisposableStack();
  const connections: RawConnection[] = [];
  for (let count = 0; count < 32; count++) {
    connections.push(held.use(await connect(server.address)));
  }
  assert.equal(await rawRequest(server.address, "GET /livez HTTP/1.1\r\n\r\n"), "");
  await connections[0].send("GET /livez HTTP/1.1\r\n\r\n");
  assert.match(await connections[0].readAll(), /^HTTP\/1\.1 200 /);
  await connections[0][Symbol.asyncDispose]();
  await waitUntil("the free place is used again", () => isAnswered(server.address));
});

Deno.test("disposing of the server cuts what is open and frees the port", async () => {
  const server = start(60_000);
  await using connection = await connect(server.address);
  await server[Symbol.asyncDispose]();
  assert.equal(await connection.readAll(), "");
  await assert.rejects(connect(server.address), Deno.errors.ConnectionRefused);
});

Deno.test("an address that cannot be listened on is an error that names the variable", async () => {
  await using server = start();
  const [host, port] = server.address.split(":");
  for (
    const address of [
      { host, port: Number(port) },
      { host: "192.0.2.1", port: 0 },
      { host: "no-such-host.invalid", port: 9464 },
    ]
  ) {
    assert.throws(() => startHttpServer({ address, routes: ROUTES }), (error) => {
      assert.ok(error instanceof HttpListenError);
      const start = `Could not listen on CELLOS_FLEET_HTTP_ADDR ${address.host}:${address.port}: `;
      assert.ok(error.message.startsWith(start) && error.message.length > start.length);
      return true;
    });
  }
});
