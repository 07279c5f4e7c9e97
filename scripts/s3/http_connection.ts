/**
 * HTTP/1.1 for one connection, straight on TCP.
 *
 * The runtime's own servers give no sure way to cut a connection: `Deno.serve` has none, and
 * destroying the socket of a `node:http` request leaves it open in some versions of Deno. A cut in
 * the right moment is the fault that matters most, so the few rules of framing needed here
 * (RFC 9112: keep-alive, `Content-Length`, chunked bodies, `Expect: 100-continue`) are spelled out.
 */
import { Buffer } from "node:buffer";

const MAX_HEAD_BYTES = 64 * 1024;
const MAX_BODY_BYTES = 1024 * 1024 * 1024;
const READ_BYTES = 64 * 1024;
/** Larger bodies go out by themselves rather than through one more copy. */
const MAX_JOINED_BODY_BYTES = 64 * 1024;

export interface HttpRequest {
  readonly method: string;
  /** As it came in the request line, nothing decoded or normalised. */
  readonly target: string;
  /** Names in lower case; repeated headers joined by `, `. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  /** For an answer to `HEAD`: the length of the body that `GET` would bring. */
  readonly contentLength?: number;
}

/** `cut`: close without an answer. `hang`: keep the connection open and never answer. */
export type HttpAnswer = HttpResponse | "cut" | "hang";

/** A request that breaks the rules of HTTP; answered by a bare 400. */
class HttpSyntaxError extends Error {}

/** The client closed the connection, between requests or in the middle of one. */
class PeerGone extends Error {}

/**
 * Answers requests until either side closes, then closes the connection. Never rejects because of
 * what the peer does; rejects with what `answer` throws.
 */
export async function serveConnection(
  connection: Deno.Conn,
  answer: (request: HttpRequest) => Promise<HttpAnswer>,
): Promise<void> {
  const input = new ByteReader(connection);
  try {
    while (await serveRequest(connection, input, answer));
  } finally {
    close(connection);
  }
}

/** Closes a connection that may be closed already. */
export function close(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}

/** Serves one request; whether another may follow. */
async function serveRequest(
  connection: Deno.Conn,
  input: ByteReader,
  answer: (request: HttpRequest) => Promise<HttpAnswer>,
): Promise<boolean> {
  let request: HttpRequest & { readonly keepAlive: boolean };
  try {
    request = await readRequest(connection, input);
  } catch (error) {
    if (error instanceof HttpSyntaxError) {
      const refusal = { status: 400, headers: { connection: "close" }, body: error.message };
      await writeResponse(connection, refusal, false);
    } else if (!isConnectionLoss(error)) throw error;
    return false;
  }
  const reply = await answer(request);
  if (reply === "cut") return false;
  try {
    if (reply === "hang") {
      await input.discardAll();
      return false;
    }
    return await writeResponse(connection, reply, request.method === "HEAD") && request.keepAlive;
  } catch (error) {
    if (isConnectionLoss(error)) return false;
    throw error;
  }
}

async function readRequest(connection: Deno.Conn, input: ByteReader) {
  const { method, target, version, headers } = parseHead(await input.readHead());
  if (headers.get("expect")?.toLowerCase() === "100-continue") {
    await writeAll(connection, Buffer.from("HTTP/1.1 100 Continue\r\n\r\n", "latin1"));
  }
  const body = await readBody(input, headers);
  const token = headers.get("connection")?.toLowerCase();
  const keepAlive = version === "HTTP/1.1" ? token !== "close" : token === "keep-alive";
  return { method, target, headers, body, keepAlive };
}

function parseHead(head: string) {
  const lines = head.split("\r\n");
  const [method, target, version, ...rest] = lines[0].split(" ");
  if (!version?.startsWith("HTTP/1.") || rest.length > 0) {
    throw new HttpSyntaxError(`Cannot read the request line: ${JSON.stringify(lines[0])}`);
  }
  const headers = new Map<string, string>();
  for (let i = 1; i < lines.length; i++) {
    const colon = lines[i].indexOf(":");
    if (colon < 1) throw new HttpSyntaxError(`Cannot read a header: ${JSON.stringify(lines[i])}`);
    const name = lines[i].slice(0, colon).toLowerCase();
    const value = lines[i].slice(colon + 1).trim();
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return { method, target, version, headers };
}

async function readBody(
  input: ByteReader,
  headers: ReadonlyMap<string, string>,
): Promise<Uint8Array> {
  const encoding = headers.get("transfer-encoding");
  if (encoding !== undefined) {
    if (encoding.toLowerCase() === "chunked") return await readChunked(input);
    throw new HttpSyntaxError(`Cannot read a body with transfer encoding ${encoding}`);
  }
  const length = headers.get("content-length") ?? "0";
  if (!/^\d+$/.test(length)) throw new HttpSyntaxError(`Cannot read content length ${length}`);
  return await input.readExact(boundedLength(Number(length)));
}

async function readChunked(input: ByteReader): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for (let total = 0;;) {
    const line = await input.readLine();
    const size = parseInt(line, 16);
    if (!/^[0-9a-f]+\s*(;|$)/i.test(line)) {
      throw new HttpSyntaxError(`Cannot read chunk size ${JSON.stringify(line)}`);
    }
    if (size === 0) break;
    total = boundedLength(total + size);
    chunks.push(await input.readExact(size));
    await input.readLine();
  }
  while (await input.readLine() !== "");
  return Buffer.concat(chunks);
}

function boundedLength(bytes: number): number {
  if (bytes <= MAX_BODY_BYTES) return bytes;
  throw new HttpSyntaxError(`Cannot take a body of ${bytes} bytes: at most ${MAX_BODY_BYTES}`);
}

/** Writes an answer; always true, so that the caller can go on from it. */
async function writeResponse(
  connection: Deno.Conn,
  response: HttpResponse,
  bodiless: boolean,
): Promise<true> {
  const { status, headers } = response;
  const body = typeof response.body === "string" ? Buffer.from(response.body) : response.body;
  let head = `HTTP/1.1 ${status} ${REASONS[status] ?? ""}\r\n`;
  for (const name in headers) head += `${name}: ${headers[name]}\r\n`;
  const length = response.contentLength ?? body?.length ?? 0;
  if (status !== 204 && status !== 304) head += `content-length: ${length}\r\n`;
  head += "\r\n";
  if (bodiless || body === undefined) {
    await writeAll(connection, Buffer.from(head, "latin1"));
  } else if (body.length <= MAX_JOINED_BODY_BYTES) {
    const whole = Buffer.allocUnsafe(head.length + body.length);
    whole.write(head, 0, "latin1");
    whole.set(body, head.length);
    await writeAll(connection, whole);
  } else {
    await writeAll(connection, Buffer.from(head, "latin1"));
    await writeAll(connection, body);
  }
  return true;
}

async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  let written = await connection.write(bytes);
  while (written < bytes.length) written += await connection.write(bytes.subarray(written));
}

function isConnectionLoss(error: unknown): boolean {
  return error instanceof PeerGone || error instanceof Deno.errors.BadResource ||
    error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.ConnectionReset ||
    error instanceof Deno.errors.ConnectionAborted || error instanceof Deno.errors.NotConnected ||
    error instanceof Deno.errors.Interrupted;
}

/** Buffered reading from a connection. */
class ByteReader {
  #buffer = Buffer.allocUnsafe(READ_BYTES);
  #start = 0;
  #end = 0;

  constructor(private readonly connection: Deno.Conn) {}

  /** Request line and headers as Latin-1, without the blank line. */
  async readHead(): Promise<string> {
    const head = await this.#readUntil("\r\n\r\n");
    // A blank line before a request line is to be ignored (RFC 9112, section 2.2).
    return head.startsWith("\r\n") ? head.slice(2) : head;
  }

  /** Up to the next CRLF, which is dropped. */
  readLine(): Promise<string> {
    return this.#readUntil("\r\n");
  }

  async readExact(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    const buffered = Math.min(length, this.#end - this.#start);
    bytes.set(this.#buffer.subarray(this.#start, this.#start + buffered));
    this.#start += buffered;
    for (let filled = buffered; filled < length;) {
      const count = await this.connection.read(bytes.subarray(filled));
      if (count === null) throw new PeerGone();
      filled += count;
    }
    return bytes;
  }

  /** Reads and forgets until the peer closes. */
  async discardAll(): Promise<void> {
    while (await this.connection.read(this.#buffer) !== null);
  }

  async #readUntil(mark: string): Promise<string> {
    let at = this.#indexOf(mark);
    while (at < 0) {
      await this.#fill();
      at = this.#indexOf(mark);
    }
    const text = this.#buffer.toString("latin1", this.#start, at);
    this.#start = at + mark.length;
    return text;
  }

  #indexOf(mark: string): number {
    const at = this.#buffer.subarray(this.#start, this.#end).indexOf(mark, 0, "latin1");
    return at < 0 ? at : this.#start + at;
  }

  async #fill(): Promise<void> {
    if (this.#start === this.#end) this.#start = this.#end = 0;
    else if (this.#end === this.#buffer.length) {
      if (this.#end - this.#start >= MAX_HEAD_BYTES) {
        throw new HttpSyntaxError(`Cannot read a head of more than ${MAX_HEAD_BYTES} bytes`);
      }
      this.#buffer.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    const count = await this.connection.read(this.#buffer.subarray(this.#end));
    if (count === null) throw new PeerGone();
    this.#end += count;
  }
}

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  204: "No Content",
  206: "Partial Content",
  304: "Not Modified",
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  412: "Precondition Failed",
  416: "Range Not Satisfiable",
  429: "Too Many Requests",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
};
