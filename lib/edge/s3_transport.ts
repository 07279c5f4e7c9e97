/**
 * The HTTP transport under the S3 client: what it must do, and which one a runtime gets.
 *
 * Neither of the SDK's two handlers is used. Its `NodeHttpHandler` leaves the connect timer running
 * when a request ends early, and warns on the console when sockets are short, which would break the
 * log. Its `FetchHttpHandler` follows redirects and does not limit connections.
 *
 * `node:http` is the better ground: it sends a path as it is and limits the time for connecting. But
 * in Deno 2.6.8 the first request after the server has closed an idle connection goes into the dead
 * one and never ends, and ending a body early is an unhandled rejection, fatal to the program. Both
 * are gone in 2.9.6. Older runtimes get `fetch`, whose limits `s3_fetch_transport.ts` names.
 */

/** The part of the SDK's `HttpRequest` that is used here. */
export interface TransportRequest {
  readonly method: string;
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | string[] | null>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** The SDK's `HttpResponse`, by shape. */
export interface TransportResponse {
  readonly statusCode: number;
  readonly reason: string | undefined;
  readonly headers: Record<string, string>;
  readonly body: AsyncIterable<Uint8Array> | undefined;
}

export interface TransportOptions {
  /** For the connection alone, TLS included. */
  readonly connectTimeoutMs: number;
  /** Connections at once; further requests wait for one. */
  readonly maxSockets: number;
}

export interface HandlerOptions {
  /** The SDK's type for this is wider; only a true `AbortSignal` is looked at. */
  readonly abortSignal?: unknown;
}

/** A request handler for the SDK. */
export interface Transport {
  readonly metadata: { readonly handlerProtocol: string };
  /**
   * Sends a request; resolves with the head of the answer, whose body is still to be read. Rejects
   * with the system's error, a `ConnectTimeoutError`, or the reason of the abort. An abort also ends
   * a body that is being read, and its connection.
   */
  handle(
    request: TransportRequest,
    options?: HandlerOptions,
  ): Promise<{ response: TransportResponse }>;
  /** Closes the connections that are kept. */
  destroy(): void;
  /** Part of the SDK's interface. A transport is configured once, so this does nothing. */
  updateHttpClientConfig(): void;
  httpHandlerConfigs(): Record<string, never>;
}

/** A request for which no connection was made in time. */
export class ConnectTimeoutError extends Error {
  override name = "ConnectTimeoutError";
  readonly code = "ETIMEDOUT";
}

/** A path that the transport would have to change. Nothing was sent. */
export class UnsendablePathError extends Error {
  override name = "UnsendablePathError";
}

/** Whether a runtime's `node:http` is sound enough for `NodeTransport`; see above. */
export function hasSoundNodeHttp(denoVersion: string): boolean {
  const [major, minor] = denoVersion.split(".").map(Number);
  return major > 2 || (major === 2 && minor >= 9);
}

/** The query with its question mark, escaped as the signature counts it (RFC 3986, names in order). */
export function queryString(query: TransportRequest["query"]): string {
  const parts: string[] = [];
  for (const name of Object.keys(query ?? {}).sort()) {
    const value = query![name];
    for (const item of Array.isArray(value) ? value : [value]) {
      parts.push(item === null ? escaped(name) : `${escaped(name)}=${escaped(item)}`);
    }
  }
  return parts.length === 0 ? "" : `?${parts.join("&")}`;
}

function escaped(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
