/**
 * Fills free slots: with dead claims first, then with the oldest pending specs. Polls the queue when
 * there is nothing at hand, and waits only when the queue has nothing for this node.
 */
import { backoffMs, jitteredMs } from "./core/backoff.ts";
import type { Preference } from "./core/shares.ts";
import { StoreError } from "./core/store_error.ts";
import { SupervisorError } from "./core/supervisor_error.ts";
import { claimPending, type ClaimResult } from "./claim.ts";
import type { Cells } from "./ports.ts";
import { PendingQueue } from "./pending_queue.ts";
import type { DeadClaim, Slots } from "./slots.ts";
import type { Vitals } from "./vitals.ts";

/** How this node looks for work. All times in milliseconds. */
export interface DispatchSettings {
  readonly pollIntervalMs: number;
  /** After so long without work the agent ends; 0 for never. */
  readonly exitWhenIdleMs: number;
  /** End as soon as a whole round of the queue has nothing for this node. */
  readonly once: boolean;
}

/** Longest time from one sign of life to the next, beyond the waits that are announced. */
const LOOP_BOUND_MS = 120_000;
const BACKOFF_BASE_MS = 500;
const BACKOFF_MAX_MS = 60_000;
/** A listing is used for so many times as long as it took, so that polling is no great part of it. */
const LISTING_USE = 20;
const LISTING_USE_MAX_MS = 30_000;
/** Where nodes compete for the last specs: about what a claim takes, and what nobody notices. */
const RACE_BACKOFF_BASE_MS = 200;
const RACE_BACKOFF_MAX_MS = 1_000;

export class Dispatcher {
  readonly #slots: Slots;
  readonly #cells: Cells;
  readonly #settings: DispatchSettings;
  readonly #vitals: Vitals;
  readonly #drain: AbortSignal;
  readonly #queue: PendingQueue;
  #dead: DeadClaim[] = [];
  /** What is at hand is used until then; others work on the same queue. */
  #staleAtMs = -Infinity;
  /** The last poll gave nothing that could be taken. */
  #exhausted = false;
  /** The last poll led to something, so that another one may. */
  #worthPolling = false;
  #takenInRound = false;
  #roundComplete = false;
  #failures = 0;
  #racesLost = 0;

  constructor(
    slots: Slots,
    cells: Cells,
    settings: DispatchSettings,
    drain: AbortSignal,
  ) {
    this.#slots = slots;
    this.#cells = cells;
    this.#settings = settings;
    this.#vitals = slots.context.vitals;
    this.#drain = drain;
    this.#queue = new PendingQueue(slots.context);
    drain.addEventListener("abort", () => slots.changed.wake(), { once: true });
  }

  /** Replaces the dead claims that wait for a slot. */
  offer(dead: DeadClaim[]): void {
    this.#dead = dead;
    if (dead.length > 0) this.#slots.changed.wake();
  }

  /**
   * Fills slots until told to drain (resolves to undefined), or until there has been no work for as
   * long as the settings say (resolves to the reason). Cells may still be running then.
   */
  async run(): Promise<string | undefined> {
    while (!this.#drain.aborted) {
      if (!this.#slots.free) {
        this.#vitals.rest("poll");
        await this.#slots.changed.wait(this.#slots.context.clock, LOOP_BOUND_MS);
      } else if (this.#slots.pausedMs > 0) {
        await this.#rest(this.#slots.pausedMs);
      } else {
        const ready = await this.#supervisorReady();
        if (this.#drain.aborted) break;
        const reason = ready ? await this.#step() : this.#hopelessReason();
        if (reason !== undefined) return reason;
      }
    }
    this.#vitals.rest("poll");
    return undefined;
  }

  /** With a free slot and nothing in the way: starts one claim, or polls, or waits. */
  async #step(): Promise<string | undefined> {
    this.#vitals.expect("poll", LOOP_BOUND_MS);
    if (this.#startTakeover() || await this.#startCandidate()) return undefined;
    // Either may have come while specs were being read, when there was no wait to end.
    if (this.#drain.aborted || this.#dead.length > 0) return undefined;
    if (!this.#exhausted) {
      await this.#poll();
      return undefined;
    }
    const reason = this.#idleReason();
    if (reason !== undefined) {
      this.#vitals.rest("poll");
      return reason;
    }
    await this.#rest(this.#idleWaitMs());
    this.#exhausted = false;
    this.#staleAtMs = -Infinity;
    return undefined;
  }

  #startTakeover(): boolean {
    const dead = this.#dead.shift();
    if (dead === undefined) return false;
    if (!this.#slots.has(dead.id)) this.#slots.startTakeover(dead);
    return true;
  }

  async #startCandidate(): Promise<boolean> {
    if (this.#slots.context.clock.monotonic() >= this.#staleAtMs) {
      this.#queue.clear();
      return false;
    }
    try {
      const next = await this.#queue.take((id) => this.#slots.has(id));
      if (next === undefined) {
        this.#exhausted = !this.#worthPolling;
        return false;
      }
      if (next === "contested") this.#backOff();
      else if (!this.#drain.aborted) this.#claim(next);
      return true;
    } catch (error) {
      this.#bucketFailed(error);
      return true;
    }
  }

  #claim(preference: Preference): void {
    const { context } = this.#slots;
    const { id: specId } = preference.candidate;
    this.#worthPolling = this.#takenInRound = true;
    context.log.emit({ name: "claim-started", specId });
    this.#slots.start(
      specId,
      () => claimPending(context, specId),
      (result) => this.#noteResult(preference, result),
    );
  }

  #noteResult({ candidate, own }: Preference, result: ClaimResult): void {
    const { log } = this.#slots.context;
    const specId = candidate.id;
    switch (result.kind) {
      case "held":
        log.emit({ name: "claim-refused", specId });
        if (!own) this.#backOff();
        return this.#queue.held(candidate, this.#settings.pollIntervalMs);
      case "unknown":
        log.emit({ name: "claim-unknown", specId });
        return this.#queue.held(candidate, this.#settings.pollIntervalMs);
      case "gone":
      case "foreign":
        log.emit({ name: "claim-unneeded", specId, cause: result.kind });
        if (!own) this.#backOff();
        return this.#queue.gone(candidate);
      default:
        this.#racesLost = 0;
        this.#queue.claimed(candidate);
    }
  }

  /**
   * Leaves what is left to the nodes that are nearer to it, for a moment. There are more nodes than
   * specs by now, so nothing waits that could be running.
   */
  #backOff(): void {
    const { pollIntervalMs } = this.#settings;
    const maxMs = Math.min(RACE_BACKOFF_MAX_MS, pollIntervalMs);
    const random = this.#slots.context.entropy.random();
    this.#slots.pause(backoffMs(++this.#racesLost, RACE_BACKOFF_BASE_MS, maxMs, random));
    this.#worthPolling = true;
  }

  async #poll(): Promise<void> {
    const { clock, log } = this.#slots.context;
    if (this.#queue.atRoundStart) this.#takenInRound = false;
    try {
      const summary = await this.#queue.poll(() => this.#vitals.expect("poll", LOOP_BOUND_MS));
      // From its end: a listing slower than the interval would be stale before its first candidate.
      const useMs = Math.min(LISTING_USE * summary.durationMs, LISTING_USE_MAX_MS);
      this.#staleAtMs = clock.monotonic() + Math.max(this.#settings.pollIntervalMs, useMs);
      this.#worthPolling = false;
      this.#roundComplete = summary.roundComplete;
      this.#vitals.polled();
      this.#bucketWorked();
      log.emit({ name: "poll-finished", ...summary });
    } catch (error) {
      this.#bucketFailed(error);
    }
  }

  /** Why the agent should end now, when its settings say so. */
  #idleReason(): string | undefined {
    const { once, exitWhenIdleMs } = this.#settings;
    if (this.#slots.unsettled > 0) return undefined;
    if (once && this.#roundComplete && !this.#takenInRound) return "queue is empty (--once)";
    return exitWhenIdleMs > 0 && this.#idleMs() >= exitWhenIdleMs
      ? `no work for ${exitWhenIdleMs} ms`
      : undefined;
  }

  /** Without a supervisor there is no use in waiting, for an agent that is to end by itself. */
  #hopelessReason(): string | undefined {
    if (!this.#settings.once || this.#slots.unsettled > 0) return undefined;
    this.#vitals.rest("poll");
    return "supervisor cannot be started (--once)";
  }

  #idleMs(): number {
    return this.#slots.context.clock.monotonic() - this.#slots.changedMs;
  }

  #idleWaitMs(): number {
    const { once, exitWhenIdleMs, pollIntervalMs } = this.#settings;
    const idle = this.#slots.unsettled === 0;
    if (once && idle) return 0;
    const intervalMs = jitteredMs(pollIntervalMs, this.#slots.context.entropy.random());
    return exitWhenIdleMs > 0 && idle
      ? Math.min(intervalMs, Math.max(0, exitWhenIdleMs - this.#idleMs()))
      : intervalMs;
  }

  /** After the supervisor could not be started: whether it is there now, without claiming a spec. */
  async #supervisorReady(): Promise<boolean> {
    if (this.#vitals.supervisorFailures === 0) return true;
    this.#vitals.expect("poll", LOOP_BOUND_MS);
    try {
      await this.#cells.check();
      return true;
    } catch (error) {
      if (!(error instanceof SupervisorError)) throw error;
      this.#slots.supervisorFailed(error);
      return false;
    }
  }

  async #rest(ms: number): Promise<void> {
    this.#vitals.expect("poll", ms + LOOP_BOUND_MS);
    await this.#slots.changed.wait(this.#slots.context.clock, ms);
  }

  #bucketFailed(error: unknown): void {
    if (!(error instanceof StoreError)) throw error;
    const { entropy, log } = this.#slots.context;
    const failures = ++this.#failures;
    const retryInMs = backoffMs(failures, BACKOFF_BASE_MS, BACKOFF_MAX_MS, entropy.random());
    this.#vitals.bucketFailures.set("poll", failures);
    log.emit({ name: "bucket-failing", action: "poll", failures, retryInMs, cause: error.message });
    this.#slots.pause(retryInMs);
  }

  #bucketWorked(): void {
    this.#slots.storeRecovered();
    if (this.#failures === 0) return;
    const { log } = this.#slots.context;
    log.emit({ name: "bucket-recovered", action: "poll", failures: this.#failures });
    this.#failures = 0;
    this.#vitals.bucketFailures.set("poll", 0);
  }
}
