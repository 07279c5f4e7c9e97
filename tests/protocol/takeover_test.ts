import assert from "node:assert/strict";
import { CANCEL_SCHEMA, encodeCancelMark } from "../../lib/core/cancel_mark.ts";
import { encodeLease, exited, type Lease, newLease, releasing } from "../../lib/core/lease.ts";
import { newResult } from "../../lib/core/result.ts";
import { Fleet, type NodeOptions, TTL_MS } from "./fleet.ts";

const AT = "2026-01-01T00:00:00.000Z";

function deadLease(changes: Partial<Lease> = {}, id = "a"): Lease {
  const start = { specId: id, nonce: "dead", node: "dead-node", poolId: "", ttlMs: 6_000, at: AT };
  return { ...newLease(start), ...changes };
}

function putLease(fleet: Fleet, lease: Lease, id = "a"): void {
  fleet.put(fleet.keys.lease(id), encodeLease(lease));
}

/** The lease of a claim whose outcome was committed for what is in `claimed/`. */
function committed(fleet: Fleet, exitCode: number): Lease {
  const lease = deadLease();
  const { specId, nonce: claim, attempt, claimedAt, attempts, node } = lease;
  const stdoutTail = new Uint8Array();
  const exit = { exitCode, stdoutBytes: 0, stderrBytes: 0, stdoutTail, stderrTail: stdoutTail };
  const result = newResult(
    { specId, claim, attempt, claimedAt, attempts, node, poolId: "", specBytes: 3 },
    { reason: "exit", exit, endedAtMs: 0 },
  );
  const specEtag = fleet.object("fleet/claimed/a.json")?.etag ?? '"of the spec"';
  return exited(lease, { result, source: "claimed", specEtag });
}

/** One agent finds what `prepare` left of a dead node, and has time to end it. */
async function foundBy(prepare: (fleet: Fleet) => void, options: NodeOptions = {}) {
  const fleet = new Fleet();
  prepare(fleet);
  const node = fleet.node("node-1", options);
  fleet.at(6 * TTL_MS, () => node.drain());
  await fleet.run();
  assert.equal(node.end, "drained");
  return fleet;
}

const ran = (fleet: Fleet) =>
  fleet.starts.map(({ specId, attempt, spec }) => [
    specId,
    attempt,
    new TextDecoder().decode(spec),
  ]);
const COMPLETED = ["fleet/completed/a.json", "fleet/results/a.json"];

const left: [string, (fleet: Fleet) => void, [string, number, string][], string[]][] = [
  [
    "it had the lease, and the spec is still pending",
    (fleet) => {
      fleet.submit("a", "one");
      putLease(fleet, deadLease());
    },
    [["a", 1, "one"]],
    COMPLETED,
  ],
  [
    "it had copied the spec, and not yet deleted the pending one: it never started",
    (fleet) => {
      fleet.submit("a", "one");
      fleet.put("fleet/claimed/a.json", "one");
      putLease(fleet, deadLease());
    },
    [["a", 1, "one"]],
    COMPLETED,
  ],
  [
    "it had claimed the spec, and may have started it",
    (fleet) => {
      fleet.put("fleet/claimed/a.json", "one");
      putLease(fleet, deadLease());
    },
    [["a", 2, "one"]],
    COMPLETED,
  ],
  [
    "it was the second node that started it",
    (fleet) => {
      fleet.put("fleet/claimed/a.json", "one");
      putLease(fleet, deadLease({ attempt: 2 }));
    },
    [["a", 3, "one"]],
    COMPLETED,
  ],
  [
    "it had claimed the spec, and another one is pending under the same id",
    (fleet) => {
      fleet.put("fleet/claimed/a.json", "one");
      fleet.submit("a", "two");
      putLease(fleet, deadLease());
    },
    [["a", 2, "one"], ["a", 1, "two"]],
    COMPLETED,
  ],
  [
    "it had begun to give the spec back",
    (fleet) => {
      fleet.put("fleet/claimed/a.json", "one");
      putLease(fleet, releasing(deadLease()));
    },
    [["a", 1, "one"]],
    COMPLETED,
  ],
  [
    "it had given the spec back, but for the claimed copy",
    (fleet) => {
      fleet.put("fleet/claimed/a.json", "one");
      fleet.submit("a", "one");
      putLease(fleet, releasing(deadLease()));
    },
    [["a", 1, "one"]],
    COMPLETED,
  ],
  [
    "it had given the spec back, but for the lease",
    (fleet) => {
      fleet.submit("a", "one");
      putLease(fleet, releasing(deadLease()));
    },
    [["a", 1, "one"]],
    COMPLETED,
  ],
  [
    "it could not give the spec back, since another one is pending",
    (fleet) => {
      fleet.put("fleet/claimed/a.json", "one");
      fleet.submit("a", "two");
      putLease(fleet, releasing(deadLease()));
    },
    [["a", 1, "one"], ["a", 1, "two"]],
    COMPLETED,
  ],
  [
    "it had committed the outcome",
    (fleet) => {
      fleet.put("fleet/claimed/a.json", "one");
      putLease(fleet, committed(fleet, 0));
    },
    [],
    COMPLETED,
  ],
  [
    "it had committed a failure",
    (fleet) => {
      fleet.put("fleet/claimed/a.json", "one");
      putLease(fleet, committed(fleet, 3));
    },
    [],
    ["fleet/failed/a.json", "fleet/results/a.json"],
  ],
  [
    "it had filed the spec, but for the claimed copy",
    (fleet) => {
      fleet.put("fleet/claimed/a.json", "one");
      const lease = committed(fleet, 0);
      fleet.put("fleet/completed/a.json", "one", { "cellos-claim": "dead" });
      putLease(fleet, lease);
    },
    [],
    COMPLETED,
  ],
  [
    "it had filed the spec, but for the lease",
    (fleet) => {
      fleet.put("fleet/completed/a.json", "one", { "cellos-claim": "dead" });
      putLease(fleet, committed(fleet, 0));
    },
    [],
    COMPLETED,
  ],
  [
    "it had committed the outcome, and the next spec of this id is pending",
    (fleet) => {
      fleet.put("fleet/claimed/a.json", "one");
      fleet.submit("a", "two");
      putLease(fleet, committed(fleet, 3));
    },
    [["a", 1, "two"]],
    ["fleet/completed/a.json", "fleet/failed/a.json", "fleet/results/a.json"],
  ],
  ["there is nothing but its lease", (fleet) => putLease(fleet, deadLease()), [], []],
  [
    "its lease cannot be read, and the spec is claimed",
    (fleet) => {
      fleet.put("fleet/claimed/a.json", "one");
      fleet.put("fleet/claimed/a.lease", "{");
    },
    [["a", 2, "one"]],
    COMPLETED,
  ],
  [
    "its lease cannot be read, and the spec is pending",
    (fleet) => {
      fleet.submit("a", "one");
      fleet.put("fleet/claimed/a.lease", new Uint8Array(2_000_000));
    },
    [["a", 1, "one"]],
    COMPLETED,
  ],
];

for (const [what, prepare, starts, keys] of left) {
  Deno.test(`a node has died: ${what}`, async () => {
    const fleet = await foundBy(prepare);
    assert.deepEqual(ran(fleet), starts);
    assert.deepEqual(fleet.bucketKeys, keys);
    // Taken over no sooner than a whole lifetime after it was first seen.
    for (const { startedMs } of fleet.starts) assert.ok(startedMs >= TTL_MS, String(startedMs));
    for (const key of keys.filter((key) => !key.includes("results"))) {
      assert.ok(["one", "two"].includes(fleet.text(key)!), key);
    }
  });
}

Deno.test("an outcome that a person took the spec away from is not filed", async () => {
  const fleet = await foundBy((fleet) => putLease(fleet, committed(fleet, 0)));
  assert.deepEqual(fleet.bucketKeys, ["fleet/results/a.json"]);
  assert.equal(fleet.events("spec-moved-by-hand").length, 1);
});

Deno.test("a spec whose nodes die is started as often as allowed, then filed as failed, reason lost", async () => {
  const fleet = new Fleet();
  fleet.submit("a", "one");
  fleet.cell = ({ node }) => {
    // The cell takes its node with it.
    fleet.time.after(1_000, () => fleet.named(node).kill());
    return { durationMs: 600_000 };
  };
  fleet.node("node-1");
  fleet.at(10_000, () => fleet.node("node-2"));
  fleet.at(200_000, () => fleet.node("node-3"));
  fleet.at(400_000, () => fleet.node("node-4"));
  fleet.at(900_000, () => fleet.named("node-4").drain());
  await fleet.run();
  assert.deepEqual(fleet.starts.map(({ node, attempt }) => [node, attempt]), [
    ["node-1", 1],
    ["node-2", 2],
    ["node-3", 3],
  ]);
  assert.deepEqual(fleet.bucketKeys, ["fleet/failed/a.json", "fleet/results/a.json"]);
  const { reason, attempt, attempts, node } = fleet.result("a")!;
  assert.deepEqual([reason, attempt, node], ["lost", 3, "node-4"]);
  assert.deepEqual(attempts.map(({ attempt, node }) => [attempt, node]), [
    [1, "node-1"],
    [2, "node-2"],
  ]);
});

Deno.test("a lease whose holder relies on it for longer than this node would is left alone until then", async () => {
  const startOf = async (ttlMs: number) => {
    const fleet = await foundBy((fleet) => {
      fleet.submit("a", "one");
      putLease(fleet, deadLease({ ttlMs }));
    });
    return fleet.starts.map(({ startedMs }) => startedMs);
  };
  const [usual] = await startOf(TTL_MS);
  const [late] = await startOf(3 * TTL_MS);
  assert.ok(usual >= TTL_MS && usual < 2 * TTL_MS, String(usual));
  assert.ok(late >= 3 * TTL_MS && late < 4 * TTL_MS, String(late));
});

Deno.test("a node that dies in the middle of a cell: the spec is started again within two lifetimes", async () => {
  const fleet = new Fleet();
  fleet.submit("a", "one");
  fleet.cell = ({ attempt }) => ({ durationMs: attempt === 1 ? 600_000 : 1_000 });
  const first = fleet.node("node-1");
  const second = fleet.node("node-2");
  const diesMs = 90_000;
  fleet.at(diesMs, () => fleet.named(fleet.starts[0].node).kill());
  fleet.at(600_000, () => [first, second].forEach((node) => node.drain()));
  await fleet.run();
  assert.deepEqual(fleet.starts.map(({ attempt }) => attempt), [1, 2]);
  assert.ok(fleet.starts[1].startedMs < diesMs + 2 * TTL_MS);
  assert.deepEqual(fleet.bucketKeys, COMPLETED);
});

Deno.test("a node of a pool never takes over another pool's spec, but files what was committed", async () => {
  const cpu = JSON.stringify({ spec: { placement: { poolId: "cpu" } } });
  const fleet = await foundBy((fleet) => {
    fleet.put("fleet/claimed/b.json", cpu);
    putLease(fleet, deadLease({ poolId: "cpu" }, "b"), "b");
    fleet.put("fleet/claimed/a.json", cpu);
    putLease(fleet, { ...committed(fleet, 0), poolId: "cpu" });
  }, { poolId: "gpu" });
  assert.equal(fleet.starts.length, 0);
  assert.deepEqual(fleet.bucketKeys, [
    "fleet/claimed/b.json",
    "fleet/claimed/b.lease",
    ...COMPLETED,
  ]);
  assert.equal(fleet.result("a")?.node, "dead-node");
});

Deno.test("a claimed spec without a lease is never touched, and reported once", async () => {
  const fleet = await foundBy((fleet) => fleet.put("fleet/claimed/a.json", "one"));
  assert.deepEqual(fleet.bucketKeys, ["fleet/claimed/a.json"]);
  assert.equal(fleet.starts.length, 0);
  const touched = fleet.requests.filter(({ key }) => key.startsWith("fleet/claimed/a"));
  assert.deepEqual(touched, []);
  assert.deepEqual(fleet.events("claim-without-lease").map(({ specId }) => specId), ["a"]);
});

Deno.test("a lease copied to another spec's key counts as unreadable, and its own spec is left alone", async () => {
  const fleet = await foundBy((fleet) => {
    fleet.put("fleet/claimed/b.json", "two");
    fleet.put("fleet/claimed/b.lease", encodeLease(deadLease()));
    fleet.put("fleet/claimed/a.json", "one");
  });
  assert.deepEqual(ran(fleet), [["b", 2, "two"]]);
  assert.deepEqual(fleet.bucketKeys, [
    "fleet/claimed/a.json",
    "fleet/completed/b.json",
    "fleet/results/b.json",
  ]);
});

Deno.test("an outage of the bucket for longer than a lease makes no live lease look dead", async () => {
  const fleet = new Fleet();
  fleet.submit("a", "one");
  fleet.cell = () => ({ durationMs: 900_000 });
  fleet.fault = ({ atMs }) => atMs >= 100_000 && atMs < 400_000 ? "lost" : undefined;
  const first = fleet.node("node-1", { fence: "confirmed" });
  let second: typeof first;
  fleet.at(5_000, () => second = fleet.node("node-2"));
  fleet.at(1_500_000, () => [first, second].forEach((node) => node.drain()));
  await fleet.run();
  assert.deepEqual(fleet.starts.map(({ node, attempt }) => [node, attempt]), [["node-1", 1]]);
  assert.deepEqual(fleet.bucketKeys, COMPLETED);
});

Deno.test("a spec submitted again while it runs waits for its turn, and then runs", async () => {
  for (const bytes of ["one", "two"]) {
    const fleet = new Fleet();
    fleet.submit("a", "one");
    fleet.cell = () => ({ durationMs: 30_000 });
    fleet.node("node-1", { once: true, concurrency: 2 });
    fleet.at(10_000, () => fleet.submit("a", bytes));
    await fleet.run();
    assert.deepEqual(ran(fleet), [["a", 1, "one"], ["a", 1, bytes]]);
    const [first, second] = fleet.starts;
    assert.ok(first.endedMs! < second.startedMs);
    assert.deepEqual(fleet.bucketKeys, COMPLETED);
    assert.equal(fleet.text("fleet/completed/a.json"), bytes);
    assert.equal(fleet.result("a")?.earlierRuns.length, 1);
  }
});

Deno.test("a node that stood still for longer than its lease files nothing it no longer holds", async () => {
  const fleet = new Fleet();
  fleet.submit("a", "one");
  fleet.cell = ({ attempt }) => ({ durationMs: attempt === 1 ? 15_000 : 5_000 });
  const first = fleet.node("node-1");
  fleet.at(10_000, () => first.process.freeze());
  let second: typeof first;
  fleet.at(11_000, () => second = fleet.node("node-2"));
  fleet.at(300_000, () => first.process.wake());
  fleet.at(600_000, () => [first, second].forEach((node) => node.drain()));
  await fleet.run();
  assert.deepEqual(fleet.starts.map(({ node, attempt }) => [node, attempt]), [
    ["node-1", 1],
    ["node-2", 2],
  ]);
  assert.deepEqual(fleet.bucketKeys, COMPLETED);
  assert.equal(fleet.result("a")?.node, "node-2");
  assert.equal(fleet.result("a")?.earlierRuns.length, 0);
});

function putMark(fleet: Fleet): void {
  const mark = { schema: CANCEL_SCHEMA, specId: "a", origin: "dead", by: "ann", at: AT } as const;
  fleet.put("fleet/claimed/a.cancel", encodeCancelMark(mark));
}

Deno.test("a claim that was to be cancelled when its node died is filed as cancelled, and never runs", async () => {
  const cases: ((fleet: Fleet) => void)[] = [
    (fleet) => putLease(fleet, deadLease()),
    (fleet) => {
      // It had not got to deleting the pending copy.
      fleet.submit("a", "one");
      putLease(fleet, deadLease());
    },
  ];
  for (const prepare of cases) {
    const fleet = await foundBy((fleet) => {
      prepare(fleet);
      fleet.put("fleet/claimed/a.json", "one");
      putMark(fleet);
    });
    assert.deepEqual(ran(fleet), []);
    assert.deepEqual(fleet.bucketKeys, ["fleet/failed/a.json", "fleet/results/a.json"]);
    assert.equal(fleet.result("a")?.reason, "cancelled");
  }
});

Deno.test("a claim that was being given back is not filed as cancelled and run as well", async () => {
  const fleet = await foundBy((fleet) => {
    fleet.put("fleet/claimed/a.json", "one");
    fleet.submit("a", "one");
    putLease(fleet, releasing(deadLease()));
    putMark(fleet);
  });
  const filed = fleet.bucketKeys.filter((key) => /completed|failed/.test(key));
  assert.equal(filed.length, 1, filed.join(" "));
  assert.equal(ran(fleet).length, filed[0] === "fleet/completed/a.json" ? 1 : 0);
});
