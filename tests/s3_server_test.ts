/** The embedded S3 server by plain HTTP. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";
import type { RequestLogEntry } from "../scripts/s3/statistics.ts";
import { type S3Server, type S3ServerOptions, startS3Server } from "../scripts/s3_server.ts";

/** Runs a test against a server of its own. */
function withServer(
  name: string,
  options: S3ServerOptions,
  test: (server: S3Server, request: typeof send) => Promise<void>,
): void {
  Deno.test(name, async () => {
    await using server = startS3Server(options);
    await test(server, (path, init) => send(server.endpoint + path, init));
  });
}

interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

async function send(url: string, init?: RequestInit): Promise<Reply> {
  const response = await fetch(url, init);
  return { status: response.status, headers: response.headers, text: await response.text() };
}

function put(body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) {
  return { method: "PUT", body, headers };
}

function codeOf(reply: Reply): string | undefined {
  return /<Code>(.*)<\/Code>/.exec(reply.text)?.[1];
}

/** Sends bytes as they are and reads until the server closes. */
async function sendRaw(server: S3Server, text: string): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
  await connection.write(Buffer.from(text, "latin1"));
  const chunks: Uint8Array[] = [];
  const buffer = new Uint8Array(16 * 1024);
  for (;;) {
    const count = await connection.read(buffer).catch((error) => {
      if (error instanceof Deno.errors.ConnectionReset) return null;
      throw error;
    });
    if (count === null) return Buffer.concat(chunks).toString("latin1");
    chunks.push(buffer.slice(0, count));
  }
}

withServer("an object keeps its bytes, metadata and type", {}, async (_, request) => {
  const headers = { "x-amz-meta-attempts": "2", "content-type": "application/json" };
  const stored = await request("/fleet/a/b.json", put("{}", headers));
  assert.equal(stored.status, 200);
  assert.equal(stored.headers.get("etag"), '"99914b932bd37a50b983c5e7c90ae93b"');
  const found = await request("/fleet/a/b.json");
  assert.equal(found.text, "{}");
  assert.equal(found.headers.get("x-amz-meta-attempts"), "2");
  assert.equal(found.headers.get("content-type"), "application/json");
  assert.match(found.headers.get("last-modified")!, /^\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT$/);
  assert.ok(found.headers.get("x-amz-request-id"));
  const head = await request("/fleet/a/b.json", { method: "HEAD" });
  assert.deepEqual([head.status, head.headers.get("content-length"), head.text], [200, "2", ""]);
});

withServer("reads honour ranges and conditions", {}, async (_, request) => {
  const etag = (await request("/fleet/k", put("0123456789"))).headers.get("etag")!;
  const read = async (headers: Record<string, string>) => {
    const { status, text } = await request("/fleet/k", { headers });
    return [status, status < 300 ? text : ""];
  };
  assert.deepEqual(await read({ range: "bytes=2-4" }), [206, "234"]);
  assert.deepEqual(await read({ range: "bytes=7-" }), [206, "789"]);
  assert.deepEqual(await read({ range: "bytes=-3" }), [206, "789"]);
  assert.deepEqual(await read({ range: "bytes=0-99" }), [206, "0123456789"]);
  assert.deepEqual(await read({ range: "bytes=10-" }), [416, ""]);
  assert.deepEqual(await read({ "if-match": '"other"' }), [412, ""]);
  assert.deepEqual(await read({ "if-match": etag }), [200, "0123456789"]);
  assert.deepEqual(await read({ "if-none-match": etag }), [304, ""]);
});

withServer("conditional writes and deletes answer as S3 does", {}, async (_, request) => {
  const absent = await request("/fleet/k", put("x", { "if-match": '"e"' }));
  assert.deepEqual([absent.status, codeOf(absent)], [404, "NoSuchKey"]);
  const created = await request("/fleet/k", put("1", { "if-none-match": "*" }));
  const again = await request("/fleet/k", put("2", { "if-none-match": "*" }));
  assert.deepEqual([created.status, again.status, codeOf(again)], [200, 412, "PreconditionFailed"]);
  const etag = created.headers.get("etag")!;
  const replaced = await request("/fleet/k", put("3", { "if-match": etag }));
  const stale = await request("/fleet/k", put("4", { "if-match": etag }));
  assert.deepEqual([replaced.status, stale.status], [200, 412]);
  const other = await request("/fleet/k", put("5", { "if-none-match": etag }));
  assert.deepEqual([other.status, codeOf(other)], [501, "NotImplemented"]);

  const remove = (headers: Record<string, string>) =>
    request("/fleet/k", { method: "DELETE", headers });
  assert.equal((await remove({ "if-match": etag })).status, 412);
  assert.equal((await remove({ "if-match": replaced.headers.get("etag")! })).status, 204);
  assert.equal((await remove({ "if-match": etag })).status, 404);
  assert.equal((await remove({})).status, 204);
});

withServer("errors name what is wrong", { denyAccessKeys: ["AKIABAD"] }, async (_, request) => {
  const missing = await request("/fleet/no%20such<key");
  assert.equal(missing.status, 404);
  assert.match(missing.text, /<Code>NoSuchKey<.*<Key>no such&lt;key<.*<RequestId>\w{16}</s);
  assert.equal(codeOf(await request("/nowhere/k")), "NoSuchBucket");
  assert.equal((await request("/nowhere", { method: "HEAD" })).status, 404);
  assert.equal(codeOf(await request("/fleet?list-type=2&max-keys=x")), "InvalidArgument");
  assert.equal(
    codeOf(await request("/fleet?list-type=2&continuation-token=*")),
    "InvalidArgument",
  );
  assert.equal(codeOf(await request(`/fleet/${"k".repeat(1025)}`, put("x"))), "KeyTooLongError");
  assert.equal(codeOf(await request("/fleet/k?tagging", put("<Tagging/>"))), "NotImplemented");
  assert.equal(codeOf(await request("/fleet", { method: "PUT" })), "BucketAlreadyOwnedByYou");
  assert.equal(codeOf(await request("/Bad_Name", { method: "PUT" })), "InvalidBucketName");
  const authorization = "AWS4-HMAC-SHA256 Credential=AKIABAD/20260101/us-east-1/s3/aws4_request";
  const denied = await request("/fleet/k", put("x", { authorization }));
  assert.deepEqual([denied.status, codeOf(denied)], [403, "InvalidAccessKeyId"]);
});

withServer(
  "unsigned requests are denied where credentials are required",
  { requireCredentials: true },
  async (_, request) => {
    const denied = await request("/fleet/k", put("x"));
    assert.deepEqual([denied.status, codeOf(denied)], [403, "AccessDenied"]);
    const authorization = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/s3/aws4_request";
    assert.equal((await request("/fleet/k", put("x", { authorization }))).status, 200);
    assert.equal((await request("/fleet/k?X-Amz-Credential=AKIA%2F2026")).status, 200);
  },
);

withServer("listings page, group and encode, in both versions", {}, async (server, request) => {
  for (const key of ["a/1", "a/2", "b c", "d/x/1", "e"]) {
    server.bucket("fleet").put(key, new Uint8Array());
  }
  const entries = (text: string) =>
    [...text.matchAll(/<(?:Key|CommonPrefixes><Prefix)>([^<]*)/g)].map((match) => match[1]);
  const grouped = await request("/fleet?list-type=2&delimiter=/&max-keys=2&encoding-type=url");
  assert.deepEqual(entries(grouped.text).sort(), ["a/", "b%20c"]);
  const token = /<NextContinuationToken>(.*?)</.exec(grouped.text)![1];
  const rest = await request(
    `/fleet?list-type=2&delimiter=/&continuation-token=${encodeURIComponent(token)}`,
  );
  assert.deepEqual(entries(rest.text).sort(), ["d/", "e"]);
  assert.match(rest.text, /<IsTruncated>false</);
  assert.match(rest.text, /<KeyCount>2</);
  const after = await request("/fleet?list-type=2&start-after=a/1&prefix=a/");
  assert.deepEqual(entries(after.text), ["a/2"]);
  const first = await request("/fleet?max-keys=1&delimiter=/");
  assert.match(first.text, /<NextMarker>a\/</);
  const marked = await request("/fleet?marker=a/&delimiter=/");
  assert.deepEqual(entries(marked.text).sort(), ["b c", "d/", "e"]);
  assert.deepEqual(entries((await request("/fleet?list-type=2&max-keys=0")).text), []);
});

withServer("chunked uploads are unwrapped and their checksums verified", {}, async (_, request) => {
  const digest = (text: string) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(crc32(text));
    return bytes.toString("base64");
  };
  const upload = (body: string, mode: string, headers: Record<string, string> = {}) =>
    request("/fleet/k", put(body, { "x-amz-content-sha256": mode, ...headers }));
  const unsigned = (checksum: string) =>
    upload(
      `6\r\nhello \r\n5\r\nworld\r\n0\r\nx-amz-checksum-crc32:${checksum}\r\n\r\n`,
      "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
      { "content-encoding": "custom,aws-chunked", "x-amz-decoded-content-length": "11" },
    );
  assert.equal((await unsigned(digest("hello world"))).status, 200);
  const found = await request("/fleet/k", { method: "HEAD" });
  assert.equal(found.headers.get("content-length"), "11");
  assert.equal(found.headers.get("content-encoding"), "custom");
  assert.equal(codeOf(await unsigned(digest("other"))), "BadDigest");

  const signature = `;chunk-signature=${"0".repeat(64)}`;
  const signed = `3${signature}\r\nabc\r\n0${signature}\r\n\r\n`;
  assert.equal((await upload(signed, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")).status, 200);
  assert.equal((await request("/fleet/k")).text, "abc");
  const short = await upload(`9${signature}\r\nabc\r\n`, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
  assert.equal(codeOf(short), "IncompleteBody");
});

withServer("framing: continue, chunked transfer, pipelining, bad requests", {}, async (server) => {
  const expecting = "PUT /fleet/a/../b HTTP/1.1\r\nHost: s3\r\nExpect: 100-continue\r\n" +
    "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  const closing = "GET /fleet/a/../b HTTP/1.1\r\nHost: s3\r\nConnection: close\r\n\r\n";
  const answers = await sendRaw(server, expecting + closing);
  assert.match(answers, /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 OK\r\n.*\r\n\r\nabc$/s);
  assert.match(await sendRaw(server, "nonsense\r\n\r\n"), /^HTTP\/1.1 400 /);
  assert.match(
    await sendRaw(server, "PUT /fleet/k HTTP/1.1\r\nContent-Length: x\r\n\r\n"),
    / 400 /,
  );
});

withServer("slow, failing and lost requests, by rule", {}, async (server, request) => {
  const { faults } = server;
  const bucket = server.bucket("fleet");
  for (
    const [status, code] of [
      [409, "ConditionalRequestConflict"],
      [429, "TooManyRequests"],
      [500, "InternalError"],
      [503, "SlowDown"],
    ] as const
  ) {
    faults.add({ action: "status", status, times: 1, match: { method: "PUT" } });
    const reply = await request("/fleet/k", put("x"));
    assert.deepEqual([reply.status, codeOf(reply), bucket.size], [status, code, 0]);
  }
  faults.add({ action: "status", status: 500, stored: true, times: 1 });
  assert.equal((await request("/fleet/stored", put("x"))).status, 500);
  assert.equal(bucket.get("stored")?.size, 1);

  const takeBack = faults.add({ action: "lose-request", match: { keyContains: "lost" } });
  await assert.rejects(request("/fleet/lost", put("x")));
  assert.equal(bucket.get("lost"), undefined);
  takeBack();
  assert.equal((await request("/fleet/lost", put("x"))).status, 200);

  faults.add({ action: "slow", delayMs: 30 });
  faults.add({ action: "slow", delayMs: 30 });
  const started = performance.now();
  await request("/fleet/k");
  assert.ok(performance.now() - started >= 59);
  faults.clear();
  assert.deepEqual(faults.rules, []);
});

withServer("a dropped reply is stored and cuts the connection", {}, async (server, request) => {
  server.faults.add({ action: "drop-reply", times: 1, match: { conditional: true } });
  assert.equal((await request("/fleet/plain", put("x"))).status, 200);
  const create =
    "PUT /fleet/k HTTP/1.1\r\nHost: s3\r\nIf-None-Match: *\r\nContent-Length: 1\r\n\r\nx";
  assert.equal(await sendRaw(server, create), "");
  assert.equal(server.bucket("fleet").get("k")?.size, 1);
  const again = await request("/fleet/k", put("x", { "if-none-match": "*" }));
  assert.equal(again.status, 412);
  assert.deepEqual(server.stats().byOperation.PutObject, { 200: 1, 412: 1, cut: 1 });
});

withServer("a hanging request ends when the server closes", {}, async (server, request) => {
  server.faults.add({ action: "hang", match: { operation: "GetObject" } });
  const hanging = request("/fleet/k");
  const failed = assert.rejects(hanging);
  while (server.stats().byOperation.GetObject?.hang !== 1) await request("/_stats");
  await server.close();
  await failed;
});

Deno.test("buckets outlive their server and can be served again on the same port", async () => {
  const first = startS3Server();
  await send(`${first.endpoint}/fleet/k`, put("x"));
  await first.close();
  await using second = startS3Server({ port: first.port, buckets: first.buckets });
  // By a connection of its own: fetch may pick the one that the first server has cut.
  const get = "GET /fleet/k HTTP/1.1\r\nHost: s3\r\nConnection: close\r\n\r\n";
  assert.match(await sendRaw(second, get), /\r\n\r\nx$/);
});

withServer("faults and figures by HTTP", { delayMs: 1 }, async (server, request) => {
  const faults = {
    rules: [{ action: "status", status: 503, times: 1, match: { operation: "PutObject" } }],
    conditions: { create: false },
  };
  assert.equal((await request("/_faults", put(JSON.stringify(faults)))).status, 204);
  assert.equal((await request("/fleet/k", put("x"))).status, 503);
  assert.equal((await request("/fleet/k", put("x"))).status, 200);
  assert.equal((await request("/fleet/k", put("x", { "if-none-match": "*" }))).status, 200);
  assert.deepEqual(JSON.parse((await request("/_faults")).text), {
    rules: [],
    delayMs: 1,
    conditions: { create: false, replace: true, delete: true },
  });
  await request("/_faults", { method: "DELETE" });
  assert.equal((await request("/fleet/k", put("x", { "if-none-match": "*" }))).status, 412);
  const stats = JSON.parse((await request("/_stats")).text);
  assert.deepEqual(stats.byOperation, { PutObject: { 200: 2, 412: 1, 503: 1 } });
  await request("/_stats", { method: "DELETE" });
  assert.equal(server.stats().requests, 0);
  for (
    const [rule, wrong] of [
      [{ action: "slwo" }, /slwo/],
      [{ action: "status", status: 418 }, /418/],
      [{ action: "hang", tiems: 1 }, /tiems/],
      [{ action: "hang", match: { conditional: "yes" } }, /conditional/],
      [{ action: "hang", probability: 2 }, /probability/],
    ] as const
  ) {
    const refused = await request("/_faults", put(JSON.stringify({ rules: [rule] })));
    assert.equal(refused.status, 400);
    assert.match(refused.text, wrong);
  }
});

Deno.test("the log names each request, its prefix or conditions, and its end", async () => {
  const log: RequestLogEntry[] = [];
  await using server = startS3Server({ log: (entry) => log.push(entry) });
  await send(`${server.endpoint}/fleet/k`, put("x", { "if-none-match": "*" }));
  await send(`${server.endpoint}/fleet/k`);
  await send(`${server.endpoint}/fleet?list-type=2&prefix=a%2F`);
  assert.deepEqual(log, [
    {
      method: "PUT",
      operation: "PutObject",
      bucket: "fleet",
      key: "k",
      prefix: undefined,
      ifMatch: undefined,
      ifNoneMatch: "*",
      status: 200,
    },
    {
      method: "GET",
      operation: "GetObject",
      bucket: "fleet",
      key: "k",
      prefix: undefined,
      ifMatch: undefined,
      ifNoneMatch: undefined,
      status: 200,
    },
    {
      method: "GET",
      operation: "ListObjectsV2",
      bucket: "fleet",
      key: "",
      prefix: "a/",
      ifMatch: undefined,
      ifNoneMatch: undefined,
      status: 200,
    },
  ]);
});
