/** What an operator reads when S3 says no: each message, its kind, and that no secret is in any. */
import assert from "node:assert/strict";
import { StoreError, type StoreErrorKind } from "../../lib/core/store_error.ts";
import { redacted, requestFailure, storeError } from "../../lib/edge/s3_errors.ts";
import { createS3Store } from "../../lib/edge/s3_store.ts";
import {
  ACCESS_KEY_ID,
  CREDENTIALS,
  OPERATIONS,
  rawServer,
  s3Error,
  scriptedServer,
  SECRET_ACCESS_KEY,
  SENT_ONCE,
  SESSION_TOKEN,
  testStore,
} from "./scripted_s3.ts";

const SECRETS = [ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN];

/** A store that says back everything it was told, as some do in their errors. */
function indiscreet(status: number, code: string, said = "", fields = "") {
  return (request: Request) =>
    s3Error(
      status,
      code,
      `${said} ${request.headers.get("authorization")} ${SECRETS.join(" ")}`,
      {},
      `${fields}<AWSAccessKeyId>${ACCESS_KEY_ID}</AWSAccessKeyId>` +
        `<StringToSign>${SESSION_TOKEN}</StringToSign>`,
    );
}

/** The error of a call, checked for secrets in everything that a log could show of it. */
async function errorOf(call: Promise<unknown>): Promise<StoreError> {
  const error = await call.then(() => assert.fail("the call succeeded"), (reason) => reason);
  assert.ok(error instanceof StoreError, String(error));
  const shown = Deno.inspect(error, { depth: 20, strAbbreviateSize: 1e6 }) + error.stack +
    JSON.stringify(error);
  for (const secret of SECRETS) assert.ok(!shown.includes(secret), `a secret is in: ${shown}`);
  assert.ok(!error.message.endsWith("."), error.message);
  return error;
}

interface Expected {
  readonly what: string;
  readonly status: number;
  readonly code: string;
  readonly kind: StoreErrorKind;
  readonly message: RegExp;
  readonly fields?: string;
}

const CASES: readonly Expected[] = [
  {
    what: "no such bucket",
    status: 404,
    code: "NoSuchBucket",
    kind: "permanent",
    message: /there is no such bucket \(NoSuchBucket, HTTP 404\).*; check the name, region/,
  },
  {
    what: "access denied",
    status: 403,
    code: "AccessDenied",
    kind: "permanent",
    message: /access denied \(AccessDenied, HTTP 403\).*; check that the policy allows s3:/,
  },
  {
    what: "an unknown access key",
    status: 403,
    code: "InvalidAccessKeyId",
    kind: "permanent",
    message:
      /the credentials are not valid \(InvalidAccessKeyId, HTTP 403\).*; check the access key/,
  },
  {
    what: "a wrong secret key",
    status: 403,
    code: "SignatureDoesNotMatch",
    kind: "permanent",
    message: /the credentials are not valid \(SignatureDoesNotMatch, HTTP 403\)/,
  },
  {
    what: "an expired token from the environment",
    status: 400,
    code: "ExpiredToken",
    kind: "permanent",
    message: /the session token has expired \(ExpiredToken, HTTP 400\).*; .*restart with new ones/,
  },
  {
    what: "another region, named in the answer",
    status: 400,
    code: "AuthorizationHeaderMalformed",
    kind: "permanent",
    message: /the bucket is not in region us-east-1 .*; set AWS_REGION=eu-west-1$/,
    fields: "<Region>eu-west-1</Region>",
  },
  {
    what: "another region, not named",
    status: 301,
    code: "PermanentRedirect",
    kind: "permanent",
    message: /not in region us-east-1 \(PermanentRedirect, HTTP 301\).*; set AWS_REGION to the/,
  },
  {
    what: "an unknown condition header",
    status: 501,
    code: "NotImplemented",
    kind: "permanent",
    message: /the store does not implement this request \(NotImplemented, HTTP 501\)/,
  },
  {
    what: "any other refusal",
    status: 400,
    code: "InvalidArgument",
    kind: "permanent",
    message: /the store refused \(InvalidArgument, HTTP 400\): said so/,
  },
];

for (const { what, status, code, kind, message, fields } of CASES) {
  Deno.test(`${what}: every operation says what it is, and no secret`, async () => {
    await using server = scriptedServer(indiscreet(status, code, "said so", fields));
    using store = testStore(server.endpoint);
    for (const [name, operation] of Object.entries(OPERATIONS)) {
      // An answer to HEAD has no body, and so no code.
      if (name === "head") continue;
      const error = await errorOf(operation(store));
      assert.equal(error.kind, kind, name);
      assert.match(error.message, /^Cannot [a-z]+ "k" in bucket "jobs": /);
      assert.match(error.message, message);
    }
  });
}

Deno.test("a HEAD that is denied says so without a code", async () => {
  await using server = scriptedServer(() => s3Error(403, "AccessDenied"));
  using store = testStore(server.endpoint);
  const error = await errorOf(store.head("k"));
  assert.equal(error.kind, "permanent");
  assert.match(error.message, /^Cannot look up "k" in bucket "jobs": access denied \(HTTP 403\);/);
});

Deno.test("a HEAD in another region names the region to set", async () => {
  await using server = scriptedServer(() =>
    s3Error(301, "PermanentRedirect", "", { "x-amz-bucket-region": "eu-central-1" })
  );
  using store = testStore(server.endpoint);
  const error = await errorOf(store.head("k"));
  assert.equal(error.kind, "permanent");
  assert.match(error.message, /not in region us-east-1 .*; set AWS_REGION=eu-central-1$/);
});

Deno.test("a wrong clock is a hint, and the next try may succeed", async () => {
  await using server = scriptedServer(indiscreet(403, "RequestTimeTooSkewed"));
  using store = testStore(server.endpoint);
  const error = await errorOf(store.list({ prefix: "k" }));
  assert.equal(error.kind, "transient");
  assert.match(error.message, /the clock of this node is wrong .*; set it by NTP/);
});

Deno.test("an expired token of credentials that are renewed is not the end", async () => {
  const renewable = {
    operation: "get" as const,
    bucket: "jobs",
    key: "k",
    region: "us-east-1",
    endpointHost: undefined,
    connectTimeoutMs: 1,
    credentialsRenewable: true,
    secrets: [],
  };
  const answer = Object.assign(new Error("expired"), {
    name: "ExpiredToken",
    $metadata: { httpStatusCode: 400 },
  });
  const failure = requestFailure(answer, renewable);
  assert.equal(failure.kind, "transient");
  await errorOf(Promise.reject(storeError(failure, renewable)));
});

Deno.test("the cause of an unknown outcome holds no secret", async () => {
  await using server = scriptedServer(indiscreet(500, "InternalError"));
  using store = testStore(server.endpoint);
  for (const name of SENT_ONCE) {
    const shown = JSON.stringify(await OPERATIONS[name](store));
    assert.match(shown, /the store failed \(InternalError, HTTP 500\)/);
    for (const secret of SECRETS) assert.ok(!shown.includes(secret), shown);
  }
});

Deno.test("a store's message of several lines and much text is one short line", async () => {
  await using server = scriptedServer(() =>
    s3Error(400, "InvalidArgument", `first\r\nsecond \u0007${"long ".repeat(1000)}`)
  );
  using store = testStore(server.endpoint);
  const { message } = await errorOf(store.list({ prefix: "k" }));
  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(message, /[\u0000-\u001f]/);
  assert.match(message, /first second/);
  assert.ok(message.length < 500, String(message.length));
});

Deno.test("a page from something that is not S3 is told from an absent object", async () => {
  const page = "<html><title>Not <b>found</title></html>";
  await using server = scriptedServer(() => new Response(page, { status: 404 }));
  using store = testStore(server.endpoint);
  const error = await errorOf(store.get("k", 10));
  assert.equal(error.kind, "permanent");
  assert.match(
    error.message,
    /the answer is not from an S3 service \(HTTP 404\); check the endpoint/,
  );
});

Deno.test("a refused connection names the host", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  using store = testStore(`http://127.0.0.1:${port}`);
  const error = await errorOf(store.list({ prefix: "k" }));
  assert.equal(error.kind, "transient");
  assert.match(error.message, new RegExp(`the connection to 127.0.0.1:${port} was refused$`));
});

Deno.test("a connection lost before the answer says so", async () => {
  await using server = rawServer("", { close: true });
  using store = testStore(`http://127.0.0.1:${server.port}`);
  const error = await errorOf(store.list({ prefix: "k" }));
  assert.equal(error.kind, "transient");
  assert.match(error.message, /the connection to 127.0.0.1:\d+ was lost before an answer$/);
});

Deno.test("an endpoint without TLS behind an https URL is a TLS failure", async () => {
  await using server = rawServer("HTTP/1.1 400 Bad Request\r\n\r\n", { close: true });
  using store = testStore(`https://127.0.0.1:${server.port}`);
  const error = await errorOf(store.list({ prefix: "k" }));
  assert.equal(error.kind, "transient");
  assert.match(error.message, /no TLS connection to 127.0.0.1:\d+: /);
});

Deno.test("system errors and the words of fetch come to the same message", () => {
  const context = {
    operation: "get" as const,
    bucket: "jobs",
    key: "k",
    region: "us-east-1",
    endpointHost: "s3.example:9000",
    connectTimeoutMs: 5000,
    credentialsRenewable: false,
    secrets: [],
  };
  const cases: readonly [unknown, RegExp][] = [
    [
      Object.assign(new Error("getaddrinfo ENOTFOUND s3.example"), { code: "ENOTFOUND" }),
      /^the host name of the endpoint to s3.example:9000 cannot be resolved$/,
    ],
    [
      new TypeError("error sending request: client error (Connect): dns error: failed to lookup"),
      /cannot be resolved$/,
    ],
    [
      new TypeError("fetch failed", { cause: new Error("tcp connect error: Connection refused") }),
      /^the connection to s3.example:9000 was refused$/,
    ],
    [
      new TypeError("client error (Connect): invalid peer certificate: UnknownIssuer"),
      /^no TLS connection to s3.example:9000: .*UnknownIssuer$/,
    ],
    [Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" }), /was lost before/],
    [new Error(""), /^the request failed without a reason$/],
    ["thrown text", /^thrown text$/],
    [undefined, /^undefined$/],
  ];
  for (const [error, reason] of cases) {
    const failure = requestFailure(error, context);
    assert.equal(failure.kind, "transient");
    assert.equal(failure.status, undefined);
    assert.match(failure.reason, reason);
  }
});

Deno.test("what looks like a credential is taken out, whosever it is", () => {
  const text = "Credential=AKIDEXAMPLE/20260101, Signature=5d672d79c15b13162d9279b0855cfba6 " +
    "X-Amz-Security-Token=abc&x=1 ASIAQWERTYUIOPASDFGH end";
  assert.equal(
    redacted(text, []),
    "Credential=[redacted], Signature=[redacted] X-Amz-Security-Token=[redacted]&x=1 [redacted] end",
  );
});

Deno.test("a missing region is told at once, by the variable to set", () => {
  const open = () =>
    createS3Store({ bucket: "jobs", userAgent: "cellos-fleet/test", environment: CREDENTIALS });
  assert.throws(open, {
    name: "StoreError",
    kind: "permanent",
    message: "No region is set; set AWS_REGION to the region of the bucket",
  });
});

for (
  const endpoint of ["nonsense", "ftp://host", "http://user:password@host", "http://host/?a=1"]
) {
  Deno.test(`the endpoint ${endpoint} is refused by the variable's name`, () => {
    const environment = { ...CREDENTIALS, AWS_ENDPOINT_URL_S3: endpoint };
    const open = () => createS3Store({ bucket: "jobs", userAgent: "a/1", environment });
    assert.throws(open, (error: unknown) => {
      assert.ok(error instanceof StoreError);
      assert.equal(error.kind, "permanent");
      assert.match(error.message, /^AWS_ENDPOINT_URL_S3 must be an http or https URL/);
      assert.ok(!error.message.includes("password"));
      return true;
    });
  });
}
