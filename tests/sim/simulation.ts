/**
 * One run: a fleet of agents, the production code of `lib/agent.ts` and below, over a virtual clock,
 * a bucket in memory and simulated cells, with everything that happens a function of the scenario.
 */
import { QueueKeys } from "../../lib/core/keys.ts";
import { Ambush } from "./ambush.ts";
import { CellLedger } from "./cells.ts";
import { LeaseAuthority } from "./checks/authority.ts";
import { SpecCustody } from "./checks/custody.ts";
import type { Evidence } from "./checks/evidence.ts";
import { openWork } from "./checks/liveness.ts";
import { Outcomes } from "./checks/outcomes.ts";
import { CellStarts } from "./checks/starts.ts";
import { History } from "./history.ts";
import { type AgentExit, type CutOff, Host, type World } from "./host.ts";
import type { RequestFacts } from "./network_store.ts";
import { clearPassage, cutOffPassage, drawPassage, type Passage } from "./passage.ts";
import { Operators } from "./operators.ts";
import { People } from "./people.ts";
import { Random } from "./random.ts";
import type { Incident, PersonAct, Scenario } from "./scenario.ts";
import { Trace } from "./trace.ts";
import { VirtualTime } from "./virtual_time.ts";

export interface Violation {
  readonly check: string;
  readonly detail: string;
  readonly atMs: number;
}

/** What one run came to. */
export interface RunReport {
  readonly violations: readonly Violation[];
  readonly traceHash: string;
  readonly trace: readonly string[];
  readonly virtualMs: number;
  /** From the end of the faults until everything was terminal. */
  readonly settledAfterMs: number | undefined;
  readonly cellStarts: number;
  readonly outcomes: number;
  readonly requests: number;
  /** How often each kind of fault struck. */
  readonly faults: ReadonlyMap<string, number>;
  /** Relaxations of the custody checks that were made use of; see the README. */
  readonly relaxed: ReadonlyMap<string, number>;
}

/** What a test may put into a run beside its scenario. */
export interface RunOptions {
  readonly readable?: boolean;
  /**
   * Decides the way of a request (an operator's when there is no host) instead of the scenario;
   * undefined leaves it to that.
   */
  readonly intercept?: (request: RequestFacts, host: Host | undefined) => Passage | undefined;
  readonly onEffect?: (host: Host, request: RequestFacts) => void;
  readonly onStart?: (simulation: Simulation) => void;
}

/** An agent that was told to drain, with nothing in hand, is gone within this. */
const DRAIN_BOUND_MS = 120_000;

/** Carries out a scenario to its end, or to the first violation. */
export function simulate(scenario: Scenario, options: RunOptions = {}): Promise<RunReport> {
  return new Simulation(scenario, options).run();
}

export class Simulation {
  readonly time = new VirtualTime();
  readonly trace: Trace;
  readonly history: History;
  readonly ledger: CellLedger;
  readonly hosts: readonly Host[];
  readonly people: People;
  readonly operators: Operators;
  readonly custody: SpecCustody;
  /** Of the bucket, for everybody. */
  cutOff: CutOff | undefined;
  readonly #scenario: Scenario;
  readonly #options: RunOptions;
  readonly #keys = new QueueKeys("fleet", "");
  readonly #evidence: Evidence;
  readonly #outcomes: Outcomes;
  readonly #random: Random;
  readonly #faults = new Map<string, number>();
  readonly #violations: Violation[] = [];
  #settledAfterMs: number | undefined;
  #goingHome = false;
  #requests = 0;

  constructor(scenario: Scenario, options: RunOptions) {
    this.#scenario = scenario;
    this.#options = options;
    this.#random = new Random(scenario.seed, "requests");
    this.trace = new Trace(this.time, options.readable ?? false);
    this.history = new History(this.time, scenario.store);
    this.ledger = new CellLedger(this.time, this.trace, scenario.cells, scenario.seed);
    this.people = new People(this.time, this.history, this.#keys, this.trace);
    this.#evidence = {
      scenario,
      time: this.time,
      keys: this.#keys,
      history: this.history,
      ledger: this.ledger,
      meddled: this.people.meddled,
      violation: (check, detail) => this.#violation(check, detail),
    };
    this.custody = new SpecCustody(this.#evidence);
    this.#outcomes = new Outcomes(this.#evidence);
    new LeaseAuthority(this.#evidence);
    new CellStarts(this.#evidence, this.custody);
    const world = this.#world();
    this.operators = new Operators(world);
    this.hosts = scenario.nodes.map((_, index) => new Host(world, index));
  }

  async run(): Promise<RunReport> {
    const { nodes, incidents, people, faultsEndMs } = this.#scenario;
    nodes.forEach((plan, index) => this.time.at(plan.startsAtMs, () => this.hosts[index].start()));
    for (const act of people) this.time.at(act.atMs, () => this.#act(act));
    for (const incident of incidents) this.time.at(incident.atMs, () => this.#befall(incident));
    this.time.at(faultsEndMs, () => this.#faultsEnd());
    this.#options.onStart?.(this);
    await this.time.run();
    return {
      violations: this.#violations,
      traceHash: this.trace.hash,
      trace: this.trace.lines,
      virtualMs: this.time.nowMs,
      settledAfterMs: this.#settledAfterMs,
      cellStarts: this.ledger.entries.length,
      outcomes: this.#outcomes.count,
      requests: this.#requests,
      faults: this.#faults,
      relaxed: new Map([
        ["resubmission deleted by a plain delete", this.custody.slipped],
        ["too large resubmission merged", this.custody.merged],
        ["lease deleted by hand", this.people.meddled.size],
      ]),
    };
  }

  #world(): World {
    const { scenario } = this.#evidence;
    return {
      scenario,
      time: this.time,
      trace: this.trace,
      history: this.history,
      ledger: this.ledger,
      keys: this.#keys,
      passage: (host, request, bounds) => {
        this.#requests++;
        const special = this.#options.intercept?.(request, host) ??
          host?.ambush?.passage(request, bounds);
        if (special !== undefined) return special;
        const cutOff = [host?.cutOff, this.cutOff].find((one) =>
          one !== undefined && this.time.nowMs < one.untilMs
        );
        const drawn = cutOff !== undefined
          ? cutOffPassage(this.#random, bounds, cutOff.manner)
          : this.time.nowMs < scenario.faultsEndMs
          ? drawPassage(this.#random, bounds, host?.plan.requestFaults ?? scenario.requestFaults)
          : clearPassage(this.#random, bounds);
        if (drawn.fault !== undefined) this.#count(drawn.fault);
        if (host !== undefined && drawn.reply.kind === "denied") host.wasDenied = true;
        // A plain delete that somebody on the way repeats is beyond what any client can prevent.
        const { conditionalDelete } = scenario.store;
        if (drawn.fault === "twice" && request.operation === "delete" && !conditionalDelete) {
          return clearPassage(this.#random, bounds);
        }
        return drawn;
      },
      onEffect: (host, request) => this.#options.onEffect?.(host, request),
      onExit: (host, exit) => this.#onExit(host, exit),
      violation: (check, detail) => this.#violation(check, detail),
    };
  }

  #act(act: PersonAct): void {
    this.#count(`person: ${act.kind}`);
    if (act.kind === "command") this.operators.run(act);
    else this.people.act(act);
  }

  /** Counts a fault that struck. */
  #count(kind: string): void {
    this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + 1);
  }

  #violation(check: string, detail: string): void {
    this.trace.add("CHECK", `${check}: ${detail}`);
    this.#violations.push({ check, detail, atMs: this.time.nowMs });
    this.time.stop();
  }

  #befall(incident: Incident): void {
    if (incident.kind === "cut-off") return this.#cutOff(incident);
    const host = this.hosts[incident.node];
    if (incident.kind === "ambush") {
      host.ambush = new Ambush(incident.answered, () => {
        this.#count(`ambush (${incident.answered ? "late answer" : "no answer"})`);
        host.ambush = undefined;
        host.cutOff = { manner: "broken", untilMs: this.time.nowMs + incident.forMs };
      });
      return;
    }
    if (incident.kind === "no-supervisor") {
      this.#count("no supervisor");
      host.hasSupervisor = false;
      this.time.after(incident.forMs, () => host.hasSupervisor = true);
      return;
    }
    if (host.process === undefined) return;
    switch (incident.kind) {
      case "crash":
        this.#count(incident.host ? "host crash" : "agent killed");
        host.crash(incident.host);
        this.time.after(incident.restartAfterMs, () => this.#restart(host));
        return;
      case "freeze":
        this.#count(`freeze (${incident.what})`);
        host.freeze(incident.what, incident.forMs, incident.watchdogMs);
        if (incident.what === "watchdog" && incident.watchdogMs < incident.forMs) {
          this.time.after(incident.forMs, () => this.#restart(host));
        }
        return;
      case "drain":
        this.#count("drain");
        host.drain();
        if (incident.interruptAfterMs !== undefined) {
          this.time.after(incident.interruptAfterMs, () => host.interrupt());
        }
    }
  }

  #cutOff({ node, forMs, manner }: Extract<Incident, { kind: "cut-off" }>): void {
    this.#count(node === undefined ? `outage (${manner})` : `node cut off (${manner})`);
    const target = node === undefined ? this : this.hosts[node];
    const untilMs = this.time.nowMs + forMs;
    target.cutOff = { manner, untilMs: Math.max(untilMs, target.cutOff?.untilMs ?? 0) };
  }

  #restart(host: Host): void {
    if (!this.#goingHome) host.start();
  }

  #onExit(host: Host, exit: AgentExit): void {
    if (exit === "gave-up" && this.#goingHome) {
      this.#violation("drain", `Node ${host.index} gave up though the store works`);
    }
    if (exit === "store unusable" && !host.wasDenied) {
      this.#violation("agent", `Node ${host.index} found a good store unusable`);
    }
    if (!this.#goingHome) {
      this.time.after(this.#scenario.fleet.ttlMs / 2, () => this.#restart(host));
    }
  }

  /** From now on nothing goes wrong any more, and everything has to come to its end. */
  #faultsEnd(): void {
    this.trace.add("world", "faults end");
    const { ttlMs } = this.#scenario.fleet;
    this.cutOff = undefined;
    for (const host of this.hosts) {
      host.heal();
      this.time.after(ttlMs / 2, () => this.#restart(host));
    }
    // What is under way may land until then; rest that comes before is not rest.
    const landedMs = Math.max(
      ...this.hosts.map(({ timing }) => timing.requestTimeoutMs + timing.landingMs),
    );
    const sinceMs = this.time.nowMs;
    this.time.after(landedMs * 1.05, () => {
      this.#watch(sinceMs, sinceMs + livenessBoundMs(this.#scenario));
    });
  }

  #watch(sinceMs: number, untilMs: number): void {
    this.time.after(this.#scenario.fleet.ttlMs / 8, () => {
      const open = openWork(this.#evidence, this.custody);
      for (const { name } of this.operators.running) open.push(`command ${name}`);
      if (open.length === 0) {
        this.#settledAfterMs = this.time.nowMs - sinceMs;
        this.#goHome();
      } else if (this.time.nowMs > untilMs) {
        this.#violation("liveness", `Not settled in time: ${open.join("; ")}`);
      } else {
        this.#watch(sinceMs, untilMs);
      }
    });
  }

  /** With nothing left to do, every agent that is told to drain exits. */
  #goHome(): void {
    this.#goingHome = true;
    this.trace.add("world", "everything is settled");
    for (const host of this.hosts) host.drain();
    this.time.after(DRAIN_BOUND_MS, () => {
      for (const host of this.hosts) {
        if (host.process !== undefined) {
          this.#violation("drain", `${host.process.name} did not exit`);
        }
      }
      const open = openWork(this.#evidence, this.custody);
      if (open.length > 0) this.#violation("liveness", `Settled no more: ${open.join("; ")}`);
      this.time.stop();
    });
  }
}

/**
 * Within what time after the last fault everything must be terminal. Backoffs of a minute may be
 * under way, a lease may have been written just before, and then specs take their turns, each as
 * often as its attempts allow.
 */
export function livenessBoundMs({ fleet, nodes, cells, people }: Scenario): number {
  const { killGraceMs, maxAttempts } = fleet;
  const ttlMs = Math.max(fleet.ttlMs, ...nodes.map((node) => node.ttlMs ?? 0));
  const specs = people.length;
  const oneRunMs = cells.maxDurationMs + killGraceMs + 2 * ttlMs;
  return 180_000 + 4 * ttlMs + specs * oneRunMs + maxAttempts * 2 * ttlMs;
}
