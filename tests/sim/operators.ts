/**
 * Operators and their commands: processes of this program, too, that take part in the claim protocol
 * for a moment and may die in the middle of it.
 */
import { cancelSpec } from "../../lib/cancel.ts";
import type { ClaimContext } from "../../lib/claim_context.ts";
import { leaseTiming } from "../../lib/core/lease_timing.ts";
import { StoreError } from "../../lib/core/store_error.ts";
import { ClaimLost } from "../../lib/held_lease.ts";
import { requeueSpec } from "../../lib/requeue.ts";
import { Vitals } from "../../lib/vitals.ts";
import type { World } from "./host.ts";
import { NetworkStore } from "./network_store.ts";
import { SimulatedClock, simulatedEntropy, SimulatedProcess } from "./process.ts";
import type { PersonAct } from "./scenario.ts";

type Command = Extract<PersonAct, { kind: "command" }>;

/** A command that has not ended by itself after so long is broken off, as with Ctrl-C. */
const PATIENCE_MS = 120_000;
const CLOCK = { wallOffsetMs: 0, clockRate: 1 };

export class Operators {
  readonly #world: World;
  #commands = 0;
  /** Commands that have neither ended nor died. */
  readonly running = new Set<SimulatedProcess>();

  constructor(world: World) {
    this.#world = world;
  }

  /** Runs a command as a process of its own. */
  run(command: Command): void {
    const { time, trace } = this.#world;
    const process = new SimulatedProcess(time, "op", this.#commands++, () => {
      this.#world.violation("progress", `${process.name} is in an endless loop`);
    });
    const interrupted = new AbortController();
    trace.add(process.name, `${command.command} ${command.id}`);
    time.noteProductionRan();
    this.running.add(process);
    void this.#carryOut(command, process, this.#context(process, interrupted.signal));
    time.after(PATIENCE_MS, () => process.deliver(() => interrupted.abort()));
    if (command.diesAfterMs !== undefined) {
      time.after(command.diesAfterMs, () => {
        trace.add(process.name, "is killed");
        process.kill();
        this.running.delete(process);
      });
    }
  }

  async #carryOut(
    { command, id }: Command,
    process: SimulatedProcess,
    context: ClaimContext,
  ): Promise<void> {
    const { trace } = this.#world;
    try {
      const result = command === "cancel"
        ? await cancelSpec(context, id)
        : await requeueSpec(context, id, { leaseless: command === "requeue-leaseless" });
      trace.add(process.name, `ends: ${result.kind}`);
    } catch (error) {
      const failed = error instanceof StoreError || error instanceof ClaimLost;
      if (!failed) this.#world.violation("agent", `${process.name} failed: ${error}`);
      trace.add(process.name, `fails: ${error}`);
    }
    process.kill();
    this.running.delete(process);
  }

  #context(process: SimulatedProcess, giveUp: AbortSignal): ClaimContext {
    const { scenario, keys, trace } = this.#world;
    const { ttlMs, killGraceMs, maxAttempts, maxSpecBytes } = scenario.fleet;
    const clock = new SimulatedClock(process, CLOCK, scenario.seed);
    return {
      store: this.#store(process),
      clock,
      entropy: simulatedEntropy(process, scenario.seed),
      log: { emit: ({ name }) => trace.add(process.name, `log ${name}`) },
      keys,
      timing: leaseTiming(ttlMs, killGraceMs),
      node: "operator@desk",
      poolId: "",
      maxAttempts,
      maxSpecBytes,
      // As the commands do, which do not probe.
      conditionalDelete: false,
      vitals: new Vitals(clock, 1),
      giveUp,
      throttled() {},
    };
  }

  #store(process: SimulatedProcess): NetworkStore {
    const world = this.#world;
    const { scenario, history, trace } = world;
    const { ttlMs } = scenario.fleet;
    return new NetworkStore({
      process,
      author: { kind: "agent", node: "operator@desk", process: process.name },
      clockRate: CLOCK.clockRate,
      landingMs: leaseTiming(ttlMs, 0).landingMs,
      plan: scenario.store,
      history,
      trace,
      passage: (request, bounds) => world.passage(undefined, request, bounds),
      onEffect: () => {},
      hostIsUp: () => true,
    });
  }
}
