import { backoffMs } from "./core/backoff.ts";
import {
  type Commit,
  compareLease,
  encodeLease,
  exited,
  type Lease,
  renewed,
} from "./core/lease.ts";
import { fenceAtMs, trustEndsMs, trustForWriteMs } from "./core/lease_timing.ts";
import { StoreError } from "./core/store_error.ts";
import { type ClaimContext, noteUnknown } from "./claim_context.ts";
import type { GetResult, Metadata, ObjectHead, UnknownOutcome } from "./ports.ts";
import { lookAtLease } from "./read_lease.ts";

/** The claim is not, or no longer, this node's to act on: stop, and touch nothing more of it. */
export class ClaimLost extends Error {
  override name = "ClaimLost";
}

const LEASE_WRITE_TRIES = 3;
const RETRY_BASE_MS = 200;
const RETRY_MAX_MS = 10_000;

/**
 * A lease this node holds, or held: its writes, one at a time, and the writes that are made under
 * it. Methods reject with `ClaimLost` when the claim turns out to be another's (or the process
 * gives up), and with a permanent `StoreError` when the store will never do what is asked.
 */
export class HeldLease {
  readonly #context: ClaimContext;
  #lease: Lease;
  #etag: string;
  #writeStartedMs: number;
  /** Of the last body sent, stored or not: no two bodies of a claim share one. */
  #sequence: number;
  #doubt = "";
  #turn: Promise<unknown> = Promise.resolve();
  #lost = new AbortController();

  constructor(context: ClaimContext, lease: Lease, etag: string, writeStartedMs: number) {
    this.#context = context;
    this.#lease = lease;
    this.#sequence = lease.sequence;
    this.#etag = etag;
    this.#writeStartedMs = writeStartedMs;
  }

  get id(): string {
    return this.#lease.specId;
  }

  get lease(): Lease {
    return this.#lease;
  }

  /** Aborted once another owner (or nobody's lease) was seen in place of this one. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Why the last write of the lease is not known to be stored, for the log. */
  get doubt(): string {
    return this.#doubt;
  }

  /** When the write that last renewed the lease was started, in monotonic milliseconds. */
  get renewedMs(): number {
    return this.#writeStartedMs;
  }

  /** When killing the cell has to start, in monotonic milliseconds. */
  get fenceAtMs(): number {
    return fenceAtMs(this.#context.timing, this.#writeStartedMs);
  }

  /** When the lease can no longer be relied on, in monotonic milliseconds. */
  get trustEndsMs(): number {
    return trustEndsMs(this.#context.timing, this.#writeStartedMs);
  }

  /** Whether the lease can be relied on for another `forMs`. */
  trusted(forMs: number): boolean {
    return !this.#lost.signal.aborted &&
      this.#context.clock.monotonic() + forMs <= this.trustEndsMs;
  }

  /** Renews the lease once. */
  renew(): Promise<"stored" | "lost" | "unknown"> {
    return this.#write((lease) => lease);
  }

  /**
   * Commits an outcome, trying until the store has said yes or no. Resolves when it is stored;
   * rejects with `ClaimLost` when the claim was another's by then, and nothing may be filed.
   */
  commit(commit: Commit): Promise<void> {
    return this.change((lease) => exited(lease, commit));
  }

  /**
   * Changes the lease, trying until the store has said yes or no; also when access is denied, since
   * an outcome must outlast a policy that is put right again.
   */
  async change(change: (lease: Lease) => Lease): Promise<void> {
    // After an outage of less than half a lifetime, of which others take no notice, a lease that was
    // due for renewal has a sixth left: enough for this wait, and for the request.
    const maxMs = Math.min(RETRY_MAX_MS, this.#context.timing.ttlMs / 12);
    for (let failures = 1;; failures++) {
      let cause: string;
      try {
        const written = await this.#write(change);
        if (written === "stored") return;
        if (written === "lost") this.#assertOngoing();
        cause = this.#doubt;
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        cause = error.message;
      }
      await this.#pause(failures, "change the lease", cause, maxMs);
    }
  }

  /** Comes back once the lease can be relied on for another `forMs`, renewing it where needed. */
  async ensureTrust(forMs: number): Promise<void> {
    this.#assertOngoing();
    while (!this.trusted(forMs)) await this.change((lease) => lease);
  }

  /** Creates an object under the claim. `exists`: the key was taken, perhaps by an earlier try. */
  async createObject(
    key: string,
    body: Uint8Array,
    metadata: Metadata,
  ): Promise<{ outcome: "stored"; etag: string } | { outcome: "exists" }> {
    const result = await this.#guarded(
      `create ${key}`,
      (options) => this.#context.store.create(key, body, metadata, options),
    );
    return result.outcome === "stored" ? result : { outcome: "exists" };
  }

  /** Replaces an object under the claim. `refused`: it is not the one of this ETag. */
  replaceObject(
    key: string,
    etag: string,
    body: Uint8Array,
    metadata: Metadata,
  ): Promise<{ outcome: "stored" } | { outcome: "refused" }> {
    return this.#guarded(
      `replace ${key}`,
      (options) => this.#context.store.replace(key, etag, body, metadata, options),
    );
  }

  /** Copies an object under the claim. `refused`: the source is not the one of this ETag. */
  copyObject(
    from: string,
    fromEtag: string,
    to: string,
    metadata: Metadata,
  ): Promise<{ outcome: "stored" } | { outcome: "refused" }> {
    return this.#guarded(
      `copy ${from}`,
      (options) => this.#context.store.copy(from, fromEtag, to, metadata, options),
    );
  }

  /**
   * Deletes an object if it still has the ETag. `kept`: it is another one by now. Where the store
   * does not honour conditional deletes, the object is looked at first, and the deletion rests on
   * the lease alone.
   */
  deleteObject(key: string, etag: string): Promise<"gone" | "kept"> {
    return this.#delete(key, () => etag);
  }

  /**
   * Gives the lease up by deleting it. The last act of a claim; `kept` means it was not ours, or no
   * longer is: after a try whose reply was lost there may be nothing left to renew.
   */
  async removeLease(): Promise<"gone" | "kept"> {
    try {
      // Every request may renew the lease first, so its ETag is asked for when the request is sent.
      // From then on it may be gone, and the id another's, whatever the answer is: there is no trust
      // left to do anything more, until a renewal has shown that the lease is still there.
      return await this.#delete(
        this.#context.keys.lease(this.id),
        () => this.#etag,
        () => this.#writeStartedMs = -Infinity,
      );
    } catch (error) {
      if (error instanceof ClaimLost && this.#lost.signal.aborted) return "kept";
      throw error;
    }
  }

  async #delete(
    key: string,
    etag: () => string,
    beforeSending = () => {},
  ): Promise<"gone" | "kept"> {
    const { store, conditionalDelete } = this.#context;
    for (let failures = 1;; failures++) {
      if (!conditionalDelete) {
        // Before each try: the one before may have landed, and the key be somebody else's by now.
        const head = await this.headObject(key);
        if (head === undefined) return "gone";
        if (head.etag !== etag()) return "kept";
      }
      const result = await this.#attempt(
        failures,
        `delete ${key}`,
        (options) => {
          beforeSending();
          // The condition goes along in any case: it costs nothing where it is ignored.
          return store.delete(key, etag(), options);
        },
      );
      if (result === undefined) continue;
      if (result.outcome === "deleted") return "gone";
      // Some stores refuse, rather than confirm, when the object is absent.
      const head = await this.headObject(key);
      if (head === undefined) return "gone";
      if (head.etag !== etag()) return "kept";
    }
  }

  /** Reads an object, trying until the store answers. */
  readObject(key: string, maxBytes: number): Promise<GetResult> {
    const { store, timing } = this.#context;
    return this.#persist(
      `get ${key}`,
      () => store.get(key, maxBytes, { timeoutMs: timing.requestTimeoutMs }),
    );
  }

  /** Reads an object's head, trying until the store answers. */
  headObject(key: string): Promise<ObjectHead | undefined> {
    const { store, timing } = this.#context;
    return this.#persist(
      `head ${key}`,
      () => store.head(key, { timeoutMs: timing.requestTimeoutMs }),
    );
  }

  /** Repeats a write under the claim until its outcome is known. */
  async #guarded<Known extends { outcome: string }>(
    action: string,
    write: (options: { timeoutMs: number }) => Promise<Known | UnknownOutcome>,
  ): Promise<Exclude<Known, UnknownOutcome>> {
    for (let failures = 1;; failures++) {
      const result = await this.#attempt(failures, action, write);
      if (result !== undefined) return result;
    }
  }

  /**
   * Sends one write under the claim. Undefined when its outcome stayed unknown; by then the store is
   * done with it.
   */
  async #attempt<Known extends { outcome: string }>(
    failures: number,
    action: string,
    write: (options: { timeoutMs: number }) => Promise<Known | UnknownOutcome>,
  ): Promise<Exclude<Known, UnknownOutcome> | undefined> {
    const { timing, clock, giveUp } = this.#context;
    await this.ensureTrust(trustForWriteMs(timing));
    const result = await write({ timeoutMs: timing.requestTimeoutMs });
    if (result.outcome !== "unknown") return result as Exclude<Known, UnknownOutcome>;
    const unknown = result as UnknownOutcome;
    noteUnknown(this.#context, unknown);
    if (unknown.answered) {
      await this.#pause(failures, action, unknown.cause);
    } else {
      this.#report(action, failures, timing.landingMs, unknown.cause);
      await clock.sleep(timing.landingMs, giveUp);
    }
    return undefined;
  }

  async #persist<T>(action: string, request: () => Promise<T>): Promise<T> {
    for (let failures = 1;; failures++) {
      this.#assertOngoing();
      try {
        return await request();
      } catch (error) {
        if (!(error instanceof StoreError) || error.kind === "permanent") throw error;
        if (error.kind === "throttled") this.#context.throttled();
        await this.#pause(failures, action, error.message);
      }
    }
  }

  /** One lease write after the other: a renewal and a commit must not refuse each other. */
  #write(change: (lease: Lease) => Lease): Promise<"stored" | "lost" | "unknown"> {
    const turn = this.#turn.then(() => this.#writeNow(change));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #writeNow(change: (lease: Lease) => Lease): Promise<"stored" | "lost" | "unknown"> {
    const { store, clock, keys, timing } = this.#context;
    this.#assertOngoing();
    const at = new Date(clock.now()).toISOString();
    const next = renewed(change(this.#lease), this.#sequence, at);
    this.#sequence = next.sequence;
    const body = encodeLease(next);
    const firstStartedMs = clock.monotonic();
    for (let tries = 1; tries <= LEASE_WRITE_TRIES; tries++) {
      const startedMs = clock.monotonic();
      const timeoutMs = timing.requestTimeoutMs;
      const result = await store.replace(keys.lease(this.id), this.#etag, body, {}, { timeoutMs });
      if (result.outcome === "stored") return this.#adopt(next, result.etag, startedMs);
      this.#doubt = result.outcome === "unknown" ? result.cause : "the store refused the write";
      noteUnknown(this.#context, result);
      const found = await lookAtLease(this.#context, this.id);
      if (found === "failed") return "unknown";
      switch (compareLease(found, next)) {
        case "this-write":
          return this.#adopt(next, found!.etag, firstStartedMs);
        case "own-claim":
          // An earlier write of this claim came to light: go on from there.
          this.#etag = found!.etag;
          break;
        case "someone-else":
        case "absent":
          this.#lost.abort();
          return "lost";
      }
    }
    return "unknown";
  }

  #adopt(lease: Lease, etag: string, writeStartedMs: number): "stored" {
    this.#lease = lease;
    this.#etag = etag;
    this.#writeStartedMs = writeStartedMs;
    return "stored";
  }

  #assertOngoing(): void {
    if (this.#lost.signal.aborted) {
      throw new ClaimLost(`The lease of ${this.id} is held by another node`);
    }
    if (this.#context.giveUp.aborted) {
      throw new ClaimLost(`The agent is ending: ${this.id} is left to its lease`);
    }
  }

  async #pause(
    failures: number,
    action: string,
    cause: string,
    maxMs = RETRY_MAX_MS,
  ): Promise<void> {
    const { clock, entropy, giveUp } = this.#context;
    const waitMs = backoffMs(failures, RETRY_BASE_MS, maxMs, entropy.random());
    this.#report(action, failures, waitMs, cause);
    await clock.sleep(waitMs, giveUp);
  }

  #report(action: string, failures: number, retryInMs: number, cause: string): void {
    this.#context.log.emit({
      name: "claim-request-failed",
      specId: this.id,
      action,
      failures,
      retryInMs: Math.round(retryInMs),
      cause,
    });
  }
}
