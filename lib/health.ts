/**
 * What the outside is told of the agent's health: whether it is alive (else: kill it), whether it is
 * ready (else: it takes no work right now, and need not be killed for it), and what it has in hand.
 */
import type { LeaseTiming } from "./core/lease_timing.ts";
import { trustEndsMs } from "./core/lease_timing.ts";
import type { Clock } from "./ports.ts";
import type { Vitals, VitalSigns } from "./vitals.ts";

/** One yes or no, with the reason for a person. */
export interface HealthVerdict {
  readonly healthy: boolean;
  readonly reason: string;
}

/** Alive: every loop came round within its bound. A bucket that is down is no reason to die. */
export function liveness({ stuckLoops }: VitalSigns): HealthVerdict {
  return stuckLoops.length === 0
    ? { healthy: true, reason: "every loop makes progress" }
    : { healthy: false, reason: `stuck: ${stuckLoops.join(", ")}` };
}

/** Ready: would take a spec now, or as soon as a slot is free. */
export function readiness(signs: VitalSigns): HealthVerdict {
  switch (signs.state) {
    case "idle":
    case "busy":
      return { healthy: true, reason: signs.state };
    case "starting":
      return { healthy: false, reason: "starting: the bucket has not been proven usable yet" };
    case "draining":
      return { healthy: false, reason: "draining: no new work is accepted" };
    case "stuck":
      return { healthy: false, reason: liveness(signs).reason };
    case "backing-off":
      return { healthy: false, reason: `backing off: ${backingOffFrom(signs)}` };
  }
}

function backingOffFrom({ bucketFailures, supervisorFailures }: VitalSigns): string {
  const reasons: string[] = [];
  if (bucketFailures > 0) reasons.push(`the bucket failed ${times(bucketFailures)}`);
  if (supervisorFailures > 0) {
    reasons.push(`the supervisor could not be started ${times(supervisorFailures)}`);
  }
  return reasons.join(", ");
}

function times(count: number): string {
  return count === 1 ? "once" : `${count} times in a row`;
}

/** The facts of a node that do not change while it runs. */
export interface NodeIdentity {
  readonly node: string;
  readonly version: string;
  readonly queueName: string;
  readonly poolId: string;
}

/** The agent's state and what it has in hand, as plain JSON. Names of nodes and specs, no settings. */
export function nodeStatus(identity: NodeIdentity, vitals: Vitals, clock: Clock) {
  const nowMs = clock.monotonic();
  return {
    ...identity,
    ...vitals.signs(),
    specs: [...vitals.claims].map(([specId, { lease, trustEndsMs }]) => ({
      specId,
      attempt: lease.attempt,
      claim: lease.nonce,
      claimedAt: lease.claimedAt,
      leaseTrustLeftMs: Math.round(trustEndsMs - nowMs),
    })),
  };
}

/** The state in a few words, for a service manager's status line. */
export function stateLine({ state, inFlight, slots, stuckLoops }: VitalSigns): string {
  const what = state === "stuck" ? `stuck (${stuckLoops.join(", ")})` : state;
  return `${what}, ${inFlight} of ${slots} slots in use`;
}

const PULSE_EVERY_MS = 1_000;
/** Longest standstill that is taken for ordinary load. */
const STANDSTILL_MS = 5_000;

/**
 * Watches the event loop itself, as one more loop of the vital signs, until `stop`. A process that
 * stood still (blocked, or stopped and continued) counts as stuck until it has kept time for one
 * pulse: so a check that had to wait through the standstill sees it, whichever of the two is first.
 */
export async function watchEventLoop(
  clock: Clock,
  vitals: Vitals,
  stop: AbortSignal,
): Promise<void> {
  const loop = "event loop";
  let beatMs = clock.monotonic();
  vitals.expect(loop, PULSE_EVERY_MS + STANDSTILL_MS);
  while (!stop.aborted) {
    await clock.sleep(PULSE_EVERY_MS, stop);
    const lateMs = clock.monotonic() - beatMs - PULSE_EVERY_MS;
    beatMs += lateMs + PULSE_EVERY_MS;
    if (lateMs < STANDSTILL_MS) vitals.expect(loop, PULSE_EVERY_MS + STANDSTILL_MS);
  }
  vitals.rest(loop);
}

/**
 * The longest watchdog that ends a frozen agent, and its cells after the kill grace, while nobody else
 * can hold its claims. It counts on leases being renewed on time up to the moment of the freeze.
 */
export function longestWatchdogMs(timing: LeaseTiming): number {
  return Math.floor(trustEndsMs(timing, 0) - timing.renewEveryMs - timing.killGraceMs);
}
