/** `cellos-fleet cancel`: specs that are not to run, or not to go on. */
import { StoreError } from "../core/store_error.ts";
import { cancelSpec } from "../cancel.ts";
import type { ClaimContext } from "../claim_context.ts";
import { ClaimLost } from "../held_lease.ts";
import { type Command, type CommandSyntax, type OptionValues, UsageError } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { reasonText } from "./follow.ts";
import { claimContext, complain, leaseOf, mapBounded, type Queue, withQueue } from "./queue.ts";
import { idProblem } from "./spec_input.ts";
import { resultOf } from "./whereabouts.ts";

const AT_ONCE = 8;
const LOOK_MS = 1_000;

const SYNTAX: CommandSyntax = {
  name: "cancel",
  synopsis: "cancel [--wait] ID…",
  summary: "Take specs out of the queue, or have them stopped where they run",
  description: [
    "A pending spec is filed as failed, reason cancelled, at once. For one that is claimed, its node " +
    "is asked to stop it: the node sees that within a third of the lease lifetime, sends SIGTERM, " +
    "after the grace SIGKILL, and files the spec as failed, reason cancelled.",
    "A cell that ends by itself before that keeps its own outcome. With --wait the command asks again " +
    "where needed, and ends when every spec has.",
  ],
  options: [{ name: "wait", meaning: "Wait until every spec has ended" }],
  takesArguments: true,
  examples: ["cellos-fleet cancel --wait nightly-2031-05-01"],
  exitCodes: [
    ["0", "Every spec is cancelled, or (without --wait) its node was asked to stop it"],
    ["1", "Not every one; each line says why"],
  ],
};

export const CANCEL: Command = {
  syntax: SYNTAX,
  read(values: OptionValues, ids: readonly string[]) {
    if (ids.length === 0) throw new UsageError("Give the ids to cancel");
    const wait = values["wait"] === true;
    return (ports) => withQueue(ports, (queue) => cancelIds(queue, [...new Set(ids)], wait));
  },
};

interface CancelEnd {
  readonly done: boolean;
  readonly text: string;
}

async function cancelIds(queue: Queue, ids: readonly string[], wait: boolean): Promise<number> {
  const { terminal, interrupted } = queue.ports;
  const context = await claimContext(queue);
  const ends = await mapBounded(ids, AT_ONCE, async (id) => {
    const end = await cancelOne(queue, context, id, wait);
    if (end.done) await terminal.print(`${id}: ${end.text}\n`);
    else await complain(terminal, `${id}: ${end.text}`);
    return end;
  });
  if (ends.every(({ done }) => done)) return EXIT.ok;
  return interrupted.aborted ? EXIT.interrupted : EXIT.refused;
}

async function cancelOne(
  queue: Queue,
  context: ClaimContext,
  id: string,
  wait: boolean,
): Promise<CancelEnd> {
  const problem = idProblem(queue.keys, id);
  if (problem !== undefined) return { done: false, text: `not cancelled, ${problem}` };
  const { clock, interrupted } = queue.ports;
  for (let asked = false;;) {
    try {
      const result = await cancelSpec(context, id);
      switch (result.kind) {
        case "cancelled":
          return { done: true, text: "cancelled, was pending" };
        case "ended":
          if (!asked) {
            return { done: false, text: `not cancelled, it has ${result.status} already` };
          }
          // Until it is filed, the result record may be that of a run before.
          if (await leaseOf(queue, id) === undefined) return await endOf(queue, id);
          break;
        case "leaseless":
          return {
            done: false,
            text: "not cancelled, it is claimed by an agent without leases, which cannot be asked",
          };
        case "unreadable-lease":
          return { done: false, text: "not cancelled, its lease cannot be read; try again later" };
        case "unknown-id":
          return { done: false, text: "not cancelled, there is no such spec" };
        case "marked":
          if (!wait) return { done: true, text: `${result.node} was asked to stop it` };
          if (!asked) {
            await complain(queue.ports.terminal, `${id}: ${result.node} was asked to stop it`);
          }
          asked = true;
      }
    } catch (error) {
      if (!(error instanceof StoreError || error instanceof ClaimLost)) throw error;
      if (!wait || !asked || (error instanceof StoreError && error.kind === "permanent")) {
        const text = `not known to be cancelled: ${error.message}; try again`;
        return { done: false, text };
      }
    }
    if (interrupted.aborted) {
      return { done: false, text: "no longer waiting; it was asked to stop" };
    }
    await clock.sleep(LOOK_MS, interrupted);
  }
}

/** What became of a spec that was asked to stop. */
async function endOf(queue: Queue, id: string): Promise<CancelEnd> {
  const result = await resultOf(queue, id);
  if (result?.reason === "cancelled") return { done: true, text: `cancelled on ${result.node}` };
  const end = result === undefined ? "it has ended" : `${result.status}, ${reasonText(result)}`;
  return { done: false, text: `not cancelled, it ended by itself before: ${end}` };
}
