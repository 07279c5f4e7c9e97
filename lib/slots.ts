/**
 * The slots of a node: what is being worked on here, and what came of it. A slot takes one claim
 * from its first request to the committed outcome; the filing goes on without it.
 */
import { backoffMs } from "./core/backoff.ts";
import type { Lease } from "./core/lease.ts";
import { StoreError } from "./core/store_error.ts";
import type { SupervisorError } from "./core/supervisor_error.ts";
import type { CellSettings } from "./cell.ts";
import { type ClaimedSpec, type ClaimResult, takeOver, type TakeoverResult } from "./claim.ts";
import type { ClaimContext } from "./claim_context.ts";
import type { FoundLease } from "./read_lease.ts";
import { ClaimLost, type HeldLease } from "./held_lease.ts";
import type { TakeoverStep } from "./events.ts";
import type { Cells } from "./ports.ts";
import { Wakeup } from "./wakeup.ts";
import { fileToTheEnd, giveBack, settleTooLarge, settleUnrun, work, type WorkEnd } from "./work.ts";

const BACKOFF_BASE_MS = 500;
const BACKOFF_MAX_MS = 60_000;

/** A dead claim, as it was last read. */
export interface DeadClaim {
  readonly id: string;
  readonly found: FoundLease;
}

export class Slots {
  readonly #context: ClaimContext;
  readonly #cells: Cells;
  readonly #settings: CellSettings & { readonly concurrency: number };
  readonly #drain: AbortSignal;
  readonly #interrupt: AbortSignal;
  readonly #inUse = new Set<string>();
  readonly #filings = new Set<string>();
  readonly #running = new Map<string, { held: HeldLease; cancel: AbortController }>();
  readonly #fault = Promise.withResolvers<never>();
  #pausedUntilMs = 0;
  #throttles = 0;
  #changedMs: number;
  /** Woken whenever a slot or a filing ends. */
  readonly changed = new Wakeup();

  constructor(
    context: Omit<ClaimContext, "throttled">,
    cells: Cells,
    settings: CellSettings & { readonly concurrency: number },
    drain: AbortSignal,
    interrupt: AbortSignal,
  ) {
    this.#context = { ...context, throttled: () => this.#slowDown() };
    this.#cells = cells;
    this.#settings = settings;
    this.#drain = drain;
    this.#interrupt = interrupt;
    this.#changedMs = context.clock.monotonic();
    // Watched by whoever runs the loops; without a loop there is no slot either.
    this.#fault.promise.catch(() => {});
  }

  /** The context that everything on behalf of this node works with. */
  get context(): ClaimContext {
    return this.#context;
  }

  /** Rejects when a slot met an error that only a fault of the program explains. Never resolves. */
  get fault(): Promise<never> {
    return this.#fault.promise;
  }

  get free(): boolean {
    return this.#inUse.size < this.#settings.concurrency;
  }

  /** Slots in use and filings under way. */
  get unsettled(): number {
    return this.#inUse.size + this.#filings.size;
  }

  /** When a slot or filing last started or ended, in monotonic milliseconds. */
  get changedMs(): number {
    return this.#changedMs;
  }

  /** Whether this node is at work on a spec, one way or another. */
  has(id: string): boolean {
    return this.#inUse.has(id) || this.#filings.has(id);
  }

  /** For how long nothing new is to be started, in milliseconds. */
  get pausedMs(): number {
    return Math.max(0, this.#pausedUntilMs - this.#context.clock.monotonic());
  }

  /** Starts nothing new for a while. */
  pause(ms: number): void {
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, this.#context.clock.monotonic() + ms);
  }

  /** The store answers again as it should. */
  storeRecovered(): void {
    this.#throttles = 0;
  }

  /** The lease of a cell that this node runs, or is about to run. */
  running(id: string): Lease | undefined {
    return this.#running.get(id)?.held.lease;
  }

  /** Stops a cell that this node runs, as cancelled. */
  cancel(id: string): void {
    this.#running.get(id)?.cancel.abort();
  }

  /** Uses a free slot for a claim that `claim` makes; `onResult` is told what came of that. */
  start(
    id: string,
    claim: () => Promise<ClaimResult>,
    onResult: (result: ClaimResult) => void,
  ): void {
    this.#occupy(id, async () => {
      const result = await claim();
      onResult(result);
      return result;
    });
  }

  /** Uses a free slot to take over a dead claim. */
  startTakeover(dead: DeadClaim): void {
    this.#occupy(dead.id, () => this.#takeOver(dead));
  }

  #occupy(id: string, claim: () => Promise<TakeoverResult>): void {
    this.#inUse.add(id);
    this.#noteChange();
    void this.#run(id, claim).catch((error) => this.#fault.reject(error)).finally(() => {
      this.#inUse.delete(id);
      this.#context.vitals.claims.delete(id);
      this.#noteChange();
    });
  }

  /** Finishes the filing of another node's committed claim. Needs no slot. */
  finishFiling({ id, found }: DeadClaim): void {
    this.#trackFiling(id, this.#finish(id, found));
  }

  /** Notes that there was no supervisor to start, and backs off. */
  supervisorFailed(error: SupervisorError): void {
    const failures = ++this.#context.vitals.supervisorFailures;
    const retryInMs = this.#backoff(failures);
    this.#context.log.emit({
      name: "supervisor-failing",
      failures,
      retryInMs,
      cause: error.message,
    });
    this.pause(retryInMs);
  }

  async #run(id: string, claim: () => Promise<TakeoverResult>): Promise<void> {
    try {
      const end = await this.#goOn(await claim());
      if (end !== undefined) this.#ended(id, end);
    } catch (error) {
      if (!(error instanceof ClaimLost || error instanceof StoreError)) throw error;
      this.#context.log.emit({ name: "claim-abandoned", specId: id, cause: error.message });
      this.#context.vitals.totals.lost++;
      if (error instanceof StoreError) this.pause(this.#backoff(3));
    }
  }

  /** Does what the result of a claim or takeover asks for; undefined where that is nothing. */
  async #goOn(result: TakeoverResult): Promise<WorkEnd | undefined> {
    const context = this.#context;
    switch (result.kind) {
      case "ready": {
        const { claimed, pendingSinceMs } = result;
        const { attempt, nonce: claim } = claimed.held.lease;
        this.#context.vitals.totals.claimed++;
        context.vitals.claims.set(claimed.held.id, claimed.held);
        const waitMs = pendingSinceMs === undefined
          ? undefined
          : Math.max(0, context.clock.now() - pendingSinceMs);
        context.log.emit({ name: "claimed", specId: claimed.held.id, claim, attempt, waitMs });
        if (this.#drain.aborted) {
          await giveBack(context, claimed, attempt, "interrupted");
          return { kind: "released" };
        }
        const end = await this.#work(claimed);
        if (end.kind === "committed" || end.kind === "released") this.#supervisorWorked();
        return end;
      }
      case "too-large":
        return await settleTooLarge(context, result.held, result.source, result.head);
      case "lost":
      case "cancelled":
        return await settleUnrun(context, result.claimed, result.kind);
      case "finish-release":
        await giveBack(context, result, result.attempt, "interrupted");
        return { kind: "released" };
      case "finish-filing": {
        const { held, commit } = result;
        return {
          kind: "committed",
          result: commit.result,
          filing: fileToTheEnd(context, held, commit),
        };
      }
      default:
        return undefined;
    }
  }

  async #work(claimed: ClaimedSpec): Promise<WorkEnd> {
    const { id } = claimed.held;
    const cancel = new AbortController();
    this.#running.set(id, { held: claimed.held, cancel });
    try {
      const control = { interrupt: this.#interrupt, cancel: cancel.signal };
      return await work(this.#context, this.#cells, this.#settings, claimed, control);
    } finally {
      this.#running.delete(id);
    }
  }

  #ended(id: string, end: WorkEnd): void {
    const { totals } = this.#context.vitals;
    switch (end.kind) {
      case "committed":
        totals[end.result.status]++;
        this.#trackFiling(id, end.filing);
        break;
      case "released":
        totals.released++;
        break;
      case "lost":
        totals.lost++;
        break;
      case "supervisor-failed":
        totals.released++;
        this.supervisorFailed(end.error);
    }
  }

  async #takeOver({ id, found }: DeadClaim): Promise<TakeoverResult> {
    const result = await takeOver(this.#context, id, found);
    const step = takeoverStep(result);
    if (step !== undefined) {
      this.#context.vitals.totals.takenOver++;
      const fromNode = found.lease?.node ?? "a node whose lease cannot be read";
      this.#context.log.emit({ name: "taken-over", specId: id, fromNode, step });
    }
    return result;
  }

  async #finish(id: string, found: FoundLease): Promise<void> {
    const { log } = this.#context;
    try {
      const result = await this.#takeOver({ id, found });
      if (result.kind !== "finish-filing") return;
      const { held, commit } = result;
      await fileToTheEnd(this.#context, held, commit);
    } catch (error) {
      if (!(error instanceof ClaimLost || error instanceof StoreError)) throw error;
      log.emit({ name: "filing-left", specId: id, cause: error.message });
    }
  }

  #trackFiling(id: string, filing: Promise<void>): void {
    this.#filings.add(id);
    this.#noteChange();
    void filing.catch((error) => this.#fault.reject(error)).finally(() => {
      this.#filings.delete(id);
      this.#noteChange();
    });
  }

  #noteChange(): void {
    this.#context.vitals.inFlight = this.#inUse.size;
    this.#changedMs = this.#context.clock.monotonic();
    this.changed.wake();
  }

  #supervisorWorked(): void {
    const failures = this.#context.vitals.supervisorFailures;
    if (failures === 0) return;
    this.#context.vitals.supervisorFailures = 0;
    this.#context.log.emit({ name: "supervisor-recovered", failures });
  }

  /** The store asked for fewer requests: the whole node holds back, longer each time. */
  #slowDown(): void {
    this.pause(this.#backoff(++this.#throttles));
  }

  #backoff(failures: number): number {
    return backoffMs(failures, BACKOFF_BASE_MS, BACKOFF_MAX_MS, this.#context.entropy.random());
  }
}

/** What a takeover goes on with; undefined when nothing was taken over. */
function takeoverStep(result: TakeoverResult): TakeoverStep | undefined {
  switch (result.kind) {
    case "ready":
      return "run";
    case "finish-filing":
    case "finish-release":
    case "lost":
    case "cancelled":
    case "too-large":
      return result.kind;
    default:
      return undefined;
  }
}
