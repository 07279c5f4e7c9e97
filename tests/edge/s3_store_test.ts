/** Timeouts, retries and odd answers: how the S3 store holds out against servers that misbehave. */
import assert from "node:assert/strict";
import { StoreError } from "../../lib/core/store_error.ts";
import type { RequestReport } from "../../lib/edge/s3_store.ts";
import { hasSoundNodeHttp } from "../../lib/edge/s3_transport.ts";
import {
  CREDENTIALS,
  ETAG,
  NOTHING,
  OPERATIONS,
  rawServer,
  RETRIED,
  s3Error,
  scriptedServer,
  SENT_ONCE,
  testStore,
} from "./scripted_s3.ts";

function url(server: { readonly port: number }): string {
  return `http://127.0.0.1:${server.port}`;
}

for (const name of RETRIED) {
  Deno.test(`${name} on a server that never answers fails in time and closes its connection`, async () => {
    await using server = rawServer("");
    using store = testStore(url(server));
    await assert.rejects(OPERATIONS[name](store, 200), (error: unknown) => {
      assert.ok(error instanceof StoreError);
      assert.equal(error.kind, "transient");
      assert.match(error.message, /no answer within 200 ms$/);
      return true;
    });
    await server.idle();
  });

  Deno.test(`${name} is tried three times in all when the store fails`, async () => {
    await using server = scriptedServer(() => s3Error(500, "InternalError"));
    using store = testStore(server.endpoint);
    await assert.rejects(OPERATIONS[name](store), { kind: "transient" });
    assert.equal(server.requests.length, 3);
  });
}

for (const name of SENT_ONCE) {
  Deno.test(`${name} on a server that never answers is unknown in time and closes its connection`, async () => {
    await using server = rawServer("");
    using store = testStore(url(server));
    assert.deepEqual(await OPERATIONS[name](store, 200), {
      outcome: "unknown",
      answered: false,
      throttled: false,
      cause: "no answer within 200 ms",
    });
    await server.idle();
    // On a busy machine, the time may be over before there is any.
    assert.ok(server.connections <= 1);
  });

  Deno.test(`${name} is sent once when the connection is cut instead of an answer`, async () => {
    await using server = rawServer("", { close: true });
    using store = testStore(url(server));
    const result = await OPERATIONS[name](store) as Record<string, unknown>;
    assert.equal(result.outcome, "unknown");
    assert.equal(result.answered, false);
    assert.equal(server.connections, 1);
  });

  const answers: readonly [number, string, boolean][] = [
    [400, "RequestTimeout", false],
    [403, "RequestTimeTooSkewed", false],
    [408, "RequestTimeout", false],
    [409, "ConditionalRequestConflict", false],
    [429, "TooManyRequests", true],
    [500, "InternalError", false],
    [502, "BadGateway", false],
    [503, "SlowDown", true],
    [504, "GatewayTimeout", false],
  ];
  for (const [status, code, throttled] of answers) {
    Deno.test(`${name} is sent once and unknown when the store answers ${status} ${code}`, async () => {
      await using server = scriptedServer(() => s3Error(status, code));
      using store = testStore(server.endpoint);
      const result = await OPERATIONS[name](store) as Record<string, unknown>;
      assert.equal(result.outcome, "unknown");
      assert.equal(result.answered, true);
      assert.equal(result.throttled, throttled);
      assert.match(String(result.cause), new RegExp(`\\(${code}, HTTP ${status}\\)`));
      assert.equal(server.requests.length, 1);
    });
  }

  Deno.test(`${name} that a balancer answers with a page of its own is unknown`, async () => {
    await using server = scriptedServer(() =>
      new Response("<html><title>Bad <b>gateway</title></html>", { status: 502 })
    );
    using store = testStore(server.endpoint);
    const result = await OPERATIONS[name](store) as Record<string, unknown>;
    assert.equal(result.outcome, "unknown");
    assert.equal(result.answered, true);
  });

  Deno.test(`${name} that is denied is an error, for it surely did not happen`, async () => {
    await using server = scriptedServer(() => s3Error(403, "AccessDenied"));
    using store = testStore(server.endpoint);
    await assert.rejects(OPERATIONS[name](store), { kind: "permanent" });
    assert.equal(server.requests.length, 1);
  });
}

Deno.test("a read that is throttled says so after its retries", async () => {
  await using server = scriptedServer(() => s3Error(503, "SlowDown", "Please reduce your rate."));
  using store = testStore(server.endpoint);
  await assert.rejects(store.get("k", 10), {
    kind: "throttled",
    message: 'Cannot read "k" in bucket "jobs": the store asks for fewer requests ' +
      "(SlowDown, HTTP 503): Please reduce your rate",
  });
});

const HEAD_OF_100 = 'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 100\r\n\r\n';

Deno.test("a body that stops coming ends in time and closes its connection", async () => {
  await using server = rawServer(HEAD_OF_100 + "abc");
  using store = testStore(url(server));
  await assert.rejects(store.get("k", 100, { timeoutMs: 200 }), /no answer within 200 ms$/);
  await server.idle();
});

Deno.test("a body that breaks off is an error, not a short object", async () => {
  await using server = rawServer(HEAD_OF_100 + "abc", { close: true });
  using store = testStore(url(server));
  await assert.rejects(store.get("k", 100), { kind: "transient" });
});

Deno.test("a body without a length is an error, for nothing would show that it broke off", async () => {
  await using server = rawServer('HTTP/1.1 200 OK\r\nETag: "e"\r\n\r\nabc', { close: true });
  using store = testStore(url(server));
  await assert.rejects(store.get("k", 100), /without a Content-Length/);
});

Deno.test("an object that is too large is not downloaded", async () => {
  const size = 256 * 1024 * 1024;
  const head = `HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: ${size}\r\n\r\n`;
  await using server = rawServer(head, { fillBytes: size });
  using store = testStore(url(server));
  const result = await store.get("k", 1024);
  assert.equal(result.outcome, "too-large");
  assert.equal((result as { head: { size: number } }).head.size, size);
  // Closed by the store: the server has not written all, and gives up.
  await server.idle();
});

Deno.test({
  name: "a connection whose TLS handshake never ends fails after the connect timeout",
  // `fetch`, which the older runtimes get, has no timeout for connecting alone.
  ignore: !hasSoundNodeHttp(Deno.version.deno),
  fn: async () => {
    await using server = rawServer("");
    using store = testStore(`https://127.0.0.1:${server.port}`, { connectTimeoutMs: 100 });
    const result = await store.create("k", NOTHING, {});
    assert.deepEqual(result, {
      outcome: "unknown",
      answered: false,
      throttled: false,
      cause: `no connection to 127.0.0.1:${server.port} within 100 ms`,
    });
    await server.idle();
  },
});

Deno.test("a connection that the server closed while idle is not used again", async () => {
  // Closing it right after the answer comes near to closing it later.
  const answer = 'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n';
  await using server = rawServer(answer, { close: true });
  using store = testStore(url(server));
  for (let round = 0; round < 5; round++) {
    assert.equal((await store.create("k", NOTHING, {})).outcome, "stored");
    await server.idle();
  }
  assert.equal(server.connections, 5);
});

Deno.test("one connection serves calls that follow one another", async () => {
  const ports = new Set<number>();
  const listening = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (_request, { remoteAddr }) => {
      ports.add((remoteAddr as Deno.NetAddr).port);
      return new Response(null, { headers: { etag: ETAG } });
    },
  );
  {
    using store = testStore(`http://127.0.0.1:${listening.addr.port}`);
    for (let round = 0; round < 5; round++) await store.create("k", NOTHING, {});
  }
  await listening.shutdown();
  assert.equal(ports.size, 1);
});

Deno.test("a listing decodes what the store encoded, in both ways of writing a space", async () => {
  const xml = (encoding: string, key: string) =>
    `<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>${encoding}` +
    `<Contents><Key>${key}</Key><ETag>&quot;e&quot;</ETag><Size>1</Size>` +
    "<LastModified>2026-01-02T03:04:05.000Z</LastModified></Contents></ListBucketResult>";
  let body = "";
  await using server = scriptedServer(() => new Response(body));
  using store = testStore(server.endpoint);
  const keys = async () => (await store.list({ prefix: "" })).objects.map(({ key }) => key);
  const encoded = "<EncodingType>url</EncodingType>";
  body = xml(encoded, "a+b%2Bc%0A%C3%BC%25");
  assert.deepEqual(await keys(), ["a b+c\nü%"]);
  body = xml(encoded, "a%20b");
  assert.deepEqual(await keys(), ["a b"]);
  body = xml("", "a+b%20c");
  assert.deepEqual(await keys(), ["a+b%20c"]);
  body = xml(encoded, "%zz");
  await assert.rejects(keys(), /cannot be decoded/);
  body = "<html>no listing</title>";
  await assert.rejects(keys(), /not from an S3 service/);
});

Deno.test("every call is reported with its status and outcome", async () => {
  const reports: RequestReport[] = [];
  let answer = () => new Response(null, { headers: { etag: ETAG } });
  await using server = scriptedServer(() => answer());
  using store = testStore(server.endpoint, { onRequest: (report) => reports.push(report) });
  await store.create("k", NOTHING, {});
  answer = () => s3Error(412, "PreconditionFailed");
  await store.replace("k", ETAG, NOTHING, {});
  answer = () => s3Error(404, "NoSuchKey");
  await store.get("k", 1);
  answer = () => s3Error(503, "SlowDown");
  await store.delete("k", ETAG);
  answer = () => s3Error(403, "AccessDenied");
  await assert.rejects(store.list({ prefix: "" }));
  assert.deepEqual(reports.map(({ operation, status, outcome }) => [operation, status, outcome]), [
    ["create", 200, "ok"],
    ["replace", 412, "refused"],
    ["get", 404, "absent"],
    ["delete", 503, "throttled"],
    ["list", 403, "error"],
  ]);
  assert.ok(reports.every(({ durationMs }) => durationMs >= 0));
});

Deno.test("requests carry the program's name, conditions as given, and no trailing checksum", async () => {
  let seen = new Headers();
  await using server = scriptedServer((request) => {
    seen = request.headers;
    return new Response(null, { headers: { etag: ETAG } });
  });
  using store = testStore(server.endpoint, { userAgent: "cellos-fleet/1.2.3" });
  await store.replace("k", 'W/"odd"', new Uint8Array(3), { a: "b" });
  assert.match(seen.get("user-agent") ?? "", /cellos-fleet\/1\.2\.3/);
  assert.equal(seen.get("if-match"), 'W/"odd"');
  assert.equal(seen.get("content-length"), "3");
  assert.equal(seen.get("x-amz-meta-a"), "b");
  assert.equal(seen.get("x-amz-trailer"), null);
  assert.equal(seen.get("expect"), null);
  await store.create("k", NOTHING, {});
  assert.equal(seen.get("if-none-match"), "*");
  await store.delete("k", ETAG);
  assert.equal(seen.get("if-match"), ETAG);
});

Deno.test({
  name: "a proxy in the environment is used, except for the hosts of NO_PROXY",
  // `fetch`, which the older runtimes get, reads these variables from the process alone.
  ignore: !hasSoundNodeHttp(Deno.version.deno),
  fn: async () => {
    await using proxy = scriptedServer(() => new Response(null, { headers: { etag: ETAG } }));
    await using server = scriptedServer(() => s3Error(404, "NoSuchKey"));
    const environment = { ...CREDENTIALS, HTTP_PROXY: proxy.endpoint };
    using proxied = testStore("http://s3.invalid:9000", { environment });
    assert.equal((await proxied.create("k", NOTHING, {})).outcome, "stored");
    assert.equal(proxy.requests.length, 1);
    using direct = testStore(server.endpoint, {
      environment: { ...environment, NO_PROXY: "127.0.0.1" },
    });
    assert.deepEqual(await direct.get("k", 1), { outcome: "absent" });
    assert.equal(proxy.requests.length, 1);
  },
});

Deno.test({
  name: "a key that the older runtimes cannot send is refused for good, not taken for another key",
  ignore: hasSoundNodeHttp(Deno.version.deno),
  fn: async () => {
    await using server = scriptedServer(() => new Response(null, { headers: { etag: ETAG } }));
    using store = testStore(server.endpoint);
    for (const key of ["a/../b", "a/./b", ".."]) {
      await assert.rejects(store.create(key, NOTHING, {}), { kind: "permanent" });
      await assert.rejects(store.get(key, 1), { kind: "permanent" });
    }
    assert.deepEqual(server.requests, []);
  },
});
