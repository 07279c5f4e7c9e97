/** What `docs/commands.md` states, against what the commands print. */
import assert from "node:assert/strict";
import { encodeNodeRecord, NODE_SCHEMA } from "../../lib/core/node_record.ts";
import { claimPending } from "../../lib/claim.ts";
import { runPending } from "./agent_steps.ts";
import { KEYS, Operator } from "./operator.ts";

const text = await Deno.readTextFile(new URL("../../docs/commands.md", import.meta.url));

/** Names of all fields of a JSON value, however deep. */
function fieldNames(value: unknown, names = new Set<string>()): Set<string> {
  if (Array.isArray(value)) { for (const item of value) fieldNames(item, names); }
  else if (typeof value === "object" && value !== null) {
    for (const [name, inner] of Object.entries(value)) {
      names.add(name);
      fieldNames(inner, names);
    }
  }
  return names;
}

function assertDocumented(section: string, json: string): void {
  const [, from] = text.split(`\n### ${section}\n`);
  const part = from.split("\n## ")[0];
  const missing = [...fieldNames(JSON.parse(json))].filter((name) =>
    !new RegExp(`\`([a-z]+\\[\\]\\.)?${name}\``).test(part)
  );
  assert.deepEqual(missing, [], `not documented under ${section}`);
}

Deno.test("every field of status --json is documented", async () => {
  const operator = new Operator();
  for (const id of ["runs", "fails"]) operator.put(KEYS.pending(id), "{}");
  await claimPending({ ...operator.agent("node-a"), poolId: "gpu" }, "runs");
  await runPending(operator.agent("node-a"), "fails", 3);
  operator.put(KEYS.claimed("left"), "{}");
  const at = new Date(operator.clock.nowMs).toISOString();
  const totals = { claimed: 1, completed: 0, failed: 1, released: 0, takenOver: 0, lost: 0 };
  const record = encodeNodeRecord({
    schema: NODE_SCHEMA,
    node: "node-a",
    version: "1.0.0",
    poolId: "gpu",
    state: "busy",
    inFlight: 1,
    slots: 1,
    lastPollAgeMs: 5,
    totals,
    startedAt: at,
    at,
    heartbeatIntervalMs: 30_000,
  });
  operator.bucket.put(KEYS.node("node-a"), record);
  const { out } = await operator.run(["status", "--json"]);
  const { running, nodes, failures, problems } = JSON.parse(out);
  const counts = [running, nodes, failures, problems].map((list) => list.length);
  assert.deepEqual(counts, [1, 1, 1, 1]);
  assertDocumented("status --json", out);
});

Deno.test("every field of doctor --json is documented", async () => {
  const operator = new Operator({ supervisorFault: "Could not find the supervisor" });
  assertDocumented("doctor --json", (await operator.run(["doctor", "--json"])).out);
});

Deno.test("every command and option has its place in the documentation", async () => {
  for (const name of ["status", "submit", "requeue", "cancel", "doctor", "completions"]) {
    assert.ok(text.includes(`\n## ${name}\n`), name);
    const { out } = await new Operator().run(["completions", "fish"]);
    const options = [...out.matchAll(new RegExp(`_from ${name}' -l ([a-z-]+)`, "g"))];
    assert.ok(options.length > 0);
    for (const [, option] of options) {
      if (option !== "version") assert.ok(text.includes(`--${option}`), `${name} --${option}`);
    }
  }
});
