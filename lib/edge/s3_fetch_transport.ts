/**
 * The S3 client's transport on `fetch`, for runtimes whose `node:http` is not sound (see
 * `s3_transport.ts`). Its limits: connecting has no time limit of its own, only the request's; and
 * `fetch` resolves `.` and `..` in a path, so keys with such a segment are refused. What is stored with
 * `Content-Encoding: gzip` it unpacks on some runtimes, and then drops the `Content-Length`, by which
 * the store notices.
 */
import {
  type HandlerOptions,
  queryString,
  type Transport,
  type TransportOptions,
  type TransportRequest,
  type TransportResponse,
  UnsendablePathError,
} from "./s3_transport.ts";

export class FetchTransport implements Transport {
  readonly metadata = { handlerProtocol: "http/1.1" };
  readonly #client: Deno.HttpClient;
  #open = true;

  constructor({ maxSockets }: TransportOptions) {
    this.#client = Deno.createHttpClient({ poolMaxIdlePerHost: maxSockets, http2: false });
  }

  async handle(
    request: TransportRequest,
    { abortSignal }: HandlerOptions = {},
  ): Promise<{ response: TransportResponse }> {
    const port = request.port === undefined ? "" : `:${request.port}`;
    const target = request.path + queryString(request.query);
    const url = new URL(`${request.protocol}//${request.hostname}${port}${target}`);
    if (url.pathname + url.search !== target) {
      throw new UnsendablePathError("this runtime cannot send a path with . or .. in it");
    }
    const { host: _, ...headers } = request.headers;
    const answer = await fetch(url, {
      method: request.method,
      // Without it, fetch asks for compressed bodies.
      headers: { ...headers, "accept-encoding": "identity" },
      body: request.body instanceof Uint8Array
        ? request.body.slice()
        : request.body === undefined
        ? undefined
        : String(request.body),
      redirect: "manual",
      signal: abortSignal instanceof AbortSignal ? abortSignal : undefined,
      client: this.#client,
    });
    return {
      response: {
        statusCode: answer.status,
        reason: answer.statusText,
        headers: Object.fromEntries(answer.headers),
        body: answer.body ?? undefined,
      },
    };
  }

  destroy(): void {
    if (this.#open) this.#client.close();
    this.#open = false;
  }

  updateHttpClientConfig(): void {}

  httpHandlerConfigs(): Record<string, never> {
    return {};
  }
}
