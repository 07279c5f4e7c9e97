/** Where credentials come from, and what is said when there are none. */
import assert from "node:assert/strict";
import { StoreError, type StoreErrorKind } from "../../lib/core/store_error.ts";
import { credentialsSource, type Environment } from "../../lib/edge/s3_credentials.ts";
import { rawServer, scriptedServer, testStore } from "./scripted_s3.ts";

const DOCUMENT = {
  AccessKeyId: "AKIAFROMTHESERVICE00",
  SecretAccessKey: "secret-from-the-service",
  Token: "token-from-the-service",
  Expiration: "2099-01-01T00:00:00Z",
};

async function problem(environment: Environment): Promise<[StoreErrorKind, string]> {
  try {
    await credentialsSource(environment).provide();
  } catch (error) {
    assert.ok(error instanceof StoreError, String(error));
    return [error.kind, error.message];
  }
  return assert.fail("there were credentials");
}

/** Instance metadata as EC2 serves it. */
function metadataService(answers: Record<string, Response> = {}) {
  return scriptedServer((request) => {
    const { pathname } = new URL(request.url);
    const answer = answers[`${request.method} ${pathname}`];
    if (answer !== undefined) return answer.clone();
    if (request.method === "PUT" && pathname === "/latest/api/token") {
      return new Response(request.headers.get("x-aws-ec2-metadata-token-ttl-seconds") && "token");
    }
    if (request.headers.get("x-aws-ec2-metadata-token") !== "token") {
      return new Response(null, { status: 401 });
    }
    if (pathname === "/latest/meta-data/iam/security-credentials/") return new Response("my-role");
    return pathname.endsWith("/my-role")
      ? Response.json(DOCUMENT)
      : new Response(null, { status: 404 });
  });
}

Deno.test("keys in the environment win over everything else", async () => {
  const source = credentialsSource({
    AWS_ACCESS_KEY_ID: "id",
    AWS_SECRET_ACCESS_KEY: "secret",
    AWS_SESSION_TOKEN: "token",
    AWS_PROFILE: "other",
    AWS_CONTAINER_CREDENTIALS_FULL_URI: "http://127.0.0.1:1/",
  });
  assert.deepEqual(await source.provide(), {
    accessKeyId: "id",
    secretAccessKey: "secret",
    sessionToken: "token",
  });
  assert.equal(source.renewable, false);
  assert.deepEqual(source.secrets(), ["secret", "token"]);
});

Deno.test("half a pair of keys is named, not passed over", async () => {
  assert.deepEqual(await problem({ AWS_ACCESS_KEY_ID: "id" }), [
    "permanent",
    "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not",
  ]);
  assert.deepEqual(await problem({ AWS_SECRET_ACCESS_KEY: "secret", AWS_ACCESS_KEY_ID: "" }), [
    "permanent",
    "AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not",
  ]);
});

const NEED_FILES: readonly [string, Environment][] = [
  ["AWS_PROFILE", { AWS_PROFILE: "team" }],
  ["AWS_WEB_IDENTITY_TOKEN_FILE", { AWS_WEB_IDENTITY_TOKEN_FILE: "/token", AWS_ROLE_ARN: "arn" }],
  ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", {
    AWS_CONTAINER_CREDENTIALS_FULL_URI: "http://169.254.170.23/v1/credentials",
    AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: "/token",
  }],
];

for (const [name, environment] of NEED_FILES) {
  Deno.test(`${name} needs a file, and the message says so and what there is instead`, async () => {
    const [kind, message] = await problem(environment);
    assert.equal(kind, "permanent");
    assert.ok(message.startsWith(`${name} is set, but `), message);
    assert.match(message, /the program has no file access\. Available are AWS_ACCESS_KEY_ID with/);
  });
}

Deno.test("no credentials at all is told with what there could be", async () => {
  assert.deepEqual(await problem({ AWS_EC2_METADATA_DISABLED: "true" }), [
    "permanent",
    "no credentials: none are set, and AWS_EC2_METADATA_DISABLED is true. Available are " +
    "AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), container credentials, " +
    "and EC2 instance metadata",
  ]);
});

Deno.test("a metadata service that never answers is given up", async () => {
  await using server = rawServer("");
  const [kind, message] = await problem({
    AWS_EC2_METADATA_SERVICE_ENDPOINT: `http://127.0.0.1:${server.port}`,
  });
  assert.equal(kind, "permanent");
  assert.match(message, /^no credentials: .*\(no (?:answer|connection) within 1000 ms\)/);
  await server.idle();
  assert.ok(server.connections <= 1);
});

Deno.test("instance metadata gives the credentials of the role", async () => {
  await using server = metadataService();
  const source = credentialsSource({ AWS_EC2_METADATA_SERVICE_ENDPOINT: server.endpoint });
  assert.deepEqual(await source.provide(), {
    accessKeyId: DOCUMENT.AccessKeyId,
    secretAccessKey: DOCUMENT.SecretAccessKey,
    sessionToken: DOCUMENT.Token,
    expiration: new Date(DOCUMENT.Expiration),
  });
  assert.equal(source.renewable, true);
  assert.deepEqual(source.secrets(), [DOCUMENT.SecretAccessKey, DOCUMENT.Token]);
});

Deno.test("an instance without a role is told apart from a service in trouble", async () => {
  const roles = "GET /latest/meta-data/iam/security-credentials/";
  await using bare = metadataService({ [roles]: new Response(null, { status: 404 }) });
  assert.deepEqual(await problem({ AWS_EC2_METADATA_SERVICE_ENDPOINT: bare.endpoint }), [
    "permanent",
    "no credentials: the instance has no IAM role attached",
  ]);
  await using failing = metadataService({ [roles]: new Response(null, { status: 500 }) });
  assert.deepEqual(await problem({ AWS_EC2_METADATA_SERVICE_ENDPOINT: failing.endpoint }), [
    "transient",
    "instance metadata answered HTTP 500",
  ]);
});

Deno.test("the container endpoint gets the token and gives credentials", async () => {
  let authorization: string | null = null;
  await using server = scriptedServer((request) => {
    authorization = request.headers.get("authorization");
    return Response.json(DOCUMENT);
  });
  const source = credentialsSource({
    AWS_CONTAINER_CREDENTIALS_FULL_URI: `${server.endpoint}/creds?id=1`,
    AWS_CONTAINER_AUTHORIZATION_TOKEN: "container-token",
  });
  assert.equal((await source.provide()).accessKeyId, DOCUMENT.AccessKeyId);
  assert.equal(authorization, "container-token");
  assert.deepEqual(server.requests, ["GET /creds?id=1"]);
  assert.ok(source.secrets().includes("container-token"));
});

for (const uri of ["http://example.com/", "ftp://127.0.0.1/", "nonsense"]) {
  Deno.test(`the container endpoint ${uri} is not asked`, async () => {
    const [kind, message] = await problem({ AWS_CONTAINER_CREDENTIALS_FULL_URI: uri });
    assert.equal(kind, "permanent");
    assert.match(message, /^AWS_CONTAINER_CREDENTIALS_FULL_URI must be an HTTPS URL, or/);
  });
}

Deno.test("a token with a line break is not sent", async () => {
  const [kind, message] = await problem({
    AWS_CONTAINER_CREDENTIALS_FULL_URI: "http://127.0.0.1:1/",
    AWS_CONTAINER_AUTHORIZATION_TOKEN: "a\r\nevil: b",
  });
  assert.equal(kind, "permanent");
  assert.equal(message, "AWS_CONTAINER_AUTHORIZATION_TOKEN holds a line break");
});

Deno.test("answers that are no credentials are not shown", async () => {
  const documents = ["not json, but secret", "null", "[]", '{"AccessKeyId":"only"}'];
  const bad = { ...DOCUMENT, Expiration: "some day" };
  for (const document of [...documents, JSON.stringify(bad)]) {
    await using server = scriptedServer(() => new Response(document));
    const [kind, message] = await problem({ AWS_CONTAINER_CREDENTIALS_FULL_URI: server.endpoint });
    assert.equal(kind, "transient");
    assert.match(message, /answered with something that is no credentials$/);
    assert.ok(!message.includes("secret"));
  }
});

Deno.test("an endless answer of the container endpoint is cut", async () => {
  const head = "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n";
  await using server = rawServer(head, { fillBytes: 1_000_000 });
  const [kind, message] = await problem({
    AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${server.port}/`,
  });
  assert.equal(kind, "transient");
  assert.match(message, /the answer is too long|no answer within/);
});

Deno.test("a renewal that fails is no harm while the old credentials are good", async () => {
  let document: unknown = DOCUMENT;
  await using server = scriptedServer(() =>
    document === undefined ? new Response(null, { status: 500 }) : Response.json(document)
  );
  const source = credentialsSource({ AWS_CONTAINER_CREDENTIALS_FULL_URI: server.endpoint });
  await source.provide();
  document = undefined;
  assert.equal((await source.provide()).accessKeyId, DOCUMENT.AccessKeyId);
});

Deno.test("a renewal that fails after they expired is worth trying again", async () => {
  let status = 200;
  await using server = scriptedServer(() =>
    status === 200
      ? Response.json({ ...DOCUMENT, Expiration: "2020-01-01T00:00:00Z" })
      : new Response(null, { status })
  );
  const source = credentialsSource({ AWS_CONTAINER_CREDENTIALS_FULL_URI: server.endpoint });
  await source.provide();
  status = 404;
  await assert.rejects(source.provide(), { kind: "transient" });
});

Deno.test("many calls at once ask for credentials once, and sign with them", async () => {
  await using metadata = metadataService();
  const signers = new Set<string | undefined>();
  await using s3 = scriptedServer((request) => {
    signers.add(request.headers.get("authorization")?.match(/Credential=([^/]+)/)?.[1]);
    return new Response(null, { headers: { etag: '"e"' } });
  });
  using store = testStore(s3.endpoint, {
    environment: { AWS_EC2_METADATA_SERVICE_ENDPOINT: metadata.endpoint },
  });
  const body = new Uint8Array(1);
  await Promise.all([
    ...["a", "b", "c"].map((key) => store.create(key, body, {})),
    ...["d", "e", "f"].map((key) => store.put(key, body, {})),
  ]);
  assert.deepEqual([...signers], [DOCUMENT.AccessKeyId]);
  assert.equal(metadata.requests.filter((request) => request.startsWith("PUT")).length, 1);
});

Deno.test("a call without credentials fails by the source's message, and sends nothing", async () => {
  await using s3 = scriptedServer(() => new Response(null));
  using store = testStore(s3.endpoint, { environment: { AWS_EC2_METADATA_DISABLED: "true" } });
  await assert.rejects(store.list({ prefix: "k" }), {
    name: "StoreError",
    kind: "permanent",
    message: /^Cannot list "k" in bucket "jobs": no credentials: none are set, and AWS_EC2/,
  });
  await assert.rejects(store.create("k", new Uint8Array(), {}), { kind: "permanent" });
  assert.deepEqual(s3.requests, []);
});
