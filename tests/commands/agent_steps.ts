/** What an agent does to a spec, step by step and without its loops, for races with a command. */
import { claimPending, takeOver } from "../../lib/claim.ts";
import type { ClaimContext } from "../../lib/claim_context.ts";
import { readLease } from "../../lib/read_lease.ts";
import { finishFiling, release } from "../../lib/settle.ts";
import { settle } from "../../lib/work.ts";

/** Claims the spec if it is pending, "runs" it to the exit code, and files it. */
export async function runPending(
  context: ClaimContext,
  id: string,
  exitCode: number,
): Promise<"ran" | "left"> {
  const claim = await claimPending(context, id);
  if (claim.kind !== "ready") return "left";
  const output = { stdoutBytes: 0, stderrBytes: 0, stdoutTail: EMPTY, stderrTail: EMPTY };
  const end = await settle(context, claim.claimed, {
    reason: "exit",
    exit: { exitCode, ...output },
    endedAtMs: context.clock.now(),
  });
  if (end.kind === "committed") await end.filing;
  return "ran";
}

const EMPTY = new Uint8Array();

/** Takes over whatever lease the spec has, as after its death, and goes on from there to the end. */
export async function recover(context: ClaimContext, id: string): Promise<void> {
  const found = await readLease(context, id);
  if (found === undefined) return;
  const taken = await takeOver(context, id, found);
  switch (taken.kind) {
    case "ready":
    case "lost": {
      const end = await settle(context, taken.claimed, {
        reason: "exit",
        exit: { exitCode: 0, stdoutBytes: 0, stderrBytes: 0, stdoutTail: EMPTY, stderrTail: EMPTY },
        endedAtMs: context.clock.now(),
      });
      if (end.kind === "committed") await end.filing;
      return;
    }
    case "finish-filing":
      await finishFiling(context, taken.held, taken.commit);
      return;
    case "finish-release":
      await release(context, taken, taken.attempt);
  }
}
