/** Servers that answer what a test wants, right or wrong. Loopback only. */
import { createS3Store, type S3StoreOptions } from "../../lib/edge/s3_store.ts";
import type { Store } from "../../lib/ports.ts";

/** Long enough to be told from ordinary words. */
export const ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE";
export const SECRET_ACCESS_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
export const SESSION_TOKEN = "AQoDYXdzEJr-session-token-EXAMPLETOKEN";

export const CREDENTIALS = {
  AWS_ACCESS_KEY_ID: ACCESS_KEY_ID,
  AWS_SECRET_ACCESS_KEY: SECRET_ACCESS_KEY,
  AWS_SESSION_TOKEN: SESSION_TOKEN,
};

export interface ScriptedServer extends AsyncDisposable {
  readonly endpoint: string;
  /** `METHOD path?query` of every request, in order. */
  readonly requests: readonly string[];
}

/** Answers every request by the function given. */
export function scriptedServer(
  answer: (request: Request) => Response | Promise<Response>,
): ScriptedServer {
  const requests: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const { pathname, search } = new URL(request.url);
    requests.push(`${request.method} ${pathname}${search}`);
    return answer(request);
  });
  return {
    endpoint: `http://127.0.0.1:${server.addr.port}`,
    requests,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** An answer in S3's form. HEAD requests get none of the body. */
export function s3Error(
  status: number,
  code: string,
  message = "",
  headers: Record<string, string> = {},
  fields = "",
): Response {
  const xml = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code>` +
    `<Message>${message}</Message>${fields}<RequestId>1</RequestId></Error>`;
  return new Response(xml, { status, headers: { "content-type": "application/xml", ...headers } });
}

export interface RawServer extends AsyncDisposable {
  readonly port: number;
  /** Connections that were made so far. */
  readonly connections: number;
  /** Resolves once every connection has been closed by the client. */
  readonly idle: () => Promise<void>;
}

/**
 * Takes connections, waits for the first bytes of each, sends `text`, then `fillBytes` more, and from
 * then on says nothing; or closes, with `close`.
 */
export function rawServer(text: string, { fillBytes = 0, close = false } = {}): RawServer {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Map<Deno.Conn, Promise<void>>();
  let connections = 0;
  const serve = async (connection: Deno.Conn) => {
    const buffer = new Uint8Array(65_536);
    try {
      await connection.read(buffer);
      await writeAll(connection, new TextEncoder().encode(text));
      for (let left = fillBytes; left > 0; left -= buffer.length) {
        await writeAll(connection, buffer);
      }
      while (!close && await connection.read(buffer) !== null);
    } catch {
      // Cut off by the client, or by the end of the test.
    } finally {
      open.delete(connection);
      closeQuietly(connection);
    }
  };
  const accepting = (async () => {
    for await (const connection of listener) {
      connections++;
      open.set(connection, serve(connection));
    }
  })();
  const idle = async () => {
    while (open.size > 0) await Promise.all(open.values());
  };
  return {
    port: listener.addr.port,
    get connections() {
      return connections;
    },
    idle,
    async [Symbol.asyncDispose]() {
      listener.close();
      for (const connection of open.keys()) closeQuietly(connection);
      await accepting;
      await idle();
    },
  };
}

async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
}

function closeQuietly(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // Closed already.
  }
}

/** A store on a bucket `jobs`, with credentials, and no other environment than the one given. */
export function testStore(
  endpoint: string,
  options: Partial<S3StoreOptions> = {},
): Store & Disposable {
  return createS3Store({
    bucket: "jobs",
    endpoint,
    userAgent: "cellos-fleet/test",
    environment: CREDENTIALS,
    requestTimeoutMs: 60_000,
    ...options,
  });
}

export const NOTHING = new Uint8Array();
export const ETAG = '"d41d8cd98f00b204e9800998ecf8427e"';

/** Every operation of a store, on the key `k`. */
export const OPERATIONS: Readonly<
  Record<string, (store: Store, timeoutMs?: number) => Promise<unknown>>
> = {
  list: (store, timeoutMs) => store.list({ prefix: "k" }, { timeoutMs }),
  get: (store, timeoutMs) => store.get("k", 100, { timeoutMs }),
  head: (store, timeoutMs) => store.head("k", { timeoutMs }),
  put: (store, timeoutMs) => store.put("k", NOTHING, {}, { timeoutMs }),
  create: (store, timeoutMs) => store.create("k", NOTHING, {}, { timeoutMs }),
  replace: (store, timeoutMs) => store.replace("k", ETAG, NOTHING, {}, { timeoutMs }),
  copy: (store, timeoutMs) => store.copy("k", ETAG, "to", {}, { timeoutMs }),
  delete: (store, timeoutMs) => store.delete("k", ETAG, { timeoutMs }),
};

/** Those that are sent once, and tell an unknown outcome instead of failing. */
export const SENT_ONCE = ["create", "replace", "copy", "delete"];

/** Those that are tried again. */
export const RETRIED = ["list", "get", "head", "put"];
