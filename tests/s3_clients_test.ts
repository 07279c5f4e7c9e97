/** The embedded S3 server as the AWS SDK and the AWS CLI see it. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { type S3Server, startS3Server } from "../scripts/s3_server.ts";

const ODD_KEYS = [
  "with space",
  "plus+and%percent%20",
  "question?hash#amp&eq=",
  "ünï-☃-😀-\uffff",
  "new\nline\ttab\r",
  "//double//slash/",
  "trailing/",
  "quote\"'<xml>&amp;",
  "~!@$^*()[]{}|\\:;,`",
];

/**
 * Without the check for leaked connections: older versions of Deno keep one of a `node:http` client
 * that was destroyed. Leaks of the server would show in its tests by `fetch`.
 */
function withSdk(name: string, test: () => Promise<void>): void {
  Deno.test({ name: `the AWS SDK: ${name}`, sanitizeResources: false, fn: test });
}

withSdk("odd keys, copies, paging and multi-delete", async () => {
  await using server = startS3Server();
  const client = sdkClient(server);
  const Bucket = "fleet";
  for (const Key of ODD_KEYS) {
    await client.send(
      new PutObjectCommand({
        Bucket,
        Key,
        Body: new TextEncoder().encode(Key),
        Metadata: { n: "1" },
      }),
    );
    const found = await client.send(new GetObjectCommand({ Bucket, Key }));
    assert.equal(await found.Body!.transformToString(), Key);
    assert.deepEqual(found.Metadata, { n: "1" });
    const CopySource = `${Bucket}/${encodeURIComponent(Key)}`;
    const target = { Bucket, Key: `copy of ${Key}` };
    await client.send(
      new CopyObjectCommand({ ...target, CopySource, MetadataDirective: "REPLACE", Metadata: {} }),
    );
    assert.deepEqual((await client.send(new HeadObjectCommand(target))).Metadata, {});
  }
  assert.ok(ODD_KEYS.every((key) => server.bucket(Bucket).get(key) !== undefined));

  const listed: string[] = [];
  let ContinuationToken: string | undefined;
  do {
    const page = await client.send(
      new ListObjectsV2Command({ Bucket, MaxKeys: 3, ContinuationToken }),
    );
    listed.push(...page.Contents!.map(({ Key }) => Key!));
    ContinuationToken = page.NextContinuationToken;
  } while (ContinuationToken !== undefined);
  assert.deepEqual(
    new Set(listed),
    new Set([...ODD_KEYS, ...ODD_KEYS.map((key) => `copy of ${key}`)]),
  );

  const deleted = await client.send(
    new DeleteObjectsCommand({
      Bucket,
      Delete: {
        Objects: [...listed.slice(1).map((Key) => ({ Key })), { Key: listed[0], ETag: '"no"' }],
      },
    }),
  );
  assert.equal(deleted.Deleted?.length, listed.length - 1);
  assert.deepEqual(deleted.Errors?.map(({ Code, Key }) => [Code, Key]), [
    ["PreconditionFailed", listed[0]],
  ]);
  client.destroy();
});

withSdk("of 32 simultaneous creates or replaces, one wins", async () => {
  await using server = startS3Server({ delayMs: 5 });
  const client = sdkClient(server);
  const object = { Bucket: "fleet", Key: "k" };
  const race = async (condition: { IfNoneMatch?: string; IfMatch?: string }) => {
    const attempts = Array.from(
      { length: 32 },
      (_, index) =>
        client.send(
          new PutObjectCommand({
            ...object,
            ...condition,
            Body: `${JSON.stringify(condition)} ${index}`,
          }),
        ),
    );
    const results = await Promise.allSettled(attempts);
    for (const result of results) {
      if (result.status === "rejected") assert.equal(result.reason.name, "PreconditionFailed");
    }
    return results.filter(({ status }) => status === "fulfilled").length;
  };
  assert.equal(await race({ IfNoneMatch: "*" }), 1);
  const { ETag } = await client.send(new HeadObjectCommand(object));
  assert.equal(await race({ IfMatch: ETag }), 1);
  await assert.rejects(
    client.send(new DeleteObjectCommand({ ...object, IfMatch: ETag })),
    { name: "PreconditionFailed" },
  );
  const held = await client.send(new HeadObjectCommand(object));
  await client.send(new DeleteObjectCommand({ ...object, IfMatch: held.ETag }));
  await assert.rejects(client.send(new HeadObjectCommand(object)), { name: "NotFound" });
  await assert.rejects(
    client.send(new PutObjectCommand({ ...object, IfMatch: held.ETag, Body: "x" })),
    { name: "NoSuchKey" },
  );
  client.destroy();
});

function sdkClient(server: S3Server): S3Client {
  return new S3Client({
    endpoint: server.endpoint,
    forcePathStyle: true,
    region: "us-east-1",
    credentials: { accessKeyId: "any", secretAccessKey: "any" },
    maxAttempts: 1,
  });
}

const AWS_ENVIRONMENT = {
  AWS_ACCESS_KEY_ID: "any",
  AWS_SECRET_ACCESS_KEY: "any",
  AWS_REGION: "us-east-1",
  AWS_CONFIG_FILE: "/dev/null",
  AWS_SHARED_CREDENTIALS_FILE: "/dev/null",
  AWS_EC2_METADATA_DISABLED: "true",
  AWS_MAX_ATTEMPTS: "1",
  AWS_PAGER: "",
};

interface CliResult {
  readonly ok: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

async function hasAwsCli(): Promise<boolean> {
  try {
    return (await new Deno.Command("aws", { args: ["--version"] }).output()).success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

const AWS_CLI = await hasAwsCli();

/** Runs a test with the AWS CLI; where there is none it is skipped, and its name says why. */
function withAwsCli(
  name: string,
  test: (
    server: S3Server,
    aws: (...args: string[]) => Promise<CliResult>,
    directory: string,
  ) => Promise<void>,
): void {
  Deno.test({
    name: AWS_CLI ? `the AWS CLI: ${name}` : `the AWS CLI: ${name} (skipped: no aws on PATH)`,
    ignore: !AWS_CLI,
    fn: async () => {
      await using server = startS3Server({ buckets: [], requireCredentials: true });
      const directory = await Deno.makeTempDir();
      try {
        await test(server, (...args) => runAws(server, args), directory);
      } finally {
        await Deno.remove(directory, { recursive: true });
      }
    },
  });
}

async function runAws(server: S3Server, args: string[]): Promise<CliResult> {
  const { success, stdout, stderr } = await new Deno.Command("aws", {
    args: ["--endpoint-url", server.endpoint, ...args],
    env: AWS_ENVIRONMENT,
  }).output();
  const decoder = new TextDecoder();
  return { ok: success, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

function must(result: CliResult): string {
  assert.ok(result.ok, result.stderr + result.stdout);
  return result.stdout;
}

withAwsCli("make, copy, list, move and remove", async (server, aws, directory) => {
  must(await aws("s3", "mb", "s3://fleet"));
  const spec = `${directory}/spec one+.json`;
  await Deno.writeTextFile(spec, "{}");
  must(await aws("s3", "cp", spec, "s3://fleet/pending/"));
  const bucket = server.bucket("fleet");
  assert.deepEqual(bucket.get("pending/spec one+.json")?.body, new TextEncoder().encode("{}"));
  must(await aws("s3", "mv", "s3://fleet/pending/spec one+.json", "s3://fleet/failed/ünï.json"));
  for (let index = 0; index < 1_200; index++) bucket.put(`many/${index}`, new Uint8Array());
  assert.match(must(await aws("s3", "ls", "s3://fleet/")), /PRE failed\/\n\s+PRE many\//);
  assert.match(must(await aws("s3", "ls", "s3://fleet/failed/")), /^[-\d]+ [\d:]+ +2 ünï.json\n$/);
  must(await aws("s3", "rm", "--recursive", "--quiet", "s3://fleet/many/"));
  assert.deepEqual(bucket.list({ prefix: "" }).objects.map(({ key }) => key), ["failed/ünï.json"]);
  assert.match(must(await aws("s3", "ls")), / fleet\n/);
  must(await aws("s3", "rb", "--force", "s3://fleet"));
  assert.equal(server.buckets.size, 0);
});

withAwsCli("large files go up in parts and come back whole", async (server, aws, directory) => {
  must(await aws("s3", "mb", "s3://fleet"));
  const content = crypto.getRandomValues(new Uint8Array(64 * 1024));
  const large = new Uint8Array(10 * 1024 * 1024 + 1);
  for (let at = 0; at < large.length; at += content.length) {
    large.set(content.subarray(0, large.length - at), at);
  }
  await Deno.writeFile(`${directory}/large`, large);
  must(await aws("s3", "cp", "--quiet", `${directory}/large`, "s3://fleet/large"));
  const stored = server.bucket("fleet").get("large")!;
  assert.match(stored.etag, /^"[0-9a-f]{32}-2"$/);
  assert.ok(Buffer.from(stored.body).equals(large));
  must(await aws("s3", "cp", "--quiet", "s3://fleet/large", `${directory}/back`));
  assert.ok(Buffer.from(await Deno.readFile(`${directory}/back`)).equals(large));
});

withAwsCli("conditional writes and deletes", async (server, aws, directory) => {
  must(await aws("s3api", "create-bucket", "--bucket", "fleet"));
  await Deno.writeTextFile(`${directory}/body`, "{}");
  const object = ["--bucket", "fleet", "--key", "k"];
  const write = (...condition: string[]) =>
    aws("s3api", "put-object", ...object, "--body", `${directory}/body`, ...condition);
  const remove = (etag: string) => aws("s3api", "delete-object", ...object, "--if-match", etag);
  const { ETag } = JSON.parse(must(await write("--if-none-match", "*")));
  const again = await write("--if-none-match", "*");
  assert.equal(again.ok, false);
  assert.match(again.stderr, /PreconditionFailed/);
  must(await write("--if-match", ETag));
  assert.match((await write("--if-match", '"other"')).stderr, /PreconditionFailed/);
  assert.match((await remove('"other"')).stderr, /PreconditionFailed/);
  must(await remove(ETag));
  assert.match((await remove(ETag)).stderr, /NoSuchKey/);
  assert.equal(server.bucket("fleet").size, 0);
});
