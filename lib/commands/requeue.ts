/** `cellos-fleet requeue`: failed specs, and claims left behind, back into the queue. */
import { StoreError } from "../core/store_error.ts";
import type { ClaimContext } from "../claim_context.ts";
import { ClaimLost } from "../held_lease.ts";
import { type RequeueResult, requeueSpec } from "../requeue.ts";
import { type Command, type CommandSyntax, type OptionValues, UsageError } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { claimContext, complain, listFolder, mapBounded, type Queue, withQueue } from "./queue.ts";
import { idProblem } from "./spec_input.ts";

const AT_ONCE = 8;

const SYNTAX: CommandSyntax = {
  name: "requeue",
  synopsis: "requeue [--leaseless] ID… | --all-failed",
  summary: "Make failed specs pending again, and claims that were left without a lease",
  description: [
    "Moves failed specs back to pending, and says for each id what it did. What is pending or " +
    "claimed is refused. The result record stays, and is part of the history of the next run.",
    "A claim without a lease is left alone unless --leaseless is given: it is the claim of an agent " +
    "of a version before 0.6, and may be running. Make sure that it is not, or it runs twice.",
  ],
  options: [
    { name: "all-failed", meaning: "Every spec that has failed" },
    { name: "leaseless", meaning: "Also give back claims that have no lease" },
  ],
  takesArguments: true,
  examples: [
    "cellos-fleet requeue nightly-2031-05-01",
    "cellos-fleet requeue --all-failed",
    "cellos-fleet requeue --leaseless left-behind",
  ],
  exitCodes: [
    ["0", "Every spec is pending again"],
    ["1", "Not every one; each line says why"],
  ],
};

export const REQUEUE: Command = {
  syntax: SYNTAX,
  read(values: OptionValues, ids: readonly string[]) {
    const leaseless = values["leaseless"] === true;
    if (values["all-failed"] === true) {
      if (ids.length > 0) throw new UsageError("Give ids or --all-failed, not both");
      if (leaseless) {
        throw new UsageError("--leaseless needs ids; --all-failed does not go with it");
      }
      return (ports) => withQueue(ports, requeueAllFailed);
    }
    if (ids.length === 0) throw new UsageError("Give the ids to requeue, or --all-failed");
    return (ports) => withQueue(ports, (queue) => requeueIds(queue, [...new Set(ids)], leaseless));
  },
};

async function requeueAllFailed(queue: Queue): Promise<number> {
  const { keys } = queue;
  const { objects } = await listFolder(queue, keys.folder("failed"), true);
  const ids = objects.map(({ key }) => keys.specId("failed", key)).filter((id) => id !== undefined);
  if (ids.length === 0) await complain(queue.ports.terminal, "No spec has failed");
  return await requeueIds(queue, ids, false);
}

/** Requeues several at a time; one line for each, in their order. */
async function requeueIds(
  queue: Queue,
  ids: readonly string[],
  leaseless: boolean,
): Promise<number> {
  const { terminal, interrupted } = queue.ports;
  const context = await claimContext(queue);
  let requeued = 0;
  let tried = 0;
  let turn: Promise<void> = Promise.resolve();
  await mapBounded(ids, AT_ONCE, async (id) => {
    const before = turn;
    const { promise, resolve } = Promise.withResolvers<void>();
    turn = promise;
    try {
      if (interrupted.aborted) return;
      tried++;
      const { done, text } = await requeueOne(queue, context, id, leaseless);
      if (done) requeued++;
      await before;
      if (done) await terminal.print(`${id}: ${text}\n`);
      else await complain(terminal, `${id}: ${text}`);
    } finally {
      resolve();
    }
  });
  if (ids.length > 1) await complain(terminal, `Requeued ${requeued} of ${ids.length} specs`);
  if (interrupted.aborted && tried < ids.length) return EXIT.interrupted;
  return requeued === ids.length ? EXIT.ok : EXIT.refused;
}

async function requeueOne(
  { keys }: Queue,
  context: ClaimContext,
  id: string,
  leaseless: boolean,
): Promise<{ readonly done: boolean; readonly text: string }> {
  const problem = idProblem(keys, id);
  if (problem !== undefined) return { done: false, text: `not requeued, ${problem}` };
  try {
    const result = await requeueSpec(context, id, { leaseless });
    return { done: result.kind === "requeued", text: resultText(result) };
  } catch (error) {
    if (!(error instanceof StoreError || error instanceof ClaimLost)) throw error;
    return { done: false, text: `not known to be requeued: ${error.message}; try again` };
  }
}

function resultText(result: RequeueResult): string {
  switch (result.kind) {
    case "requeued":
      return result.from === "failed"
        ? "requeued, had failed"
        : "requeued, was claimed without a lease";
    case "pending":
      return "not requeued, it is pending";
    case "held":
      return `not requeued, it is claimed by ${
        result.node ?? "somebody whose lease is unreadable"
      }`;
    case "leaseless":
      return "not requeued, it is claimed without a lease; when no agent runs it, use --leaseless";
    case "blocked":
      return "not requeued, another spec is pending under its id; the claimed one is run first";
    case "too-large":
      return `not requeued, it has ${result.bytes} bytes, more than CELLOS_FLEET_MAX_SPEC_BYTES ` +
        "allows, and would fail again";
    case "completed":
      return "not requeued, it has completed; submit --again runs an id once more";
    case "unknown-id":
      return "not requeued, there is no such spec";
  }
}
