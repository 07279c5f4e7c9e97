/** Mutants of what is done to specs: the order of steps, and what is looked at before each. */
import type { Mutant } from "./mutant.ts";

const CLAIM = "lib/claim.ts";
const HELD = "lib/held_lease.ts";
const LEASE = "lib/core/lease.ts";
const SETTLE = "lib/settle.ts";
const WORK = "lib/work.ts";

export const SPEC_MUTANTS: readonly Mutant[] = [
  {
    name: "claimed/ is written plainly instead of created",
    family: "medley",
    seed: 31,
    edits: [{
      file: CLAIM,
      find: `  const created = await held.createObject(
    keys.claimed(id),
    pending.object.body,
    specMetadata(lostAttempts),
  );`,
      replace: `  await context.store.put(
    keys.claimed(id),
    pending.object.body,
    specMetadata(lostAttempts),
  );
  const created = {
    outcome: "stored" as string,
    etag: (await held.headObject(keys.claimed(id)))!.etag,
  };`,
    }],
  },
  {
    name: "claimed/ is deleted plainly, without a look at trust",
    family: "medley",
    seed: 191,
    edits: [{
      file: SETTLE,
      find: `  if (filed === "filed") await held.deleteObject(sourceKey, specEtag);`,
      replace: `  if (filed === "filed") await context.store.delete(sourceKey, undefined);`,
    }],
  },
  {
    name: "the outcome is filed without a commit",
    family: "medley",
    seed: 3,
    edits: [{
      file: WORK,
      find: "  await held.commit(commit);\n",
      replace: "",
    }],
  },
  {
    name: "the outcome is filed after a refused commit",
    family: "medley",
    seed: 159,
    edits: [
      {
        file: WORK,
        find: "  await held.commit(commit);\n",
        replace: "  await held.commit(commit).catch(() => {});\n",
      },
      {
        file: HELD,
        find: `    if (this.#lost.signal.aborted) {
      throw new ClaimLost(`,
        replace: `    if (this.#lost.signal.aborted && Math.abs(0) > 1) {
      throw new ClaimLost(`,
      },
      {
        file: HELD,
        find: `return !this.#lost.signal.aborted &&
      this`,
        replace: `return this`,
      },
    ],
  },
  {
    name: "a commit that was not answered is given up",
    family: "steady",
    seed: 25,
    edits: [{
      file: HELD,
      find: `        if (written === "stored") return;\n`,
      replace: `        if (written === "stored") return;
        if (written === "unknown") throw new ClaimLost("Not answered");\n`,
    }],
  },
  {
    name: "pending/ is deleted before claimed/ is stored",
    family: "medley",
    seed: 3,
    edits: [{
      file: CLAIM,
      find: "  const created = await held.createObject(\n    keys.claimed(id),",
      replace: `  await held.deleteObject(keys.pending(id), pending.object.etag);
  const created = await held.createObject(\n    keys.claimed(id),`,
    }],
  },
  {
    name: "pending/ is deleted whatever is there by then",
    family: "hands",
    seed: 126,
    edits: [{
      file: CLAIM,
      find: "    await held.deleteObject(keys.pending(id), pending.object.etag);\n",
      replace: `    const now = await held.headObject(keys.pending(id));
    if (now !== undefined) await held.deleteObject(keys.pending(id), now.etag);\n`,
    }],
  },
  {
    name: "pending/ is not read again under the lease",
    family: "hands",
    seed: 482,
    edits: [
      {
        file: CLAIM,
        find:
          "  const lease = newLease(leaseStart(context, id));\n  const { store, keys, timing } = context;",
        replace: `  const lease = newLease(leaseStart(context, id));
  const { store, keys, timing } = context;
  const early = await store.get(keys.pending(id), context.maxSpecBytes);`,
      },
      {
        file: CLAIM,
        find: `  if (held === "refused") return { kind: "held" };
  if (held === "unknown") return { kind: "unknown" };
  return await secure(context, held);`,
        replace: `  if (held === "refused") return { kind: "held" };
  if (held === "unknown") return { kind: "unknown" };
  return await secure(context, held, early);`,
      },
      {
        file: CLAIM,
        find:
          "async function secure(context: ClaimContext, held: HeldLease): Promise<ClaimResult> {",
        replace: `async function secure(
  context: ClaimContext,
  held: HeldLease,
  early?: GetResult,
): Promise<ClaimResult> {`,
      },
      {
        file: CLAIM,
        find:
          "  const pending = await held.readObject(keys.pending(id), maxSpecBytes);\n  if (pending",
        replace:
          "  const pending = early ?? await held.readObject(keys.pending(id), maxSpecBytes);\n  if (pending",
      },
    ],
  },
  {
    name: "a claimed object that is there already is taken for one's own",
    family: "medley",
    seed: 275,
    edits: [{
      file: CLAIM,
      find:
        "  return await ready(held, claimed.object.body, claimed.object.etag, facts.lostAttempts + 1);",
      replace:
        "  return await ready(held, pending.body, claimed.object.etag, facts.lostAttempts + 1);",
    }],
  },
  {
    name: "other bytes in pending/ pass for the origin of the claim",
    family: "hands",
    seed: 194,
    edits: [{
      file: LEASE,
      find:
        "return pending !== undefined && sameBytes && pending.lastModifiedMs <= claimed.lastModifiedMs;",
      replace: "return pending !== undefined;",
    }],
  },
  {
    name: "an attempt that was lost is not counted",
    family: "medley",
    seed: 63,
    edits: [{
      file: LEASE,
      find: `: { step: "run-again", attempt: attempt + 1 };`,
      replace: `: { step: "run-again", attempt };`,
    }],
  },
  {
    name: "one attempt more than allowed",
    family: "medley",
    seed: 15,
    edits: [{
      file: LEASE,
      find: "  return attempt >= maxAttempts\n",
      replace: "  return attempt > maxAttempts\n",
    }],
  },
  {
    name: "attempts are forgotten when a claim is given back",
    family: "medley",
    seed: 6431,
    edits: [{
      file: SETTLE,
      find: "const metadata = specMetadata(attempt - 1);",
      replace: "const metadata = specMetadata(0);",
    }],
  },
  {
    name: "a takeover runs again what has an outcome",
    family: "hands",
    seed: 34,
    edits: [
      {
        file: CLAIM,
        find: `  if (before?.commit !== undefined) {
    return { kind: "finish-filing", held, commit: before.commit };
  }
`,
        replace: "",
      },
      {
        file: LEASE,
        find:
          `  if (before?.commit !== undefined) return { step: "finish-filing", commit: before.commit };\n`,
        replace: "",
      },
    ],
  },
  {
    name: "a takeover does not look at the pool",
    family: "medley",
    seed: 83,
    edits: [{
      file: CLAIM,
      find: `  if (context.poolId === "") return true;\n`,
      replace: `  if (context.poolId !== undefined) return true;\n`,
    }],
  },
  {
    name: "the lease is deleted before the terminal object is stored",
    family: "hands",
    seed: 2,
    edits: [{
      file: SETTLE,
      find: "  await fileResult(context, held, result);\n",
      replace: "  await held.removeLease();\n  await fileResult(context, held, result);\n",
    }],
  },
  {
    name: "claimed/ is deleted before the terminal object is stored",
    family: "medley",
    seed: 3,
    edits: [{
      file: SETTLE,
      find: "  await fileResult(context, held, result);\n",
      replace:
        "  spec ??= await specOf(held, sourceKey, specEtag);\n  await held.deleteObject(sourceKey, specEtag);\n  await fileResult(context, held, result);\n",
    }],
  },
  {
    name: "an earlier run's terminal object is taken for this one's",
    family: "medley",
    seed: 3,
    edits: [{
      file: SETTLE,
      find: `    if (claimOfMetadata(head.metadata) === result.claim) return "filed";
    const replaced`,
      replace: `    if (head.key !== "") return "filed";
    const replaced`,
    }],
  },
  {
    name: "a release deletes claimed/ before pending/ is stored",
    family: "medley",
    seed: 219,
    edits: [{
      file: SETTLE,
      find: "  const metadata = specMetadata(attempt - 1);\n",
      replace:
        "  const metadata = specMetadata(attempt - 1);\n  await held.deleteObject(keys.claimed(held.id), specEtag);\n",
    }],
  },
  {
    name: "a release overwrites what was submitted meanwhile",
    family: "hands",
    seed: 282,
    edits: [{
      file: SETTLE,
      find: `    if (got.outcome !== "absent") return "kept";\n`,
      replace: `    if (got.outcome === "found") {
      await held.replaceObject(keys.pending(held.id), got.object.etag, spec, metadata);
    }\n`,
    }],
  },
  {
    name: "a mark to cancel is compared with the claim that ran before it was read",
    family: "regressions",
    seed: 1,
    edits: [
      {
        file: "lib/takeovers.ts",
        find: "    if (slots.running(id) === undefined) continue;\n",
        replace: "    const early = slots.running(id);\n    if (early === undefined) continue;\n",
      },
      {
        file: "lib/takeovers.ts",
        find:
          "if (cancels(decodeCancelMark(got.object.body), slots.running(id))) slots.cancel(id);",
        replace: "if (cancels(decodeCancelMark(got.object.body), early)) slots.cancel(id);",
      },
    ],
  },
];
