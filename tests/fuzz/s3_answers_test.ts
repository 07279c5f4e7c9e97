import assert from "node:assert/strict";
import fc from "fast-check";
import { StoreError } from "../../lib/core/store_error.ts";
import { createS3Store } from "../../lib/edge/s3_store.ts";
import type { ObjectHead, Store } from "../../lib/ports.ts";

/** An answer as it goes over the wire, and the status that it shows. */
interface Answer {
  readonly status: number;
  readonly bytes: Uint8Array;
}

const LATIN = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0) & 255);

const texts = fc.oneof(
  fc.constantFrom("", "0", "-1", "NaN", "1e999", '""', '"abc"', "true", "TRUE", "maybe", "&amp;"),
  fc.constantFrom("%", "%zz", "a%20b", "a+b", "&#0;", "<", "]]>", "&unknown;", "9".repeat(30)),
  fc.constantFrom("Thu, 01 Jan 1970 00:00:00 GMT", "2026-01-01T00:00:00.000Z", "2026-13-45T"),
  fc.constantFrom("Thu, 32 Foo 20xx 00:00:00 GMT", "0000-00-00", "now", "999999-01-01T00:00:00Z"),
  fc.string({ maxLength: 20 }),
);

const entries = fc.record({
  Key: fc.option(texts, { nil: undefined }),
  ETag: fc.option(texts, { nil: undefined }),
  Size: fc.option(texts, { nil: undefined }),
  LastModified: fc.option(texts, { nil: undefined }),
}).map((fields) =>
  Object.entries(fields).filter(([, text]) => text !== undefined)
    .map(([name, text]) => `<${name}>${text}</${name}>`).join("")
);

const bodies = fc.oneof(
  texts,
  fc.tuple(fc.array(entries, { maxLength: 3 }), texts, texts).map(([items, truncated, encoding]) =>
    `<?xml version="1.0"?><ListBucketResult><EncodingType>${encoding}</EncodingType>` +
    `<IsTruncated>${truncated}</IsTruncated>` +
    items.map((item) => `<Contents>${item}</Contents>`).join("") + "</ListBucketResult>"
  ),
  fc.tuple(texts, texts).map(([code, message]) =>
    `<Error><Code>${code}</Code><Message>${message}</Message></Error>`
  ),
  fc.tuple(texts, texts).map(([etag, at]) =>
    `<CopyObjectResult><ETag>${etag}</ETag><LastModified>${at}</LastModified></CopyObjectResult>`
  ),
  fc.constantFrom(
    "<html><body>Welcome</body></html>",
    "{}",
    "<a",
    "<!DOCTYPE x [<!ENTITY y 'z'>]>",
  ),
);

const statuses = fc.constantFrom(200, 200, 200, 200, 204, 206, 301, 304, 400, 403, 404, 409, 412);
const headers = fc.array(
  fc.tuple(
    fc.constantFrom("ETag", "Last-Modified", "x-amz-meta-a", "Content-Type", "x-amz-version-id"),
    texts.map((text) => text.replace(/[^\x20-\x7e]/g, "?")),
  ),
  { maxLength: 5 },
);

const wellFormed = fc.tuple(statuses, headers, bodies, fc.constantFrom(0, 0, 0, 0, 1, -1, 1000))
  .map(([status, fields, body, wrongBy]): Answer => {
    const length = Math.max(0, LATIN(body).length + wrongBy);
    const lines = [`HTTP/1.1 ${status} Any`, ...fields.map(([name, value]) => `${name}: ${value}`)];
    const head = [...lines, `Content-Length: ${length}`, "Connection: close", "", ""].join("\r\n");
    return { status, bytes: LATIN(head + body) };
  });

const broken = fc.oneof(
  fc.uint8Array({ maxLength: 100 }),
  fc.constantFrom(
    "",
    "HTTP/1.1",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "HTTP/1.1 999 What\r\n\r\n",
    "SSH-2.0-OpenSSH_9.6\r\n",
  ).map(LATIN),
).map((bytes): Answer => ({ status: 0, bytes }));

const answers = fc.oneof({ weight: 5, arbitrary: wellFormed }, { weight: 1, arbitrary: broken });

/** Gives every connection the present answer, once the request's head and body have come. */
function serve(): { url: string; answer: Answer; close(): Promise<void> } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const connections = new Set<Promise<void>>();
  const server = {
    url: `http://127.0.0.1:${listener.addr.port}`,
    answer: { status: 0, bytes: new Uint8Array() },
    async close() {
      listener.close();
      await accepting;
      await Promise.allSettled(connections);
    },
  };
  const accepting = (async () => {
    for await (const connection of listener) {
      const served = answerOnce(connection, server.answer).catch(() => {});
      connections.add(served);
      void served.finally(() => connections.delete(served));
    }
  })().catch(() => {});
  return server;
}

async function answerOnce(connection: Deno.TcpConn, { bytes }: Answer): Promise<void> {
  using _connection = connection;
  const buffer = new Uint8Array(65_536);
  // Every request of this test fits into what one read gives, or its rest is not missed.
  await connection.read(buffer);
  for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
  await connection.closeWrite();
}

function assertHead(head: Omit<ObjectHead, "metadata">): void {
  assert.equal(typeof head.key, "string");
  assert.equal(typeof head.etag, "string");
  assert.ok(Number.isSafeInteger(head.size) && head.size >= 0, `size ${head.size}`);
  assert.ok(Number.isFinite(head.lastModifiedMs), `time ${head.lastModifiedMs}`);
}

function assertWritten(result: { outcome: string; etag?: string }, status: number): void {
  if (result.outcome === "stored") {
    assert.ok(result.etag);
    assert.ok(status >= 200 && status < 300, `stored by ${status}`);
  } else if (result.outcome === "deleted") {
    assert.ok(status >= 200 && status < 300 || status === 404, `deleted by ${status}`);
  } else if (result.outcome === "refused") {
    assert.ok(status === 412 || status === 404, `refused by ${status}`);
  } else {
    assert.equal(result.outcome, "unknown");
  }
}

const BODY = new TextEncoder().encode("body");

/** Every operation with what may come of it, beside a rejection with a `StoreError`. */
const OPERATIONS: Record<string, (store: Store, status: number) => Promise<void>> = {
  async list(store) {
    const page = await store.list({ prefix: "p/" });
    assert.equal(typeof page.truncated, "boolean");
    page.objects.forEach(assertHead);
    for (const group of page.commonPrefixes) assert.equal(typeof group, "string");
  },
  async get(store) {
    const got = await store.get("k", 1_000);
    if (got.outcome === "found") {
      assertHead(got.object);
      assert.equal(got.object.body.length, got.object.size);
      assert.ok(got.object.size <= 1_000);
    } else if (got.outcome === "too-large") {
      assertHead(got.head);
      assert.ok(got.head.size > 1_000);
    }
  },
  async head(store, status) {
    const head = await store.head("k");
    if (head === undefined) assert.equal(status, 404);
    else assertHead(head);
  },
  create: async (store, status) => assertWritten(await store.create("k", BODY, {}), status),
  replace: async (store, status) =>
    assertWritten(await store.replace("k", '"e"', BODY, {}), status),
  put: (store) => store.put("k", BODY, {}),
  copy: async (store, status) => assertWritten(await store.copy("k", '"e"', "l", {}), status),
  delete: async (store, status) => assertWritten(await store.delete("k", '"e"'), status),
};

Deno.test("whatever a server answers, each request ends as the port says it may", async () => {
  const server = serve();
  const store = createS3Store({
    bucket: "bucket",
    endpoint: server.url,
    region: "us-east-1",
    // Only bounds the retries: every answer comes at once.
    requestTimeoutMs: 400,
    concurrency: 4,
    userAgent: "test",
    environment: { AWS_ACCESS_KEY_ID: "id", AWS_SECRET_ACCESS_KEY: "secret" },
  });
  try {
    await fc.assert(
      fc.asyncProperty(answers, async (answer) => {
        server.answer = answer;
        await Promise.all(
          Object.entries(OPERATIONS).map(async ([name, operation]) => {
            try {
              await operation(store, answer.status);
            } catch (error) {
              if (error instanceof StoreError) {
                assert.doesNotMatch(error.message, /[\p{Cc}]/u, name);
                return;
              }
              throw new Error(`${name} ended as it must not`, { cause: error });
            }
          }),
        );
      }),
      { numRuns: 60 },
    );
  } finally {
    store[Symbol.dispose]();
    await server.close();
  }
});
