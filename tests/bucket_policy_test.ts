/** The README's bucket policy against what agents ask of a bucket: all of it, and nothing else. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { type S3Server, startS3Server } from "../scripts/s3_server.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const BUCKET = "my-bucket";

/** What S3 checks for each operation. A copy reads its source as well, from `pending/` here. */
const ACTIONS: Readonly<Record<string, string>> = {
  ListObjectsV2: "s3:ListBucket",
  GetObject: "s3:GetObject",
  HeadObject: "s3:GetObject",
  PutObject: "s3:PutObject",
  CopyObject: "s3:PutObject",
  DeleteObject: "s3:DeleteObject",
};

interface Grants {
  /** Lines such as `s3:GetObject fleet/pending`. */
  readonly actions: string[];
  /** Prefixes that may be listed, each with an asterisk for its rest. */
  readonly prefixes: string[];
}

/** What the first policy of the README grants. */
async function grants(): Promise<Grants> {
  const readme = await Deno.readTextFile(new URL("../README.md", import.meta.url));
  const policy = JSON.parse(/```json\n(\{\s+"Version"[^]*?)```/.exec(readme)![1]);
  const actions = policy.Statement.flatMap((statement: Record<string, string | string[]>) =>
    [statement.Action].flat().flatMap((action) =>
      [statement.Resource].flat().map((resource) => {
        const key = resource.replace(`arn:aws:s3:::${BUCKET}`, "").replace(/^\//, "");
        return `${action} ${key.replace(/\/\*$/, "")}`.trim();
      })
    )
  );
  const conditions = policy.Statement.map(({ Condition }: { Condition?: unknown }) => Condition)
    .filter((condition: unknown) => condition !== undefined);
  assert.equal(conditions.length, 1);
  return { actions, prefixes: conditions[0].StringLikeIfExists["s3:prefix"] };
}

function spawnAgent(server: S3Server): Deno.ChildProcess {
  const inherited = Object.entries(Deno.env.toObject())
    .filter(([name]) => !/^(CELLOS_FLEET_|AWS_|RUST_LOG$)|_PROXY$/i.test(name));
  return new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--frozen",
      "--no-prompt",
      "--allow-net",
      "--allow-env",
      "--allow-run",
      "main.ts",
    ],
    cwd: ROOT,
    clearEnv: true,
    env: {
      ...Object.fromEntries(inherited),
      AWS_ENDPOINT_URL_S3: server.endpoint,
      AWS_REGION: "us-east-1",
      AWS_ACCESS_KEY_ID: "any",
      AWS_SECRET_ACCESS_KEY: "any",
      CELLOS_FLEET_BUCKET: BUCKET,
      CELLOS_FLEET_NODE_ID: "n1",
      CELLOS_FLEET_SUPERVISOR: `${ROOT}scripts/sample_supervisor.sh`,
      CELLOS_FLEET_POLL_INTERVAL_MS: "100",
      CELLOS_FLEET_HEARTBEAT_INTERVAL_MS: "100",
      CELLOS_FLEET_MAX_SPEC_BYTES: "1000",
      CELLOS_FLEET_KILL_GRACE_MS: "1000",
      CELLOS_FLEET_DRAIN_TIMEOUT_MS: "1",
    },
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
  }).spawn();
}

async function until(
  what: string,
  agent: { ended: boolean },
  condition: () => boolean,
): Promise<void> {
  const deadlineMs = performance.now() + 60_000;
  while (!condition()) {
    if (agent.ended || performance.now() > deadlineMs) {
      throw new Error(`Waited in vain until ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

Deno.test("the README's policy grants an agent what it needs, and nothing else", async () => {
  const asked = new Set<string>();
  const listed = new Set<string>();
  await using server = startS3Server({
    buckets: [BUCKET],
    log({ operation, key, prefix }) {
      if (operation === "ListObjectsV2") listed.add(`${prefix}*`);
      const folder = key.split("/").slice(0, 2).join("/");
      asked.add(`${ACTIONS[operation] ?? operation} ${folder}`.trim());
    },
  });
  const bucket = server.bucket(BUCKET);
  const submit = (id: string, text: string) =>
    bucket.put(`fleet/pending/${id}.json`, new TextEncoder().encode(text));
  const has = (folder: string, id: string) =>
    bucket.get(`fleet/${folder}/${id}.json`) !== undefined;
  const count = (folder: string) => bucket.list({ prefix: `fleet/${folder}/` }).objects.length;

  // As a node leaves it that dies between two steps of a claim.
  submit("half-claimed", "{}");
  bucket.put("fleet/claimed/half-claimed.json", new TextEncoder().encode("{}"));

  const agent = spawnAgent(server);
  const life = { ended: false };
  void agent.status.then(() => life.ended = true);
  try {
    // Twice under the same ids: the second time there are earlier outcomes to be replaced.
    for (let round = 1; round <= 2; round++) {
      submit("good", "{}");
      submit("bad", '{"spec": {"exit": 1}}');
      submit("large", " ".repeat(2_000));
      await until("all are filed", life, () => count("pending") + count("claimed") === 0);
      assert.deepEqual([count("completed"), count("failed")], [2, 2]);
    }
    await until("there is a node record", life, () => has("nodes", "n1"));
    submit("slow", '{"spec": {"sleep": 600}}');
    await until("it is claimed", life, () => has("claimed", "slow"));
    agent.kill("SIGTERM");
    assert.equal((await agent.status).code, 0);
    assert.ok(has("pending", "slow") && !has("claimed", "slow"));
  } finally {
    if (!life.ended) agent.kill("SIGKILL");
    await agent.status;
  }
  const { actions, prefixes } = await grants();
  assert.deepEqual([...asked].sort(), actions.sort());
  assert.deepEqual([...listed].sort(), prefixes.sort());
});
