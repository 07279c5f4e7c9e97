/** What the README states that the program can check. */
import assert from "node:assert/strict";
import { optionsTable } from "../lib/config.ts";
import { describe } from "../lib/event_text.ts";
import type { AgentState, FleetEvent, Totals } from "../lib/events.ts";

type EventName = FleetEvent["name"];
/** Of every event one, as far as its message and level need it, with placeholders for values. */
type Examples = {
  readonly [Name in EventName]: (Partial<Extract<FleetEvent, { name: Name }>> & { name: Name })[];
};

const TOTALS: Totals = {
  claimed: 0,
  completed: 0,
  failed: 0,
  released: 0,
  takenOver: 0,
  lost: 0,
};
const specId = "<id>";
const cause = "<cause>";

const EXAMPLES: Examples = {
  "agent-starting": [{ name: "agent-starting" }],
  "configuration-warning": [{
    name: "configuration-warning",
    text: "<variable> is not a variable of this program and is ignored",
  }],
  "store-probed": [{ name: "store-probed" }],
  "start-failed": [{ name: "start-failed", cause }],
  "poll-finished": [{ name: "poll-finished" }],
  "spec-skipped": [{ name: "spec-skipped", specId, specPool: "<X>", nodePool: "<Y>" }],
  "key-ignored": [{ name: "key-ignored" }],
  "placement-unreadable": [{ name: "placement-unreadable", specId, cause }],
  "claim-started": [{ name: "claim-started", specId }],
  "claim-refused": [{ name: "claim-refused", specId }],
  "claim-unneeded": [{ name: "claim-unneeded", specId }],
  "claim-unknown": [{ name: "claim-unknown", specId }],
  "claim-abandoned": [{ name: "claim-abandoned", specId, cause }],
  "claim-request-failed": [{ name: "claim-request-failed", specId, action: "<action>", cause }],
  "claimed": [{ name: "claimed", specId }],
  "taken-over": [{ name: "taken-over", specId, fromNode: "<node>" }],
  "cell-running": [{ name: "cell-running", specId }],
  "cell-output": [{ name: "cell-output", specId, text: "<line of output>" }],
  "cell-stopping": [{ name: "cell-stopping", specId, cause: "timeout" }],
  "cell-exited": [{ name: "cell-exited", specId }],
  "spec-committed": [{ name: "spec-committed", specId }],
  "spec-filed": [
    { name: "spec-filed", specId, status: "completed" },
    { name: "spec-filed", specId, status: "failed" },
  ],
  "filing-left": [{ name: "filing-left", specId, cause }],
  "spec-moved-by-hand": [{ name: "spec-moved-by-hand", specId }],
  "lease-renewed": [{ name: "lease-renewed", specId }],
  "lease-renewal-failed": [{ name: "lease-renewal-failed", specId, cause }],
  "lease-lost": [{ name: "lease-lost", specId }],
  "claim-released": [{ name: "claim-released", specId }],
  "claim-kept": [{ name: "claim-kept", specId, cause }],
  "claim-without-lease": [{ name: "claim-without-lease", specId }],
  "bucket-failing": [{ name: "bucket-failing", cause }],
  "bucket-recovered": [{ name: "bucket-recovered" }],
  "supervisor-failing": [{ name: "supervisor-failing", cause }],
  "supervisor-recovered": [{ name: "supervisor-recovered" }],
  "http-serving": [{ name: "http-serving" }],
  "service-manager-failed": [{ name: "service-manager-failed", cause }],
  "watchdog-too-slow": [{ name: "watchdog-too-slow", watchdogMs: 90_000, longestMs: 60_000 }],
  "guard-lost": [{ name: "guard-lost", cause }],
  "heartbeat": [
    { name: "heartbeat", state: "idle", stuckLoops: [], totals: TOTALS },
    { name: "heartbeat", state: "stuck", stuckLoops: ["poll"], totals: TOTALS },
  ],
  "node-record-failed": [{ name: "node-record-failed", cause }],
  "peers-unlisted": [{ name: "peers-unlisted", cause }],
  "draining": [{ name: "draining", cause: "SIGTERM received" }],
  "interrupting": [{ name: "interrupting", cause: "second signal, SIGTERM, received" }],
  "giving-up": [{ name: "giving-up" }],
  "agent-stopped": [{ name: "agent-stopped", totals: TOTALS }],
};

const README = await Deno.readTextFile(new URL("../README.md", import.meta.url));

/** The text between a pair of marker comments. */
function section(name: string): string {
  const match = new RegExp(`<!-- ${name} -->\\n([^]*?)<!-- /${name} -->`).exec(README);
  assert.ok(match !== null, `The README has no section marked ${name}`);
  return match[1].trim();
}

/** The cells of a Markdown table's rows, without the head. */
function rows(table: string): string[][] {
  return table.split("\n").slice(2).map((row) =>
    row.split("|").slice(1, -1).map((cell) => cell.trim())
  );
}

Deno.test("the README's table of variables is the program's own", () => {
  assert.equal(section("variables"), optionsTable().trim());
});

Deno.test("the README explains every message of the log, in its own words and with its level", () => {
  const stated = rows(section("messages")).map(([level, message]) => `${level} ${message}`);
  const logged = Object.values(EXAMPLES).flat().map((event) => {
    const { level, message } = describe(event as FleetEvent);
    return `${level} \`${message}\``;
  });
  assert.deepEqual(stated.toSorted(), logged.toSorted());
});

Deno.test("the README explains every state that a heartbeat can have", () => {
  const states: Record<AgentState, true> = {
    "starting": true,
    "idle": true,
    "busy": true,
    "backing-off": true,
    "draining": true,
    "stuck": true,
  };
  const stated = rows(section("states")).map(([state]) => state);
  assert.deepEqual(
    stated.toSorted(),
    Object.keys(states).map((state) => `\`${state}\``).toSorted(),
  );
});

Deno.test("the README's bucket policies are JSON and name the same bucket and prefix", () => {
  const policies = [...README.matchAll(/```json\n(\{\s+"Version"[^]*?)```/g)];
  assert.equal(policies.length, 2);
  for (const [, text] of policies) {
    for (const { Effect, Resource } of JSON.parse(text).Statement) {
      assert.equal(Effect, "Allow");
      for (const arn of [Resource].flat()) {
        assert.match(arn, /^arn:aws:s3:::my-bucket($|\/fleet\/)/);
      }
    }
  }
});
