/**
 * Broken variants of the production code, as changes of its text. Each says what a checker that is
 * worth its name has to find.
 */

/** One change of text; `find` must stand in the file exactly once. */
export interface Edit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface Mutant {
  readonly name: string;
  readonly edits: readonly Edit[];
  /** A seed that is known to catch it, as found by a search from 1 on. */
  readonly seed: number;
}

const ACQUIRE = "lib/acquire_lease.ts";
const CELL = "lib/cell.ts";
const CLAIM = "lib/claim.ts";
const HELD = "lib/held_lease.ts";
const LEASE = "lib/core/lease.ts";
const PROBE = "lib/probe.ts";
const SETTLE = "lib/settle.ts";
const TIMING = "lib/core/lease_timing.ts";
const WATCH = "lib/core/lease_watch.ts";
const WORK = "lib/work.ts";

export const MUTANTS: readonly Mutant[] = [
  {
    name: "a refused lease write is believed without a look",
    seed: 0,
    edits: [{
      file: HELD,
      find: "      const found = await lookAtLease(this.#context, this.id);",
      replace: `      if (result.outcome === "refused") {
        this.#lost.abort();
        return "lost";
      }
      const found = await lookAtLease(this.#context, this.id);`,
    }],
  },
  {
    name: "a lease of any nonce passes for one's own",
    seed: 0,
    edits: [{
      file: LEASE,
      find: `  if (found.lease?.nonce !== written.nonce) return "someone-else";\n`,
      replace: `  if (found.lease === undefined) return "someone-else";\n`,
    }],
  },
  {
    name: "trust runs from the reply instead of the start of the write",
    seed: 0,
    edits: [{
      file: HELD,
      find: "    this.#writeStartedMs = writeStartedMs;\n    return",
      replace: "    this.#writeStartedMs = this.#context.clock.monotonic();\n    return",
    }],
  },
  {
    name: "trust after an unanswered write runs from the last try",
    seed: 0,
    edits: [{
      file: HELD,
      find: "return this.#adopt(next, found!.etag, firstStartedMs);",
      replace: "return this.#adopt(next, found!.etag, clock.monotonic());",
    }],
  },
  {
    name: "a renewal whose outcome is unknown counts as stored",
    seed: 0,
    edits: [{
      file: HELD,
      find:
        `      if (found === "failed") return "unknown";\n      switch (compareLease(found, next))`,
      replace:
        `      if (found === "failed") return this.#adopt(this.#lease, this.#etag, startedMs);\n      switch (compareLease(found, next))`,
    }],
  },
  {
    name: "no margin for the kill grace",
    seed: 0,
    edits: [{
      file: TIMING,
      find: "return trustEndsMs(timing, writeStartedMs) - timing.killGraceMs;",
      replace: "return trustEndsMs(timing, writeStartedMs);",
    }],
  },
  {
    name: "no allowance for clocks",
    seed: 0,
    edits: [{ file: TIMING, find: "allowanceMs: ttlMs / 20,", replace: "allowanceMs: 0," }],
  },
  {
    name: "a cell that was not renewed in time runs on",
    seed: 0,
    edits: [{
      file: CELL,
      find: "  if (strict) void fenceInTime(context, held, stopper, over);\n",
      replace: "",
    }],
  },
  {
    name: "a cell deaf to SIGTERM gets no SIGKILL",
    seed: 0,
    edits: [{
      file: CELL,
      find: `if (!this.#over.aborted) this.#cell.signal("SIGKILL");`,
      replace: "",
    }],
  },
  {
    name: "a cell starts however old the lease is",
    seed: 0,
    edits: [{
      file: CELL,
      find: "  await held.ensureTrust(timing.killGraceMs + timing.requestTimeoutMs);\n",
      replace: "",
    }],
  },
  {
    name: "claimed/ is written plainly instead of created",
    seed: 0,
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
    seed: 0,
    edits: [{
      file: SETTLE,
      find: `  if (filed === "filed") await held.deleteObject(sourceKey, specEtag);`,
      replace: `  if (filed === "filed") await context.store.delete(sourceKey, undefined);`,
    }],
  },
  {
    name: "the outcome is filed without a commit",
    seed: 0,
    edits: [{
      file: WORK,
      find: "  await held.commit(commit);\n",
      replace: "",
    }],
  },
  {
    name: "the outcome is filed after a refused commit",
    seed: 0,
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
    seed: 0,
    edits: [{
      file: HELD,
      find: `        if (written === "stored") return;\n`,
      replace: `        if (written === "stored") return;
        if (written === "unknown") throw new ClaimLost("Not answered");\n`,
    }],
  },
  {
    name: "a lease is dead before its lifetime is over",
    seed: 0,
    edits: [{
      file: WATCH,
      find: "      if (sighting.lastSeenMs - sighting.firstSeenMs >= this.#timing.ttlMs) {",
      replace: "      if (sighting.lastSeenMs - sighting.firstSeenMs >= this.#timing.ttlMs / 3) {",
    }],
  },
  {
    name: "a lease is taken over on sight",
    seed: 0,
    edits: [{
      file: WATCH,
      find: "      if (sighting.lastSeenMs - sighting.firstSeenMs >= this.#timing.ttlMs) {",
      replace: "      if (sighting.lastSeenMs >= 0) {",
    }],
  },
  {
    name: "an observation goes on over a gap",
    seed: 0,
    edits: [{
      file: WATCH,
      find: "const known = gap ? undefined : this.#sightings.get(id);",
      replace: "const known = gap && Math.abs(0) > 1 ? undefined : this.#sightings.get(id);",
    }],
  },
  {
    name: "an observation counts from before the listing to after it",
    seed: 0,
    edits: [{
      file: WATCH,
      find: "next.set(id, { etag, firstSeenMs: listing.endedMs, lastSeenMs: listing.startedMs });",
      replace:
        "next.set(id, { etag, firstSeenMs: listing.startedMs, lastSeenMs: listing.endedMs });",
    }],
  },
  {
    name: "the age of a lease is read off the wall clock",
    seed: 0,
    edits: [{
      file: "lib/claim_scan.ts",
      find: "    return this.#watch.dead().filter(",
      replace: `    return objects.flatMap((object) => {
      const key = keys.claimedKey(object.key);
      const old = clock.now() - object.lastModifiedMs >= this.#context.timing.ttlMs;
      return key.kind === "lease" && old ? [{ id: key.id, etag: object.etag }] : [];
    }).filter(`,
    }],
  },
  {
    name: "pending/ is deleted before claimed/ is stored",
    seed: 0,
    edits: [{
      file: CLAIM,
      find: "  const created = await held.createObject(\n    keys.claimed(id),",
      replace: `  await held.deleteObject(keys.pending(id), pending.object.etag);
  const created = await held.createObject(\n    keys.claimed(id),`,
    }],
  },
  {
    name: "pending/ is deleted whatever is there by then",
    seed: 0,
    edits: [{
      file: CLAIM,
      find: "    await held.deleteObject(keys.pending(id), pending.object.etag);\n",
      replace: `    const now = await held.headObject(keys.pending(id));
    if (now !== undefined) await held.deleteObject(keys.pending(id), now.etag);\n`,
    }],
  },
  {
    name: "pending/ is not read again under the lease",
    seed: 0,
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
    seed: 0,
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
    seed: 0,
    edits: [{
      file: LEASE,
      find:
        "return pending !== undefined && sameBytes && pending.lastModifiedMs <= claimed.lastModifiedMs;",
      replace: "return pending !== undefined;",
    }],
  },
  {
    name: "an attempt that was lost is not counted",
    seed: 0,
    edits: [{
      file: LEASE,
      find: `: { step: "run-again", attempt: attempt + 1 };`,
      replace: `: { step: "run-again", attempt };`,
    }],
  },
  {
    name: "one attempt more than allowed",
    seed: 0,
    edits: [{
      file: LEASE,
      find: "  return attempt >= maxAttempts\n",
      replace: "  return attempt > maxAttempts\n",
    }],
  },
  {
    name: "attempts are forgotten when a claim is given back",
    seed: 0,
    edits: [{
      file: SETTLE,
      find: "const metadata = specMetadata(attempt - 1);",
      replace: "const metadata = specMetadata(0);",
    }],
  },
  {
    name: "a takeover runs again what has an outcome",
    seed: 0,
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
    seed: 0,
    edits: [{
      file: CLAIM,
      find: `  if (context.poolId === "") return true;\n`,
      replace: `  if (context.poolId !== undefined) return true;\n`,
    }],
  },
  {
    name: "the lease is deleted before the terminal object is stored",
    seed: 0,
    edits: [{
      file: SETTLE,
      find: "  await fileResult(context, held, result);\n",
      replace: "  await held.removeLease();\n  await fileResult(context, held, result);\n",
    }],
  },
  {
    name: "claimed/ is deleted before the terminal object is stored",
    seed: 0,
    edits: [{
      file: SETTLE,
      find: "  await fileResult(context, held, result);\n",
      replace:
        "  spec ??= await specOf(held, sourceKey, specEtag);\n  await held.deleteObject(sourceKey, specEtag);\n  await fileResult(context, held, result);\n",
    }],
  },
  {
    name: "an earlier run's terminal object is taken for this one's",
    seed: 0,
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
    seed: 0,
    edits: [{
      file: SETTLE,
      find: "  const metadata = specMetadata(attempt - 1);\n",
      replace:
        "  const metadata = specMetadata(attempt - 1);\n  await held.deleteObject(keys.claimed(held.id), specEtag);\n",
    }],
  },
  {
    name: "a release overwrites what was submitted meanwhile",
    seed: 0,
    edits: [{
      file: SETTLE,
      find: `    if (got.outcome !== "absent") return "kept";\n`,
      replace: `    if (got.outcome === "found") {
      await held.replaceObject(keys.pending(held.id), got.object.etag, spec, metadata);
    }\n`,
    }],
  },
  {
    name: "writes are sent however little trust is left",
    seed: 0,
    edits: [{
      file: HELD,
      find: "    await this.ensureTrust(trustForWriteMs(timing));\n    const result",
      replace: "    const result",
    }],
  },
  {
    name: "an unanswered write is not waited for",
    seed: 0,
    edits: [{
      file: HELD,
      find: "      await clock.sleep(timing.landingMs, giveUp);\n",
      replace: "",
    }],
  },
  {
    name: "a plain delete is sent again without a look",
    seed: 0,
    edits: [{
      file: HELD,
      find: "      if (!conditionalDelete) {\n",
      replace: "      if (!conditionalDelete && failures === 1) {\n",
    }],
  },
  {
    name: "a delete that looks first is sent without a condition",
    seed: 0,
    edits: [{
      file: HELD,
      find: "(options) => store.delete(key, etag(), options),",
      replace: "(options) => store.delete(key, conditionalDelete ? etag() : undefined, options),",
    }],
  },
  {
    name: "the probe replaces an absent object at the key that it has just cleaned up",
    seed: 0,
    edits: [{
      file: PROBE,
      find: "  const absentKey = keys.probe(entropy.nonce());\n",
      replace: "  const absentKey = key;\n",
    }],
  },
  {
    name: "the probe believes that a refused delete did nothing",
    seed: 0,
    edits: [{
      file: PROBE,
      find: "const conditional = (await store.head(key))?.etag === etag;",
      replace: "const conditional = etag !== undefined;",
    }],
  },
  {
    name: "every try for a lease has the same body",
    seed: 0,
    edits: [{
      file: ACQUIRE,
      find: "const tried = { ...lease, sequence: lease.sequence + tries - 1 };",
      replace: "const tried = lease;",
    }],
  },
];
