/**
 * Cells start only where they may: one at a time for each spec, under the lease, in the right pool,
 * with every earlier start counted, and not again without a reason.
 */
import { mayRun, readPlacement } from "../../../lib/core/spec.ts";
import type { LedgerEntry } from "../cells.ts";
import type { AuthoredChange } from "../history.ts";
import { RESUME_TOLERANCE_MS } from "./authority.ts";
import type { SpecCustody } from "./custody.ts";
import { type Evidence, fingerprint, leaseIn, leaseOf, meaningOf } from "./evidence.ts";

export class CellStarts {
  readonly #evidence: Evidence;
  readonly #custody: SpecCustody;
  readonly #lastStart = new Map<string, LedgerEntry>();
  /** Claims that were given back: their start does not count. */
  readonly #released = new Set<string>();

  constructor(evidence: Evidence, custody: SpecCustody) {
    this.#evidence = evidence;
    this.#custody = custody;
    evidence.history.observe((change) => this.#onChange(change));
    evidence.ledger.observe({
      started: (entry) => this.#onStart(entry),
      ended: () => {},
      resumed: (entry) => {
        evidence.time.after(RESUME_TOLERANCE_MS, () => this.#checkAlone(entry));
      },
    });
  }

  #onChange(change: AuthoredChange): void {
    if (change.kind !== "put" || change.author.kind !== "agent") return;
    const meaning = meaningOf(this.#evidence.keys, change.key);
    if (meaning.kind !== "lease") return;
    const lease = leaseIn(change.body);
    // What starts after an outcome is another submission.
    if (lease?.commit !== undefined) this.#lastStart.delete(meaning.id);
    if (lease?.state === "releasing") this.#released.add(lease.nonce);
  }

  #onStart(entry: LedgerEntry): void {
    const { scenario } = this.#evidence;
    if (!this.#evidence.meddled.has(entry.specId)) {
      this.#checkAlone(entry);
      this.#checkLease(entry);
      this.#checkAttempt(entry);
    }
    if (entry.attempt > scenario.fleet.maxAttempts) {
      this.#fail("attempts", entry, `is attempt ${entry.attempt} of ${scenario.fleet.maxAttempts}`);
    }
    if (!mayRun(readPlacement(entry.spec), entry.node.poolId)) {
      this.#fail("placement", entry, `is placed outside ${entry.node.poolId}`);
    }
    if (entry.spec.length > scenario.fleet.maxSpecBytes) {
      this.#fail("bytes", entry, `has a spec of ${entry.spec.length} bytes`);
    }
    this.#lastStart.set(entry.specId, entry);
  }

  #checkAlone(entry: LedgerEntry): void {
    if (entry.endedMs !== undefined || entry.frozen || entry.ranUnattended) return;
    if (this.#evidence.meddled.has(entry.specId)) return;
    const nowMs = this.#evidence.time.nowMs;
    for (const { entry: other } of this.#evidence.ledger.running) {
      if (other === entry || other.specId !== entry.specId || other.frozen) continue;
      const older = other.startedMs < entry.startedMs ? other : entry;
      if (other.ranUnattended || older.node.fence !== "strict") continue;
      if (other.resumedMs > nowMs - RESUME_TOLERANCE_MS) continue;
      this.#fail("two runners", entry, `runs beside cell ${other.number} of ${other.process.name}`);
    }
  }

  #checkLease(entry: LedgerEntry): void {
    const lease = leaseOf(this.#evidence, entry.specId);
    const { history, keys } = this.#evidence;
    if (lease?.nonce !== entry.claim || lease.state !== "claimed") {
      this.#fail("authority", entry, `has no lease: ${lease?.nonce ?? "nobody"} holds it`);
    } else if (lease.attempt !== entry.attempt) {
      this.#fail("attempts", entry, `is attempt ${entry.attempt}, the lease says ${lease.attempt}`);
    }
    const claimed = history.get(keys.claimed(entry.specId));
    if (claimed === undefined || fingerprint(claimed.body) !== fingerprint(entry.spec)) {
      this.#fail("bytes", entry, "runs other bytes than those under claimed/");
    }
  }

  /** With no person's hand in between, the next start counts the one before. */
  #checkAttempt(entry: LedgerEntry): void {
    const before = this.#lastStart.get(entry.specId);
    if (before === undefined || this.#custody.anewMs(entry.specId) > before.startedMs) return;
    const counts = !this.#released.has(before.claim);
    const least = counts ? before.attempt + 1 : before.attempt;
    if (entry.attempt < least) {
      this.#fail("attempts", entry, `is attempt ${entry.attempt} after ${before.attempt}`);
    }
    if (!this.#wasInterrupted(before)) {
      this.#fail(
        "exactly once",
        entry,
        `runs again after cell ${before.number}, which nothing cut off`,
      );
    }
  }

  /** Whether there is a reason on record why that start came to no outcome. */
  #wasInterrupted(entry: LedgerEntry): boolean {
    return entry.signalledMs !== undefined || !entry.process.alive || entry.process.wasFrozen ||
      !this.#evidence.scenario.leasesHold;
  }

  #fail(check: string, entry: LedgerEntry, detail: string): void {
    this.#evidence.violation(
      check,
      `Cell ${entry.number} of ${entry.process.name} for ${entry.specId} ${detail}`,
    );
  }
}
