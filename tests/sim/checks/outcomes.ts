/**
 * Each claim has one outcome: it is committed once, never taken back, true to what the cell did, and
 * whatever is filed is what was committed.
 */
import type { Lease } from "../../../lib/core/lease.ts";
import { claimOfMetadata, decodeResult, type ResultRecord } from "../../../lib/core/result.ts";
import { decodeCancelMark } from "../../../lib/core/cancel_mark.ts";
import type { LedgerEntry } from "../cells.ts";
import type { AuthoredChange } from "../history.ts";
import { type Evidence, fingerprint, keyOf, leaseIn, meaningOf, told } from "./evidence.ts";

interface Committed {
  readonly result: ResultRecord;
  readonly text: string;
  readonly order: number;
}

export class Outcomes {
  readonly #evidence: Evidence;
  readonly #committed = new Map<string, Committed>();
  /** Claims that were asked to be cancelled, by the nonce that they began with. */
  readonly #marked = new Set<string>();

  constructor(evidence: Evidence) {
    this.#evidence = evidence;
    evidence.history.observe((change) => this.#onChange(change));
  }

  /** How many claims came to an outcome. */
  get count(): number {
    return this.#committed.size;
  }

  #onChange(change: AuthoredChange): void {
    if (change.author.kind !== "agent" || change.kind !== "put") return;
    const mark = change.key.endsWith(".cancel") ? decodeCancelMark(change.body) : undefined;
    if (mark !== undefined) this.#marked.add(mark.origin);
    const meaning = meaningOf(this.#evidence.keys, change.key);
    switch (meaning.kind) {
      case "lease":
        return this.#onLease(meaning.id, change);
      case "result":
        return this.#onResult(change);
      case "completed":
      case "failed":
        return this.#onTerminal(meaning.id, meaning.kind, change);
    }
  }

  #onLease(id: string, change: AuthoredChange): void {
    const lease = leaseIn(change.body);
    const before = change.previous === undefined ? undefined : leaseIn(change.previous.body);
    const commit = lease?.commit;
    if (before?.commit !== undefined) {
      const same = commit !== undefined && textOf(commit.result) === textOf(before.commit.result);
      if (!same && !this.#evidence.meddled.has(id)) {
        this.#fail(`${told(change)} takes a committed outcome back`);
      }
    }
    if (lease === undefined || commit === undefined) return;
    const { result } = commit;
    const text = textOf(result);
    const known = this.#committed.get(result.claim);
    if (known !== undefined) {
      if (known.text !== text) this.#fail(`${told(change)} is a second outcome of ${result.claim}`);
      return;
    }
    this.#committed.set(result.claim, { result, text, order: change.order });
    this.#checkTrue(lease, change);
  }

  /** An outcome says what the cell of this claim did, or that there was none. */
  #checkTrue(lease: Lease, change: AuthoredChange): void {
    const { result, source, specEtag } = lease.commit!;
    const cells = this.#evidence.ledger.entries.filter((entry) => entry.claim === result.claim);
    const cell = cells.at(-1);
    if (result.reason === "lost" || result.reason === "spec-too-large") {
      if (cell !== undefined) {
        this.#fail(`${told(change)}: ${result.reason}, but its cell was started`);
      }
      const { maxAttempts, maxSpecBytes } = this.#evidence.scenario.fleet;
      if (result.reason === "lost" && result.attempt < maxAttempts) {
        this.#fail(`${told(change)}: lost after ${result.attempt} attempts`);
      }
      if (result.reason === "spec-too-large" && result.specBytes <= maxSpecBytes) {
        this.#fail(`${told(change)}: ${result.specBytes} bytes are not too many`);
      }
      return;
    }
    if (result.reason === "cancelled") return this.#checkCancelled(lease, cell, change);
    const exit = cell?.exit;
    if (cell === undefined || exit === undefined) {
      this.#fail(`${told(change)} before its cell has ended`);
      return;
    }
    const truth = exit.exitCode === result.exitCode && exit.signal === result.signal &&
      cell.attempt === result.attempt && cell.specId === result.specId &&
      result.node === cell.node.name;
    const completed = exit.exitCode === 0 && result.reason === "exit";
    if (!truth || (result.status === "completed") !== completed) {
      this.#fail(`${told(change)} says what cell ${cell.number} did not do`);
    }
    if (result.reason === "timeout" && cell.signalledMs === undefined) {
      this.#fail(`${told(change)}: timeout, but the cell was never stopped`);
    }
    const object = this.#evidence.history.get(keyOf(this.#evidence.keys, source, lease.specId));
    if (object?.etag === specEtag && fingerprint(object.body) !== fingerprint(cell.spec)) {
      this.#fail(`${told(change)} is about other bytes than its cell was given`);
    }
  }

  #checkCancelled(lease: Lease, cell: LedgerEntry | undefined, change: AuthoredChange): void {
    if (!this.#marked.has(lease.origin) && !lease.nonce.startsWith("op.")) {
      this.#fail(`${told(change)}: cancelled, which nobody asked for`);
    }
    if (cell !== undefined && cell.endedMs === undefined) {
      this.#fail(`${told(change)}: cancelled, but its cell still runs`);
    }
  }

  #onResult(change: AuthoredChange): void {
    const record = decodeResult(change.body);
    const committed = record === undefined ? undefined : this.#committed.get(record.claim);
    if (record === undefined || committed?.text !== textOf(record)) {
      this.#fail(`${told(change)} is not a committed outcome`);
    }
  }

  #onTerminal(id: string, folder: "completed" | "failed", change: AuthoredChange): void {
    const claim = claimOfMetadata(this.#evidence.history.get(change.key)!.metadata);
    const committed = claim === undefined ? undefined : this.#committed.get(claim);
    if (committed === undefined) {
      this.#fail(`${told(change)} for claim ${claim}, which has no outcome`);
      return;
    }
    if (committed.result.status !== folder) {
      this.#fail(`${told(change)}, but the outcome is ${committed.result.status}`);
    }
    const cell = this.#evidence.ledger.entries.findLast((entry) => entry.claim === claim);
    if (cell !== undefined && fingerprint(cell.spec) !== fingerprint(change.body)) {
      this.#fail(`${told(change)} holds other bytes than those that ran`);
    }
    const earlier = change.previous === undefined
      ? undefined
      : this.#committed.get(claimOfMetadata(change.previous.metadata) ?? "");
    const outOfOrder = earlier !== undefined && earlier.order > committed.order;
    if (outOfOrder && !this.#evidence.meddled.has(id)) {
      this.#fail(`${told(change)} puts an earlier outcome in a later one's place`);
    }
  }

  #fail(detail: string): void {
    this.#evidence.violation("outcome", detail);
  }
}

/** What must not differ; the history of earlier runs is added when the record is filed. */
function textOf(result: ResultRecord): string {
  return JSON.stringify({ ...result, earlierRuns: [] });
}
