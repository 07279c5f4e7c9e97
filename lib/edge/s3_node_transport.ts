/** The S3 client's transport on `node:http`, for runtimes whose `node:http` is sound. */
import http from "node:http";
import https from "node:https";
import type { Socket } from "node:net";
import {
  ConnectTimeoutError,
  type HandlerOptions,
  queryString,
  type Transport,
  type TransportOptions,
  type TransportRequest,
  type TransportResponse,
} from "./s3_transport.ts";

export interface NodeTransportOptions extends TransportOptions {
  /** Whether connections are kept for further requests. */
  readonly keepAlive: boolean;
  /** Where `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` are looked up; no proxy without it. */
  readonly proxyEnv?: Record<string, string | undefined>;
}

/** Nothing of a request outlives it but a kept connection. */
export class NodeTransport implements Transport {
  readonly metadata = { handlerProtocol: "http/1.1" };
  readonly #connectTimeoutMs: number;
  readonly #agents: { readonly "http:": http.Agent; readonly "https:": https.Agent };

  constructor({ connectTimeoutMs, maxSockets, keepAlive, proxyEnv }: NodeTransportOptions) {
    this.#connectTimeoutMs = connectTimeoutMs;
    const agentOptions = { keepAlive, maxSockets, proxyEnv };
    this.#agents = {
      "http:": new http.Agent(agentOptions),
      "https:": new https.Agent(agentOptions),
    };
  }

  /**
   * Sends a request; resolves with the head of the answer, whose body is still to be read. Rejects
   * with the system's error, a `ConnectTimeoutError`, or the reason of the abort. An abort also ends
   * a body that is being read.
   */
  handle(
    request: TransportRequest,
    { abortSignal }: HandlerOptions = {},
  ): Promise<{ response: TransportResponse }> {
    const signal = abortSignal instanceof AbortSignal ? abortSignal : undefined;
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const secure = request.protocol === "https:";
      const client = (secure ? https : http).request({
        method: request.method,
        host: request.hostname.replace(/^\[(.*)\]$/, "$1"),
        port: request.port,
        path: request.path + queryString(request.query),
        headers: request.headers,
        agent: this.#agents[secure ? "https:" : "http:"],
      });
      let body: http.IncomingMessage | undefined;
      const onAbort = () => {
        reject(signal?.reason);
        // The body by itself, or its reader would see ECONNRESET instead of the reason.
        body?.destroy(signal?.reason);
        client.destroy();
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      client.once("close", () => {
        signal?.removeEventListener("abort", onAbort);
        // Rejecting twice does nothing; this is for a connection that ends without an error.
        reject(Object.assign(new Error("the connection was closed"), { code: "ECONNRESET" }));
      });
      client.once("socket", (socket) => this.#limitConnecting(client, socket, secure));
      client.on("error", reject);
      client.once("response", (answer) => {
        body = answer;
        // An error of the body reaches whoever reads it. A body that is dropped has no reader.
        answer.on("error", () => {});
        resolve({
          response: {
            statusCode: answer.statusCode ?? 0,
            reason: answer.statusMessage,
            headers: joinedHeaders(answer.headers),
            body: answer,
          },
        });
      });
      client.end(request.body instanceof Uint8Array ? request.body : request.body?.toString());
    });
  }

  /** Closes the connections that are kept. */
  destroy(): void {
    this.#agents["http:"].destroy();
    this.#agents["https:"].destroy();
  }

  /** Part of the SDK's handler interface; this transport is configured once. */
  updateHttpClientConfig(): void {}

  httpHandlerConfigs(): Record<string, never> {
    return {};
  }

  #limitConnecting(client: http.ClientRequest, socket: Socket, secure: boolean): void {
    if (!socket.connecting) return;
    const timer = setTimeout(() => {
      client.destroy(
        new ConnectTimeoutError(`no connection within ${this.#connectTimeoutMs} ms`),
      );
    }, this.#connectTimeoutMs);
    const stop = () => clearTimeout(timer);
    // A TLS connection is one only after the handshake.
    socket.once(secure ? "secureConnect" : "connect", stop);
    socket.once("close", stop);
    client.once("close", stop);
  }
}

function joinedHeaders(headers: http.IncomingHttpHeaders): Record<string, string> {
  const joined: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) joined[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return joined;
}
