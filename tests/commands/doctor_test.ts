import assert from "node:assert/strict";
import { StoreError } from "../../lib/core/store_error.ts";
import type { Store, WriteResult } from "../../lib/ports.ts";
import { type HonouredConditions, MemoryBucket } from "../../scripts/s3/bucket.ts";
import { KEYS, Operator, type OperatorOptions, watched } from "./operator.ts";

interface Finding {
  readonly name: string;
  readonly outcome: "ok" | "warning" | "failed" | "skipped";
  readonly detail: string;
  readonly advice?: string;
}

async function examine(
  operator: Operator,
): Promise<{ code: number; ok: boolean; findings: Map<string, Finding> }> {
  const { code, out } = await operator.run(["doctor", "--json"]);
  const { schema, ok, checks } = JSON.parse(out);
  assert.equal(schema, "dev.cellos.fleet.doctor.v1");
  const findings = new Map((checks as Finding[]).map((finding) => [finding.name, finding]));
  return { code, ok, findings };
}

function named(findings: Map<string, Finding>, outcome: Finding["outcome"]): string[] {
  return [...findings.values()].filter((each) => each.outcome === outcome).map(({ name }) => name);
}

const ALL_CHECKS = [
  "environment",
  "credentials",
  "bucket",
  "permissions pending/",
  "permissions claimed/",
  "permissions completed/",
  "permissions failed/",
  "permissions results/",
  "permissions nodes/",
  "permissions probe/",
  "conditional writes",
  "simultaneous writes",
  "clock",
  "supervisor",
  "claims",
  "round trips",
];

Deno.test("on a sound queue every check is ok, and nothing is left behind", async () => {
  const operator = new Operator();
  const { code, ok, findings } = await examine(operator);
  assert.deepEqual([code, ok], [0, true]);
  assert.deepEqual(named(findings, "ok"), ALL_CHECKS);
  assert.deepEqual(operator.keys(), []);
  for (const name of ["list", "get", "head", "create", "replace", "delete"]) {
    assert.match(findings.get("round trips")!.detail, new RegExp(`\\b${name} [\\d.]+ ms`));
  }
});

Deno.test("for people there is a line for each check, and one more where something is to be done", async () => {
  const operator = new Operator({ supervisorFault: "Could not find the supervisor x in PATH" });
  const { code, out } = await operator.run(["doctor"]);
  assert.equal(code, 1);
  assert.equal(out.trimEnd().split("\n").length, ALL_CHECKS.length + 1);
  assert.match(out, /^ok {7}bucket {18}cells answers$/m);
  assert.match(
    out,
    /^failed {3}supervisor .*Could not find the supervisor x in PATH\n +→ install it/m,
  );
});

function denying(operation: string, folder: string): OperatorOptions {
  return {
    wrap: (store) =>
      watched(store, (_index, asked, key) => {
        if (asked === operation && key.startsWith(folder)) {
          throw new StoreError("permanent", "denied");
        }
      }),
  };
}

Deno.test("a permission that agents need is named with its folder when it is missing", async () => {
  const denials: readonly [operation: string, key: string, check: string, permission: RegExp][] = [
    ["get", KEYS.folder("results"), "permissions results/", /^get: denied/],
    ["replace", KEYS.folder("completed"), "permissions completed/", /^put: denied/],
    ["delete", KEYS.folder("pending"), "permissions pending/", /^delete: denied/],
  ];
  for (const [operation, folder, check, permission] of denials) {
    const { code, findings } = await examine(new Operator(denying(operation, folder)));
    assert.equal(code, 1);
    assert.deepEqual(named(findings, "failed"), [check]);
    assert.match(findings.get(check)!.detail, permission);
    assert.match(findings.get(check)!.advice ?? "", new RegExp(`an agent needs to .* ${folder}`));
  }
});

Deno.test("a permission that only other commands need is a warning when it is missing", async () => {
  const denials: readonly [operation: string, key: string, check: string][] = [
    ["list", KEYS.folder("completed"), "permissions completed/"],
    ["list", KEYS.folder("failed"), "permissions failed/"],
    ["delete", KEYS.folder("failed"), "permissions failed/"],
    ["get", KEYS.folder("nodes"), "permissions nodes/"],
  ];
  for (const [operation, folder, check] of denials) {
    const { code, findings } = await examine(new Operator(denying(operation, folder)));
    assert.deepEqual([code, named(findings, "warning")], [0, [check]]);
  }
});

Deno.test("permissions are tried without touching what is there, and nothing is ever created", async () => {
  const written = new Set<string>();
  const operator: Operator = new Operator({
    bucket: new MemoryBucket({ now: () => 0, observe: ({ key }) => void written.add(key) }),
  });
  await examine(operator);
  assert.ok(written.size > 0);
  for (const key of written) assert.ok(key.startsWith(KEYS.folder("probe")), key);
});

function bucketThat(conditions: Partial<HonouredConditions>): OperatorOptions {
  const honoured = { create: true, replace: true, delete: true, ...conditions };
  return { bucket: new MemoryBucket({ now: () => Date.UTC(2031, 4, 1), conditions: honoured }) };
}

Deno.test("a store that ignores conditions fails, by name; ignoring them on deletes is a warning", async () => {
  for (const condition of ["create", "replace"] as const) {
    const operator = new Operator(bucketThat({ [condition]: false }));
    const { code, findings } = await examine(operator);
    assert.equal(code, 1);
    assert.deepEqual(named(findings, "failed"), ["conditional writes", "simultaneous writes"]);
    const simultaneous = findings.get("simultaneous writes")!;
    assert.match(simultaneous.detail, new RegExp(`16 of 16 simultaneous .*\\(${condition}\\)`));
    assert.deepEqual(operator.keys(), [], "what such a store created is removed again");
  }
  const operator = new Operator(bucketThat({ delete: false }));
  const { code, findings } = await examine(operator);
  assert.deepEqual([code, named(findings, "warning")], [0, ["conditional writes"]]);
});

Deno.test("a store that honours conditions one after the other but not at once is found out", async () => {
  const operator = new Operator({
    wrap: (store) => {
      const creating = new Set<string>();
      const create = store.create.bind(store);
      return withCreate(store, async (key, body, metadata): Promise<WriteResult> => {
        // Looks first and writes later, as a store without a lock does.
        const free = store.bucket.head(key) === undefined || creating.has(key);
        creating.add(key);
        await new Promise((resolve) => setTimeout(resolve, 0));
        creating.delete(key);
        if (!free) return await create(key, body, metadata);
        await store.put(key, body, metadata);
        return { outcome: "stored", etag: store.bucket.head(key)!.etag };
      });
    },
  });
  const { findings } = await examine(operator);
  assert.equal(findings.get("conditional writes")?.outcome, "ok");
  assert.equal(findings.get("simultaneous writes")?.outcome, "failed");
});

Deno.test("a writer without a clear answer counts as let through only if its write is there", async () => {
  const operator = new Operator({
    wrap: (store) => {
      const create = store.create.bind(store);
      return withCreate(store, async (key, body, metadata): Promise<WriteResult> => {
        const result = await create(key, body, metadata);
        if (!key.includes("doctor-")) return result;
        return { outcome: "unknown", answered: true, throttled: false, cause: "conflict" };
      });
    },
  });
  const { findings } = await examine(operator);
  assert.equal(findings.get("simultaneous writes")?.outcome, "ok");
});

Deno.test("a wrong environment is all that is reported, every problem of it", async () => {
  const operator = new Operator({
    environment: { CELLOS_FLEET_BUCKET: "", CELLOS_FLEET_FENCE: "loose" },
  });
  const { code, findings } = await examine(operator);
  assert.equal(code, 1);
  assert.deepEqual([...findings.keys()], ["environment"]);
  assert.match(findings.get("environment")!.detail, /BUCKET is not set.*FENCE is "loose"/);
});

Deno.test("a variable that nobody reads is a warning", async () => {
  const operator = new Operator({ environment: { CELLOS_FLEET_PREFX: "x" } });
  const { code, findings } = await examine(operator);
  assert.equal(code, 0);
  assert.match(findings.get("environment")!.detail, /PREFX is not a variable.*PREFIX/);
});

Deno.test("without credentials or bucket the rest is skipped, but not the supervisor", async () => {
  const noCredentials = new Operator({ credentialsFault: "There are no credentials" });
  const first = await examine(noCredentials);
  assert.equal(first.code, 1);
  assert.deepEqual(named(first.findings, "failed"), ["credentials"]);
  assert.deepEqual(named(first.findings, "ok"), ["environment", "supervisor"]);
  assert.equal(first.findings.get("bucket")?.detail, "needs: credentials");
  const noBucket = new Operator({
    wrap: (store) =>
      watched(store, () => {
        throw new StoreError("permanent", "There is no such bucket");
      }),
  });
  const { findings } = await examine(noBucket);
  assert.deepEqual(named(findings, "failed"), ["bucket"]);
  assert.deepEqual(named(findings, "ok"), ["environment", "credentials", "supervisor"]);
});

Deno.test("a clock that differs from the bucket's is a warning, with how far and which way", async () => {
  for (const [offMs, text] of [[60_000, "59s ahead of"], [-60_000, "1m behind"]] as const) {
    const operator: Operator = new Operator({
      bucket: new MemoryBucket({ now: () => operator.clock.nowMs - offMs }),
    });
    const { code, findings } = await examine(operator);
    assert.equal(code, 0);
    assert.equal(findings.get("clock")?.outcome, "warning");
    assert.ok(findings.get("clock")!.detail.startsWith(text), findings.get("clock")!.detail);
  }
});

Deno.test("claims without a lease are a warning", async () => {
  const operator = new Operator();
  operator.put(KEYS.claimed("left"), "{}");
  const { code, findings } = await examine(operator);
  assert.equal(code, 0);
  assert.equal(findings.get("claims")?.outcome, "warning");
  assert.match(findings.get("claims")!.detail, /left has been claimed without a lease/);
});

function withCreate(store: Store, create: Store["create"]): Store {
  return new Proxy(store, {
    get(target, name, receiver) {
      if (name === "create") return create;
      const method = Reflect.get(target, name, receiver);
      return typeof method === "function" ? method.bind(target) : method;
    },
  });
}
