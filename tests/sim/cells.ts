/**
 * Simulated supervisors and the guard that outlives their agent. What they do is written down in a
 * ledger of their own, in true time: that is what the checkers believe.
 */
import { SupervisorError } from "../../lib/core/supervisor_error.ts";
import type { CellExit, CellRequest, Cells, CellSignal, RunningCell } from "../../lib/ports.ts";
import { never, type SimulatedProcess } from "./process.ts";
import { Random } from "./random.ts";
import type { CellPlan, NodePlan } from "./scenario.ts";
import type { Trace } from "./trace.ts";
import type { Scheduled, VirtualTime } from "./virtual_time.ts";

/** One start of a supervisor. */
export interface LedgerEntry {
  readonly number: number;
  readonly specId: string;
  readonly claim: string;
  readonly attempt: number;
  readonly spec: Uint8Array;
  readonly node: NodePlan;
  readonly process: SimulatedProcess;
  readonly startedMs: number;
  endedMs: number | undefined;
  exit: CellExit | undefined;
  /** When its agent first signalled it. */
  signalledMs: number | undefined;
  /** Its host stands still, and it with it. */
  frozen: boolean;
  /** Its agent was frozen while it went on, for longer than the lease allows. */
  ranUnattended: boolean;
  /** When its host last went on. */
  resumedMs: number;
}

export interface LedgerObserver {
  /** Called before the cell does anything. */
  started(entry: LedgerEntry): void;
  ended(entry: LedgerEntry): void;
  /** A cell that stood still with its host goes on. */
  resumed(entry: LedgerEntry): void;
}

/** A SIGKILL takes effect within this. */
const KILL_LATENCY_MS = 10;
const GUARD_LOOK_MS = 200;
/** What a look costs the guard's shell beyond its sleep. */
const GUARD_LOOK_COST_MS = 4;
const NO_OUTPUT = new Uint8Array();

/** All cells of all nodes, past and present. */
export class CellLedger {
  readonly entries: LedgerEntry[] = [];
  readonly running = new Set<SimulatedCell>();
  readonly #observers: LedgerObserver[] = [];
  readonly #time: VirtualTime;
  readonly #trace: Trace;
  readonly #plan: CellPlan;
  readonly #seed: number;

  constructor(time: VirtualTime, trace: Trace, plan: CellPlan, seed: number) {
    this.#time = time;
    this.#trace = trace;
    this.#plan = plan;
    this.#seed = seed;
  }

  observe(observer: LedgerObserver): void {
    this.#observers.push(observer);
  }

  start(request: CellRequest, node: NodePlan, process: SimulatedProcess): SimulatedCell {
    const number = this.entries.length;
    const entry: LedgerEntry = {
      number,
      specId: request.specId,
      claim: request.claim,
      attempt: request.attempt,
      spec: request.spec,
      node,
      process,
      startedMs: this.#time.nowMs,
      endedMs: undefined,
      exit: undefined,
      signalledMs: undefined,
      frozen: false,
      ranUnattended: false,
      resumedMs: -Infinity,
    };
    this.entries.push(entry);
    this.#trace.add(
      process.name,
      `cell ${number} starts: ${request.specId}, claim ${request.claim}, attempt ${request.attempt}`,
    );
    for (const observer of this.#observers) observer.started(entry);
    const behaviour = drawBehaviour(new Random(this.#seed, `cell ${number}`), this.#plan);
    const cell = new SimulatedCell(this.#time, entry, behaviour, () => {
      this.running.delete(cell);
      this.#trace.add(
        process.name,
        `cell ${number} ends: ${entry.exit?.signal ?? entry.exit?.exitCode}`,
      );
      for (const observer of this.#observers) observer.ended(entry);
    });
    this.running.add(cell);
    return cell;
  }

  resume(cell: SimulatedCell): void {
    cell.thaw();
    cell.entry.resumedMs = this.#time.nowMs;
    for (const observer of this.#observers) observer.resumed(cell.entry);
  }

  of(process: SimulatedProcess): SimulatedCell[] {
    return [...this.running].filter((cell) => cell.entry.process === process);
  }

  /**
   * What the guard does once the agent is gone: SIGTERM, and SIGKILL after the grace, which it
   * counts in looks of 200 ms. Cells that the agent had begun to stop get no further grace.
   */
  guard(process: SimulatedProcess, killGraceMs: number): void {
    const looks = Math.ceil(killGraceMs / GUARD_LOOK_MS);
    const graceMs = looks * (GUARD_LOOK_MS + GUARD_LOOK_COST_MS);
    for (const cell of this.of(process)) {
      const stopping = cell.entry.signalledMs !== undefined;
      cell.signal("SIGTERM");
      this.#time.after(stopping ? 0 : graceMs, () => cell.signal("SIGKILL"));
    }
  }
}

interface Behaviour {
  readonly durationMs: number;
  readonly exitCode: number;
  /** From SIGTERM to the end; infinite for a cell that ignores it. */
  readonly termMs: number;
  readonly killMs: number;
  readonly startupMs: number;
  readonly stdoutBytes: number;
}

function drawBehaviour(random: Random, plan: CellPlan): Behaviour {
  return {
    durationMs: random.chance(plan.short)
      ? random.between(0, 20)
      : random.between(plan.minDurationMs ?? 0, plan.maxDurationMs),
    exitCode: random.chance(plan.failing) ? random.whole(1, 255) : 0,
    termMs: random.chance(plan.ignoresTerm) ? Infinity : random.next() ** 4 * 5000,
    killMs: random.between(0, KILL_LATENCY_MS),
    startupMs: random.between(0.5, 50),
    stdoutBytes: random.chance(0.1) ? random.whole(0, 200_000_000) : random.whole(0, 1000),
  };
}

export class SimulatedCell {
  readonly entry: LedgerEntry;
  readonly behaviour: Behaviour;
  readonly #time: VirtualTime;
  readonly #onEnd: () => void;
  readonly #ended: (() => void)[] = [];
  /** What is going to end it, and when its own time is up. */
  #ends: { event: Scheduled; atMs: number; exit: CellExit }[] = [];
  #frozenAtMs = 0;

  constructor(time: VirtualTime, entry: LedgerEntry, behaviour: Behaviour, onEnd: () => void) {
    this.#time = time;
    this.entry = entry;
    this.behaviour = behaviour;
    this.#onEnd = onEnd;
    this.#endAfter(behaviour.durationMs, this.#exit({ exitCode: behaviour.exitCode }));
  }

  whenEnded(action: () => void): void {
    if (this.entry.endedMs === undefined) this.#ended.push(action);
    else action();
  }

  signal(name: CellSignal): void {
    const { termMs, killMs } = this.behaviour;
    const afterMs = name === "SIGTERM" ? termMs : killMs;
    if (afterMs < Infinity) this.#endAfter(afterMs, this.#exit({ signal: name }));
  }

  /** Stands still with its host. */
  freeze(): void {
    this.#frozenAtMs = this.#time.nowMs;
    this.entry.frozen = true;
    for (const { event } of this.#ends) this.#time.cancel(event);
  }

  thaw(): void {
    this.entry.frozen = false;
    const stoodMs = this.#time.nowMs - this.#frozenAtMs;
    const ends = this.#ends;
    this.#ends = [];
    for (const { atMs, exit } of ends) {
      this.#endAfter(Math.max(atMs, this.#frozenAtMs) + stoodMs - this.#time.nowMs, exit);
    }
  }

  /** Its host is gone. */
  vanish(): void {
    this.#end(this.#exit({ signal: "SIGKILL" }));
  }

  #exit(how: { exitCode?: number; signal?: string }): CellExit {
    const { stdoutBytes } = this.behaviour;
    return { ...how, stdoutBytes, stderrBytes: 0, stdoutTail: NO_OUTPUT, stderrTail: NO_OUTPUT };
  }

  #endAfter(ms: number, exit: CellExit): void {
    if (this.entry.endedMs !== undefined) return;
    const atMs = this.#time.nowMs + ms;
    const event = this.#time.after(ms, () => this.#end(exit));
    if (this.entry.frozen) this.#time.cancel(event);
    this.#ends.push({ event, atMs, exit });
  }

  #end(exit: CellExit): void {
    if (this.entry.endedMs !== undefined) return;
    this.entry.endedMs = this.#time.nowMs;
    this.entry.exit = exit;
    for (const { event } of this.#ends) this.#time.cancel(event);
    this.#onEnd();
    for (const action of this.#ended.splice(0)) action();
  }
}

/** The `Cells` port of one process. */
export class SimulatedCells implements Cells {
  readonly #ledger: CellLedger;
  readonly #process: SimulatedProcess;
  readonly #plan: NodePlan;
  readonly #hasSupervisor: () => boolean;

  constructor(
    ledger: CellLedger,
    process: SimulatedProcess,
    plan: NodePlan,
    hasSupervisor: () => boolean,
  ) {
    this.#ledger = ledger;
    this.#process = process;
    this.#plan = plan;
    this.#hasSupervisor = hasSupervisor;
  }

  check(): Promise<void> {
    if (!this.#process.enter()) return never();
    return this.#hasSupervisor() ? this.#later(2, () => {}) : this.#missing();
  }

  start(request: CellRequest): Promise<RunningCell> {
    if (!this.#process.enter()) return never();
    if (!this.#hasSupervisor()) return this.#missing();
    const process = this.#process;
    // A process is spawned within the call; what comes later is the word that it was.
    const cell = this.#ledger.start(request, this.#plan, process);
    const exited = new Promise<CellExit>((resolve) => {
      cell.whenEnded(() => {
        process.time.after(1, () => process.deliver(() => resolve(cell.entry.exit!)));
      });
    });
    return this.#later(cell.behaviour.startupMs, () => ({
      exited,
      signal: (name) => {
        if (!process.enter()) return;
        cell.entry.signalledMs ??= process.time.nowMs;
        cell.signal(name);
      },
    }));
  }

  #missing(): Promise<never> {
    const process = this.#process;
    return new Promise((_, reject) => {
      process.time.after(
        1,
        () => process.deliver(() => reject(new SupervisorError("There is no supervisor"))),
      );
    });
  }

  #later<T>(ms: number, value: () => T): Promise<T> {
    const process = this.#process;
    return new Promise((resolve) => {
      process.time.after(ms, () => process.deliver(() => resolve(value())));
    });
  }
}
