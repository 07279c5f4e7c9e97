/** What the health checks say of an agent at various times, which are virtual. */
import assert from "node:assert/strict";
import { runAgent } from "../../lib/agent.ts";
import { QueueKeys } from "../../lib/core/keys.ts";
import { leaseTiming } from "../../lib/core/lease_timing.ts";
import { StoreError } from "../../lib/core/store_error.ts";
import type { FleetEvent } from "../../lib/events.ts";
import {
  liveness,
  longestWatchdogMs,
  nodeStatus,
  readiness,
  stateLine,
  watchEventLoop,
} from "../../lib/health.ts";
import type { Cells, Clock, ListPage, ListRequest } from "../../lib/ports.ts";
import { Vitals } from "../../lib/vitals.ts";
import { MemoryStore } from "../sim/memory_store.ts";
import { VirtualTime } from "../sim/virtual_time.ts";

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;

/** Sleeps in virtual time; longer while the process stands still. */
class VirtualClock implements Clock {
  readonly time = new VirtualTime();
  stalledUntilMs = 0;

  now(): number {
    return this.time.nowMs;
  }

  monotonic(): number {
    return this.time.nowMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        const leftMs = this.stalledUntilMs - this.time.nowMs;
        if (leftMs > 0) {
          this.time.after(leftMs, wake);
        } else {
          this.time.noteProductionRan();
          resolve();
        }
      };
      const timer = this.time.after(signal?.aborted ? 0 : ms, wake);
      signal?.addEventListener("abort", () => {
        this.time.cancel(timer);
        wake();
      }, { once: true });
    });
  }

  /** Runs to the last of the looks and returns what each of them saw. */
  async look<Seen>(atMs: readonly number[], see: () => Seen): Promise<Seen[]> {
    const seen: Seen[] = [];
    for (const ms of atMs) this.time.at(ms, () => seen.push(see()));
    this.time.at(Math.max(...atMs), () => this.time.stop());
    await this.time.run();
    return seen;
  }
}

/** A store whose listings of the queue can be made to fail or to hang. */
class TroubledStore extends MemoryStore {
  listing: "works" | "fails" | "hangs" = "works";

  override list(request: ListRequest): Promise<ListPage> {
    if (!request.prefix.includes("pending") || this.listing === "works") return super.list(request);
    if (this.listing === "hangs") return new Promise(() => {});
    return Promise.reject(new StoreError("transient", "Cannot list: the bucket is away"));
  }
}

const NO_CELLS: Cells = {
  check: () => Promise.resolve(),
  start: () => Promise.reject(new Error("There is no spec to run")),
};

class Agent {
  readonly clock = new VirtualClock();
  readonly vitals = new Vitals(this.clock, 1);
  readonly store = new TroubledStore();
  readonly events: FleetEvent[] = [];
  readonly drain = new AbortController();

  start(): void {
    let nonces = 0;
    const context = {
      store: this.store,
      clock: this.clock,
      entropy: { random: () => 0.5, nonce: () => `nonce-${nonces++}` },
      log: { emit: (event: FleetEvent) => void this.events.push(event) },
      keys: new QueueKeys("fleet", ""),
      timing: leaseTiming(2 * MINUTE_MS, 10 * SECOND_MS),
      node: "n1",
      poolId: "",
      maxAttempts: 3,
      maxSpecBytes: 1_000_000,
      vitals: this.vitals,
    };
    const settings = {
      fence: "strict" as const,
      cellTimeoutMs: 0,
      pollIntervalMs: 5 * SECOND_MS,
      exitWhenIdleMs: 0,
      once: false,
      version: "1",
      bucket: "b",
      prefix: "fleet",
      queueName: "",
      heartbeatIntervalMs: 30 * SECOND_MS,
      concurrency: 1,
      drainTimeoutMs: 0,
    };
    const control = { drain: this.drain.signal, interrupt: new AbortController().signal };
    void runAgent(context, NO_CELLS, settings, control);
  }

  verdicts() {
    const signs = this.vitals.signs();
    return { live: liveness(signs), ready: readiness(signs) };
  }

  get lastBeat(): Extract<FleetEvent, { name: "heartbeat" }> {
    return this.events.findLast((event) => event.name === "heartbeat")!;
  }
}

const ALIVE = { healthy: true, reason: "every loop makes progress" };

Deno.test("an idle agent is alive and ready", async () => {
  const agent = new Agent();
  agent.start();
  const seen = await agent.clock.look([MINUTE_MS, 60 * MINUTE_MS], () => agent.verdicts());
  const idle = { live: ALIVE, ready: { healthy: true, reason: "idle" } };
  assert.deepEqual(seen, [idle, idle]);
});

Deno.test("a poll that hangs turns liveness, readiness, status line and heartbeat", async () => {
  const agent = new Agent();
  agent.start();
  agent.clock.time.at(MINUTE_MS, () => agent.store.listing = "hangs");
  const [before, after] = await agent.clock.look([MINUTE_MS, 10 * MINUTE_MS], () => ({
    ...agent.verdicts(),
    line: stateLine(agent.vitals.signs()),
    beat: agent.lastBeat,
  }));
  assert.deepEqual([before.live, before.ready.healthy], [ALIVE, true]);
  const stuck = { healthy: false, reason: "stuck: poll" };
  assert.deepEqual([after.live, after.ready], [stuck, stuck]);
  assert.equal(after.line, "stuck (poll), 0 of 1 slots in use");
  assert.deepEqual([after.beat.state, after.beat.stuckLoops], ["stuck", ["poll"]]);
});

Deno.test("a bucket that is away for an hour makes the agent not ready, but not dead", async () => {
  const agent = new Agent();
  agent.start();
  agent.clock.time.at(MINUTE_MS, () => agent.store.listing = "fails");
  agent.clock.time.at(61 * MINUTE_MS, () => agent.store.listing = "works");
  const looks = [2, 30, 60, 63].map((minutes) => minutes * MINUTE_MS);
  const seen = await agent.clock.look(looks, () => agent.verdicts());
  assert.deepEqual(seen.map(({ live }) => live), [ALIVE, ALIVE, ALIVE, ALIVE]);
  assert.deepEqual(seen.map(({ ready }) => ready.healthy), [false, false, false, true]);
  assert.match(seen[1].ready.reason, /^backing off: the bucket failed \d+ times in a row$/);
});

Deno.test("an agent is not ready before it knows the bucket, nor once it drains", async () => {
  const agent = new Agent();
  const starting = agent.verdicts();
  agent.start();
  agent.clock.time.at(MINUTE_MS, () => {
    agent.clock.time.noteProductionRan();
    agent.drain.abort("SIGTERM received");
  });
  const [drained] = await agent.clock.look([2 * MINUTE_MS], () => agent.verdicts());
  assert.deepEqual([starting.live, drained.live], [ALIVE, ALIVE]);
  assert.deepEqual([starting.ready, drained.ready], [
    { healthy: false, reason: "starting: the bucket has not been proven usable yet" },
    { healthy: false, reason: "draining: no new work is accepted" },
  ]);
});

Deno.test("a supervisor that cannot be started makes the agent not ready", () => {
  const vitals = new Vitals(new VirtualClock(), 1);
  vitals.started = true;
  vitals.supervisorFailures = 1;
  vitals.bucketFailures.set("poll", 2);
  assert.equal(
    readiness(vitals.signs()).reason,
    "backing off: the bucket failed 2 times in a row, the supervisor could not be started once",
  );
});

Deno.test("a process that stood still is seen to have, until it has kept time again", async () => {
  const { clock, vitals } = new Agent();
  // Scheduled before the pulse's timers, so that the first look after the standstill comes first.
  clock.time.at(9_900, () => clock.stalledUntilMs = 18_000);
  const seen = clock.look([9_000, 18_000, 18_500, 19_500], () => liveness(vitals.signs()));
  void watchEventLoop(clock, vitals, new AbortController().signal);
  const stuck = { healthy: false, reason: "stuck: event loop" };
  assert.deepEqual(await seen, [ALIVE, stuck, stuck, ALIVE]);
});

Deno.test("a short standstill is taken for load", async () => {
  const { clock, vitals } = new Agent();
  clock.time.at(9_900, () => clock.stalledUntilMs = 13_000);
  const seen = clock.look([13_000, 13_500], () => liveness(vitals.signs()));
  void watchEventLoop(clock, vitals, new AbortController().signal);
  assert.deepEqual(await seen, [ALIVE, ALIVE]);
});

Deno.test("the status names what is in hand, and for how long it can be relied on", () => {
  const clock = new VirtualClock();
  const vitals = new Vitals(clock, 2);
  vitals.claims.set("team/a", {
    lease: { nonce: "nonce-1", attempt: 2, claimedAt: "2026-03-01T12:00:00.000Z" },
    trustEndsMs: 900.4,
  });
  const identity = { node: "n1", version: "0.6.0 (abc)", queueName: "q", poolId: "gpu" };
  const status = nodeStatus(identity, vitals, clock);
  assert.deepEqual(status.specs, [{
    specId: "team/a",
    attempt: 2,
    claim: "nonce-1",
    claimedAt: "2026-03-01T12:00:00.000Z",
    leaseTrustLeftMs: 900,
  }]);
  assert.deepEqual([status.node, status.queueName, status.slots], ["n1", "q", 2]);
});

Deno.test("the longest watchdog leaves time for the cells to end before a renewed lease runs out", () => {
  // Trusted for 114 s, of which up to 40 s may have passed at the freeze, and 10 s are the grace.
  assert.equal(longestWatchdogMs(leaseTiming(2 * MINUTE_MS, 10 * SECOND_MS)), 64 * SECOND_MS);
});
