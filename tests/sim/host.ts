/** One simulated host: its agent, incarnation after incarnation, and what befalls it. */
import { type AgentEnd, runAgent } from "../../lib/agent.ts";
import type { AgentContext } from "../../lib/claim_context.ts";
import type { QueueKeys } from "../../lib/core/keys.ts";
import { type LeaseTiming, leaseTiming } from "../../lib/core/lease_timing.ts";
import { StoreError } from "../../lib/core/store_error.ts";
import type { FleetEvent } from "../../lib/events.ts";
import { Vitals } from "../../lib/vitals.ts";
import { type CellLedger, SimulatedCells } from "./cells.ts";
import type { History } from "./history.ts";
import { NetworkStore, type RequestFacts } from "./network_store.ts";
import type { Ambush } from "./ambush.ts";
import type { Passage, PassageBounds } from "./passage.ts";
import { SimulatedClock, simulatedEntropy, SimulatedProcess } from "./process.ts";
import type { NodePlan, Scenario } from "./scenario.ts";
import type { Trace } from "./trace.ts";
import type { VirtualTime } from "./virtual_time.ts";

/** What hosts share. */
export interface World {
  readonly scenario: Scenario;
  readonly time: VirtualTime;
  readonly trace: Trace;
  readonly history: History;
  readonly ledger: CellLedger;
  readonly keys: QueueKeys;
  /** The way of a request; of an operator's when there is no host. */
  passage(host: Host | undefined, request: RequestFacts, bounds: PassageBounds): Passage;
  onEffect(host: Host, request: RequestFacts): void;
  onExit(host: Host, exit: AgentExit): void;
  violation(check: string, detail: string): void;
}

/** Until when the bucket cannot be reached, and how that shows. */
export interface CutOff {
  readonly manner: "silent" | "broken" | "throttled" | "denied";
  readonly untilMs: number;
}

/** How an agent came to its end, other than by being killed. */
export type AgentExit = AgentEnd | "store unusable" | "fault";

/** A promise that no event would settle is not one of the run's. */
const ignore = () => {};

export class Host {
  readonly plan: NodePlan;
  readonly index: number;
  readonly timing: LeaseTiming;
  /** The agent that runs now. */
  process: SimulatedProcess | undefined;
  hasSupervisor = true;
  powered = true;
  cutOff: CutOff | undefined;
  draining = false;
  /** The agent that runs now was once refused for its credentials. */
  wasDenied = false;
  /** What its next lease write is to meet. */
  ambush: Ambush | undefined;
  readonly #world: World;
  #incarnations = 0;
  #standsStill = false;
  #drain = new AbortController();
  #interrupt = new AbortController();

  constructor(world: World, index: number) {
    this.#world = world;
    this.index = index;
    this.plan = world.scenario.nodes[index];
    const { ttlMs, killGraceMs } = world.scenario.fleet;
    this.timing = leaseTiming(this.plan.ttlMs ?? ttlMs, killGraceMs);
  }

  /** Starts an agent, unless one runs. */
  start(): void {
    if (this.process !== undefined) return;
    const { time, trace } = this.#world;
    this.powered = true;
    this.draining = false;
    this.wasDenied = false;
    const process = new SimulatedProcess(time, `n${this.index}`, this.#incarnations++, () => {
      this.#world.violation("progress", `${process.name} is in an endless loop`);
    });
    this.process = process;
    this.#drain = new AbortController();
    this.#interrupt = new AbortController();
    trace.add(process.name, "agent starts");
    time.noteProductionRan();
    this.#run(process).catch(ignore);
  }

  async #run(process: SimulatedProcess): Promise<void> {
    const { ledger, scenario } = this.#world;
    const { fleet } = scenario;
    const { plan } = this;
    const settings = {
      fence: plan.fence,
      cellTimeoutMs: plan.cellTimeoutMs,
      pollIntervalMs: fleet.pollIntervalMs,
      exitWhenIdleMs: plan.exitWhenIdleMs,
      once: false,
      concurrency: plan.concurrency,
      drainTimeoutMs: plan.drainTimeoutMs,
      version: "0.0.0",
      bucket: "bucket",
      prefix: "fleet",
      queueName: "",
      heartbeatIntervalMs: fleet.heartbeatIntervalMs,
    };
    const cells = new SimulatedCells(ledger, process, plan, () => this.hasSupervisor);
    const control = { drain: this.#drain.signal, interrupt: this.#interrupt.signal };
    try {
      this.#ended(process, await runAgent(this.#context(process), cells, settings, control));
    } catch (error) {
      const unusable = error instanceof StoreError && error.kind === "permanent";
      if (!unusable) this.#world.violation("agent", `${process.name} failed: ${textOf(error)}`);
      this.#ended(process, unusable ? "store unusable" : "fault");
    }
  }

  #context(process: SimulatedProcess): AgentContext {
    const { scenario, trace, keys } = this.#world;
    const clock = new SimulatedClock(process, this.plan, scenario.seed);
    return {
      store: this.#store(process),
      clock,
      entropy: simulatedEntropy(process, scenario.seed),
      log: {
        emit: (event) => {
          if (process.enter()) trace.add(process.name, `log ${shown(event, trace.readable)}`);
        },
      },
      keys,
      timing: this.timing,
      node: this.plan.name,
      poolId: this.plan.poolId,
      maxAttempts: scenario.fleet.maxAttempts,
      maxSpecBytes: scenario.fleet.maxSpecBytes,
      vitals: new Vitals(clock, this.plan.concurrency),
    };
  }

  #store(process: SimulatedProcess): NetworkStore {
    const world = this.#world;
    const { scenario, history, trace } = world;
    return new NetworkStore({
      process,
      author: { kind: "agent", node: this.plan.name, process: process.name },
      clockRate: this.plan.clockRate,
      landingMs: this.timing.landingMs,
      plan: scenario.store,
      history,
      trace,
      passage: (request, bounds) => world.passage(this, request, bounds),
      onEffect: (request) => {
        if (this.process === process) world.onEffect(this, request);
      },
      hostIsUp: () => this.powered,
    });
  }

  #ended(process: SimulatedProcess, exit: AgentExit): void {
    if (!process.alive) return;
    this.#world.trace.add(process.name, `agent exits: ${exit}`);
    const left = this.#world.ledger.of(process).length;
    if (exit === "drained" && left > 0) {
      this.#world.violation("drain", `${process.name} left ${left} cells running`);
    }
    this.#gone(process);
    this.#world.onExit(this, exit);
  }

  /** SIGTERM. */
  drain(): void {
    const process = this.process;
    if (process === undefined || this.draining) return;
    this.draining = true;
    this.#world.trace.add(process.name, "SIGTERM");
    process.deliver(() => this.#drain.abort("SIGTERM received"));
  }

  /** The second SIGTERM. */
  interrupt(): void {
    const process = this.process;
    if (process === undefined || !this.draining) return;
    this.#world.trace.add(process.name, "second SIGTERM");
    process.deliver(() => this.#interrupt.abort("second SIGTERM received"));
  }

  /** The end of the agent's process (SIGKILL), or of the host with all that runs on it. */
  crash(host: boolean): void {
    const process = this.process;
    if (process === undefined) return;
    // Nothing is killed on a host that stands still.
    if (!host && process.frozen && this.#standsStill) return;
    this.#world.trace.add(process.name, host ? "host crashes" : "agent is killed");
    if (host) {
      this.powered = false;
      process.kill();
      for (const cell of this.#world.ledger.of(process)) cell.vanish();
    }
    this.#gone(process);
  }

  #gone(process: SimulatedProcess): void {
    process.kill();
    this.process = undefined;
    for (const cell of this.#world.ledger.of(process)) {
      if (cell.entry.frozen) this.#world.ledger.resume(cell);
    }
    this.#world.ledger.guard(process, this.#world.scenario.fleet.killGraceMs);
  }

  freeze(what: "host" | "watchdog" | "agent", forMs: number, watchdogMs: number): void {
    const process = this.process;
    if (process === undefined || process.frozen) return;
    const { time, trace, ledger } = this.#world;
    trace.add(process.name, `freezes (${what}) for ${Math.round(forMs)} ms`);
    process.freeze();
    this.#standsStill = what === "host";
    const untilMs = what === "watchdog" ? Math.min(forMs, watchdogMs) : forMs;
    for (const cell of ledger.of(process)) {
      if (what === "host") cell.freeze();
      else if (!this.#endsInTime(cell.entry.specId, untilMs)) cell.entry.ranUnattended = true;
    }
    time.after(forMs, () => this.#wake(process));
    if (what === "watchdog" && watchdogMs < forMs) {
      time.after(watchdogMs, () => {
        if (this.process === process && process.frozen) this.crash(false);
      });
    }
  }

  /**
   * Whether a cell whose agent says nothing for so long, and then stops it, is gone before another
   * node could take its claim over: so it is while the renewals before were in good health.
   */
  #endsInTime(specId: string, silentMs: number): boolean {
    const { history, time, keys } = this.#world;
    const { timing } = this;
    const lease = history.get(keys.lease(specId));
    if (lease === undefined) return false;
    const renewedMs = history.lastChangeMs(lease.key) - timing.requestTimeoutMs;
    const goneMs = time.nowMs + silentMs + timing.killGraceMs * 1.05 + 250;
    return goneMs < renewedMs + timing.ttlMs * 0.93;
  }

  #wake(process: SimulatedProcess): void {
    if (this.process !== process || !process.frozen) return;
    this.#world.trace.add(process.name, "wakes");
    process.wake();
    for (const cell of this.#world.ledger.of(process)) {
      if (cell.entry.frozen) this.#world.ledger.resume(cell);
    }
  }

  /** Ends whatever is wrong with the host, except that its agent may not run. */
  heal(): void {
    this.hasSupervisor = true;
    this.ambush = undefined;
    this.cutOff = undefined;
    if (this.process !== undefined) this.#wake(this.process);
  }
}

/** Every field in a readable trace; what makes runs differ is in the short form too. */
function shown(event: FleetEvent, readable: boolean): string {
  if (readable) {
    const { name, ...fields } = event;
    return `${name} ${JSON.stringify(fields)}`;
  }
  return "specId" in event ? `${event.name} ${event.specId}` : event.name;
}

function textOf(error: unknown): string {
  return error instanceof Error ? `${error.stack ?? error.message}` : String(error);
}
