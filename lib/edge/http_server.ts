/**
 * A small HTTP/1.1 server for metrics and health: GET and HEAD of a few paths, one request for each
 * connection, no bodies.
 *
 * Not `Deno.serve`: that waits without end for the rest of a request and accepts connections without
 * number, so that whoever reaches the port could use up the file descriptors that leases are renewed
 * with. Here everything a client may do is bounded, in bytes, in time and in number.
 */
import type { HttpAddress } from "../config_options.ts";

/** Most bytes of request line and header fields; the fields are not looked at. */
const MAX_HEAD_BYTES = 8_192;
/** From the connection to the last byte of the answer. */
const CONNECTION_MS = 10_000;
/** Further connections are closed without an answer. */
const MAX_CONNECTIONS = 32;
/** Bytes that a client may go on sending while it is being answered. */
const MAX_REST_BYTES = 65_536;

export interface HttpAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** What is served, by path. A handler that throws is answered with 500 and no details. */
export type HttpRoutes = Readonly<Record<string, () => HttpAnswer | Promise<HttpAnswer>>>;

export interface HttpServer extends AsyncDisposable {
  /** As it can be put into a URL, with the port that was really taken. */
  readonly address: string;
}

/** The address cannot be listened on. The message names the variable that it comes from. */
export class HttpListenError extends Error {
  override name = "HttpListenError";
}

export interface HttpServerOptions {
  readonly address: HttpAddress;
  readonly routes: HttpRoutes;
  /** Instead of `CONNECTION_MS`, for tests. */
  readonly connectionMs?: number;
}

/** Starts serving. Throws `HttpListenError`. Disposing of it cuts the connections that are open. */
export function startHttpServer(options: HttpServerOptions): HttpServer {
  const { host, port } = options.address;
  let listener: Deno.TcpListener;
  try {
    listener = Deno.listen({ hostname: host, port });
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    const shown = addressText(host, port);
    throw new HttpListenError(`Could not listen on CELLOS_FLEET_HTTP_ADDR ${shown}: ${cause}`);
  }
  const connections = new Map<Deno.Conn, Promise<void>>();
  const accepting = accept(listener, connections, options);
  return {
    address: addressText(host, listener.addr.port),
    async [Symbol.asyncDispose]() {
      listener.close();
      await accepting;
      const open = [...connections];
      for (const [connection] of open) close(connection);
      await Promise.all(open.map(([, served]) => served));
    },
  };
}

function addressText(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

const ACCEPT_RETRY_MS = 100;

async function accept(
  listener: Deno.TcpListener,
  connections: Map<Deno.Conn, Promise<void>>,
  options: HttpServerOptions,
): Promise<void> {
  for (;;) {
    let connection: Deno.Conn;
    try {
      connection = await listener.accept();
    } catch (error) {
      if (error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted) {
        return;
      }
      // A client that was gone again, or no file descriptor left: the others must not suffer for it.
      await new Promise((resolve) => setTimeout(resolve, ACCEPT_RETRY_MS));
      continue;
    }
    if (connections.size >= MAX_CONNECTIONS) {
      close(connection);
      continue;
    }
    const served = serve(connection, options).finally(() => connections.delete(connection));
    connections.set(connection, served);
  }
}

/** Answers one request. Never rejects: a client that goes away is not worth a word. */
async function serve(connection: Deno.Conn, options: HttpServerOptions): Promise<void> {
  const timer = setTimeout(() => close(connection), options.connectionMs ?? CONNECTION_MS);
  try {
    const head = await readHead(connection);
    if (head === undefined) return;
    await writeAll(connection, encodeAnswer(await answer(head, options.routes), head));
    await connection.closeWrite();
    await discardRest(connection);
  } catch {
    // Gone, or out of time.
  } finally {
    clearTimeout(timer);
    close(connection);
  }
}

/** The request up to the blank line, or too much of it; undefined when the client left before. */
async function readHead(connection: Deno.Conn): Promise<string | undefined> {
  const buffer = new Uint8Array(MAX_HEAD_BYTES);
  let length = 0;
  while (length < buffer.length) {
    const read = await connection.read(buffer.subarray(length));
    if (read === null) return undefined;
    // The blank line may have begun in what was read before.
    const news = latin1(buffer.subarray(Math.max(0, length - 3), length + read));
    length += read;
    if (/\n\r?\n/.test(news)) return latin1(buffer.subarray(0, length));
  }
  return TOO_LARGE;
}

function latin1(bytes: Uint8Array): string {
  return new TextDecoder("latin1").decode(bytes);
}

/** No request line can be empty, so this stands for none. */
const TOO_LARGE = "";

async function answer(head: string, routes: HttpRoutes): Promise<HttpAnswer> {
  if (head === TOO_LARGE) return plain(431, "request head too large");
  const match = /^([A-Z]+) (\/[!-~]*) HTTP\/1\.[01]\r?\n/.exec(head);
  if (match === null) return plain(400, "bad request");
  const [, method, target] = match;
  if (method !== "GET" && method !== "HEAD") return plain(405, "only GET and HEAD");
  const path = target.split("?", 1)[0];
  if (!Object.hasOwn(routes, path)) {
    return plain(404, `not found; there is ${Object.keys(routes).join(", ")}`);
  }
  try {
    return await routes[path]();
  } catch {
    return plain(500, "internal error");
  }
}

/** A line of plain text. */
export function plain(status: number, text: string): HttpAnswer {
  return { status, contentType: "text/plain; charset=utf-8", body: `${text}\n` };
}

const STATUS_TEXTS: Readonly<Record<number, string>> = {
  200: "OK",
  400: "Bad Request",
  404: "Not Found",
  405: "Method Not Allowed",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

function encodeAnswer({ status, contentType, body }: HttpAnswer, head: string): Uint8Array {
  const bytes = new TextEncoder().encode(body);
  const fields = [
    `HTTP/1.1 ${status} ${STATUS_TEXTS[status] ?? ""}`,
    `Content-Type: ${contentType}`,
    `Content-Length: ${bytes.length}`,
    "Cache-Control: no-store",
    "X-Content-Type-Options: nosniff",
    "Connection: close",
    ...(status === 405 ? ["Allow: GET, HEAD"] : []),
  ];
  const start = new TextEncoder().encode(`${fields.join("\r\n")}\r\n\r\n`);
  if (head.startsWith("HEAD ")) return start;
  const whole = new Uint8Array(start.length + bytes.length);
  whole.set(start);
  whole.set(bytes, start.length);
  return whole;
}

async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  let rest = bytes;
  while (rest.length > 0) rest = rest.subarray(await connection.write(rest));
}

/** Closing on unread input resets the connection, and the client may lose the answer with it. */
async function discardRest(connection: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(4_096);
  for (let total = 0; total < MAX_REST_BYTES;) {
    const read = await connection.read(buffer);
    if (read === null) return;
    total += read;
  }
}

function close(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // It is closed already.
  }
}
