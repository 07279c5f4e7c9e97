/** What the simulation has found so far, each as the shortest run that shows it. */
import assert from "node:assert/strict";
import type { RequestFacts } from "./network_store.ts";
import type { Passage } from "./passage.ts";
import {
  cellsOf,
  NO_REQUEST_FAULTS,
  type PersonAct,
  PLAIN_NODE,
  PLAIN_STORE,
  type Scenario,
} from "./scenario.ts";
import { simulate } from "./simulation.ts";

const TTL_MS = 6_000;

function scenario(changes: {
  readonly store?: Partial<Scenario["store"]>;
  readonly startsAtMs: readonly number[];
  readonly people?: readonly PersonAct[];
  readonly cellMs?: number;
  readonly seed?: number;
}): Scenario {
  return {
    seed: changes.seed ?? 1,
    store: { ...PLAIN_STORE, latencyMs: 20, ...changes.store },
    fleet: {
      ttlMs: TTL_MS,
      killGraceMs: 1_000,
      maxAttempts: 3,
      maxSpecBytes: 400,
      pollIntervalMs: 500,
      heartbeatIntervalMs: 60_000,
    },
    nodes: changes.startsAtMs.map((startsAtMs, index) => ({
      ...PLAIN_NODE,
      name: `node-${index}`,
      startsAtMs,
    })),
    requestFaults: NO_REQUEST_FAULTS,
    incidents: [],
    people: changes.people ?? [],
    cells: cellsOf(changes.cellMs ?? 10),
    faultsEndMs: 60_000,
    leasesHold: true,
  };
}

/** Deals with the first request that matches, and leaves all others alone. */
function once(
  matches: (request: RequestFacts) => boolean,
  passage: Omit<Passage, "fault" | "outlivesHost">,
): { intercept: (request: RequestFacts) => Passage | undefined; struck: () => boolean } {
  let struck = false;
  return {
    intercept: (request) => {
      if (struck || !matches(request)) return undefined;
      struck = true;
      return { fault: "as told", outlivesHost: true, ...passage };
    },
    struck: () => struck,
  };
}

const BROKEN = { kind: "broken", atMs: 15 } as const;
const SUBMIT: PersonAct = { atMs: 0, id: "a", kind: "submit", spec: "{}" };

Deno.test("a probe whose last request is lost does not take a good store for an unsafe one", async () => {
  let deletes = 0;
  const fault = once(
    ({ operation, key }) =>
      operation === "delete" && key.startsWith("fleet/probe/") && ++deletes === 2,
    { effectsAtMs: [], reply: BROKEN },
  );
  const report = await simulate(scenario({ startsAtMs: [0] }), fault);
  assert.ok(fault.struck());
  assert.deepEqual(report.violations, []);
});

Deno.test("a delete refused at its second delivery does not make a store's deletes conditional", async () => {
  const fault = once(
    ({ operation, key }) => operation === "delete" && key.startsWith("fleet/probe/"),
    { effectsAtMs: [5], reply: BROKEN },
  );
  const store = { conditionalDelete: false, deleteOfAbsent: "refused" } as const;
  const report = await simulate(scenario({ startsAtMs: [0], store }), { ...fault, readable: true });
  assert.ok(fault.struck());
  assert.ok(report.trace.some((line) => line.includes(`store-probed {"conditionalDelete":false}`)));
});

Deno.test("a plain delete that was given up is not sent again at what has taken the place", async () => {
  const fault = once(
    ({ operation, key }) => operation === "delete" && key === "fleet/claimed/a.lease",
    { effectsAtMs: [200], reply: BROKEN },
  );
  const report = await simulate(
    scenario({
      store: { conditionalDelete: false },
      startsAtMs: [0, 1_000],
      people: [SUBMIT, { atMs: 1_500, id: "a", kind: "submit", spec: `{"version":2}` }],
      // The second run is under way when the first one's node has waited long enough.
      cellMs: 3_000,
    }),
    fault,
  );
  assert.ok(fault.struck());
  assert.deepEqual(report.violations, []);
  assert.equal(report.cellStarts, 2);
});

Deno.test("a lease that lands late does not look like the one that others saw before", async () => {
  // Where another node's scans fall is what matters.
  for (let startsAtMs = 0; startsAtMs < TTL_MS / 3; startsAtMs += 50) {
    const fault = once(
      ({ operation, key }) => operation === "create" && key === "fleet/claimed/a.lease",
      { effectsAtMs: [1_900], reply: BROKEN },
    );
    const report = await simulate(
      scenario({ startsAtMs: [1_000, startsAtMs], people: [{ ...SUBMIT, atMs: 990 }] }),
      fault,
    );
    assert.ok(fault.struck());
    assert.deepEqual(report.violations, [], `the other node started at ${startsAtMs} ms`);
  }
});

Deno.test("a command's delete that a proxy repeats spares the lease created in between", async () => {
  for (let secondMs = 10; secondMs < 1_000; secondMs += 20) {
    const fault = once(
      ({ operation, key }) => operation === "delete" && key === "fleet/claimed/a.lease",
      { effectsAtMs: [5, secondMs], reply: { kind: "answer", atMs: secondMs + 5 } },
    );
    const report = await simulate(
      scenario({
        startsAtMs: [1_000],
        people: [
          SUBMIT,
          { atMs: 100, id: "a", kind: "command", command: "cancel" },
          { atMs: 300, id: "a", kind: "submit", spec: `{"version":2}` },
        ],
      }),
      fault,
    );
    assert.ok(fault.struck());
    assert.deepEqual(report.violations, [], `repeated after ${secondMs} ms`);
  }
});

Deno.test("a request to cancel does not hit the claim that has followed while it was read", async () => {
  const fault = once(
    ({ operation, key }) => operation === "get" && key === "fleet/claimed/a.cancel",
    {
      effectsAtMs: [5],
      reply: { kind: "answer", atMs: 4_000 },
    },
  );
  const report = await simulate(
    scenario({
      startsAtMs: [0],
      people: [
        SUBMIT,
        { atMs: 500, id: "a", kind: "command", command: "cancel" },
        { atMs: 1_500, id: "a", kind: "submit", spec: `{"version":2}` },
      ],
      cellMs: 3_000,
    }),
    fault,
  );
  assert.ok(fault.struck());
  assert.deepEqual(report.violations, []);
  assert.equal(report.cellStarts, 2);
});

Deno.test("a node whose lease may be gone by its own deletion files nothing more", async () => {
  // How long the node waits before it tries again is what matters.
  for (let seed = 1; seed <= 20; seed++) {
    let deletes = 0;
    const report = await simulate(
      scenario({
        seed,
        startsAtMs: [0, 1_000],
        people: [SUBMIT, { atMs: 1_500, id: "a", kind: "resubmit" }],
        cellMs: 3_000,
      }),
      {
        intercept: ({ operation, key }): Passage | undefined => {
          if (operation !== "delete" || key !== "fleet/claimed/a.lease") return undefined;
          const way = { fault: "as told", outlivesHost: true };
          deletes++;
          if (deletes === 1) return { ...way, effectsAtMs: [200], reply: BROKEN };
          if (deletes === 2) {
            return { ...way, effectsAtMs: [], reply: { kind: "denied", atMs: 10 } };
          }
        },
      },
    );
    assert.ok(deletes >= 1);
    assert.deepEqual(report.violations, [], `seed ${seed}`);
    assert.equal(report.cellStarts, 2);
  }
});
