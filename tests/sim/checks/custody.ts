/**
 * No spec is lost, and its bytes never change: every version of every spec that was ever submitted is
 * followed through the four state folders, by its bytes.
 */
import type { AuthoredChange } from "../history.ts";
import {
  type Evidence,
  fingerprint,
  keyOf,
  leaseOf,
  meaningOf,
  SPEC_FOLDERS,
  type SpecFolder,
  told,
} from "./evidence.ts";

/** One set of bytes under one id. Orders are those of the history. */
interface Version {
  readonly label: string;
  submitted: number;
  /** A person put it under `claimed/`, where it may stay for ever. */
  readonly foreign: boolean;
  /** A person deleted or overwrote it last. */
  removed: number;
  readonly stored: Record<SpecFolder, number>;
  /** How often a person submitted it, and how often it was claimed and not given back. */
  submissions: number;
  claims: number;
}

interface Spec {
  readonly versions: Map<string, Version>;
  /** Who stored the pending object last. */
  pendingBy: "agent" | "person";
  /** When a run last became due that has nothing to do with the runs before, in true milliseconds. */
  anewMs: number;
  lastSubmittedMs: number;
  submissions: number;
}

export class SpecCustody {
  readonly #evidence: Evidence;
  readonly #specs = new Map<string, Spec>();
  /** Resubmissions that a store without conditional delete let slip: see the README. */
  slipped = 0;
  /** Resubmissions of the same bytes, too large, that were filed together with the first. */
  merged = 0;

  constructor(evidence: Evidence) {
    this.#evidence = evidence;
    evidence.history.observe((change) => this.#onChange(change));
  }

  /** When somebody last touched a spec's pending object, in true milliseconds. */
  lastSubmittedMs(id: string): number {
    return this.#specs.get(id)?.lastSubmittedMs ?? -Infinity;
  }

  /**
   * When a person's submission last became a claim, or part of one: what starts after that does not
   * carry on what started before.
   */
  anewMs(id: string): number {
    return this.#specs.get(id)?.anewMs ?? -Infinity;
  }

  /** Submissions that have not been filed since, and that no person took back. */
  unfiled(): string[] {
    const unfiled: string[] = [];
    for (const [id, { versions, submissions }] of this.#specs) {
      if (submissions === 0) continue;
      for (const version of versions.values()) {
        const { completed, failed } = version.stored;
        if (Math.max(completed, failed, version.removed) >= version.submitted) continue;
        unfiled.push(`${id} (${version.label})`);
      }
    }
    return unfiled;
  }

  /** Whether a person put these bytes under `claimed/`. */
  isForeign(id: string, body: Uint8Array): boolean {
    return this.#specs.get(id)?.versions.get(fingerprint(body))?.foreign ?? false;
  }

  #onChange(change: AuthoredChange): void {
    const meaning = meaningOf(this.#evidence.keys, change.key);
    if (meaning.kind === "other" || meaning.kind === "result") return;
    const { id, kind } = meaning;
    const byAgent = change.author.kind === "agent";
    if (byAgent && this.#specs.get(id)?.submissions === 0) {
      this.#evidence.violation("foreign", `${told(change)}, whose id nobody submitted`);
    }
    if (kind === "lease") return;
    const spec = this.#specOf(id);
    if (change.kind === "put") {
      this.#onPut(spec, id, kind, change);
    } else {
      this.#onDelete(spec, id, kind, change);
    }
  }

  #onPut(spec: Spec, id: string, folder: SpecFolder, change: AuthoredChange): void {
    const { previous, body, author, order } = change;
    const print = fingerprint(body);
    if (author.kind === "person") this.#onPersonsPut(spec, folder, change);
    const version = spec.versions.get(print);
    if (version === undefined) {
      this.#evidence.violation("bytes", `${told(change)} holds bytes that nobody submitted`);
      return;
    }
    if (folder === "pending") {
      const byHand = author.kind === "person" || this.#isRequeued(id);
      if (byHand) version.submissions++;
      if (byHand) version.submitted = order;
      spec.pendingBy = byHand ? "person" : "agent";
    }
    if (folder === "claimed" && spec.pendingBy === "person") spec.anewMs = change.atMs;
    if (author.kind === "agent" && folder === "claimed" && ++version.claims > version.submissions) {
      if (!this.#evidence.meddled.has(id)) {
        this.#evidence.violation("exactly once", `${told(change)} once more than it was submitted`);
      }
    }
    version.stored[folder] = order;
    if (previous === undefined) return;
    if (author.kind === "agent" && (folder === "pending" || folder === "claimed")) {
      this.#lost(id, `${told(change)} overwrites what was there`);
    }
    if (fingerprint(previous.body) !== print) this.#onGone(spec, id, folder, change);
  }

  /** An agent stores a pending object to give a claim back; an operator, to have a spec run again. */
  #isRequeued(id: string): boolean {
    return leaseOf(this.#evidence, id)?.state === "claimed";
  }

  #onPersonsPut(spec: Spec, folder: SpecFolder, change: AuthoredChange): void {
    const print = fingerprint(change.body);
    const foreign = folder === "claimed";
    let version = spec.versions.get(print);
    if (version === undefined) {
      version = {
        label: `version ${spec.versions.size + 1}`,
        submitted: 0,
        foreign,
        removed: 0,
        stored: { pending: 0, claimed: 0, completed: 0, failed: 0 },
        submissions: 0,
        claims: 0,
      };
      spec.versions.set(print, version);
    }
    if (foreign) return;
    version.submitted = change.order;
    spec.submissions++;
    spec.lastSubmittedMs = change.atMs;
  }

  #onDelete(spec: Spec, id: string, folder: SpecFolder, change: AuthoredChange): void {
    const version = spec.versions.get(fingerprint(change.body));
    if (change.author.kind === "agent" && version !== undefined) {
      this.#checkAgentsDelete(version, id, folder, change);
      if (folder === "pending" && spec.pendingBy === "person") spec.anewMs = change.atMs;
      if (folder === "claimed" && leaseOf(this.#evidence, id)?.state === "releasing") {
        version.claims--;
      }
    }
    if (change.author.kind === "person" && folder === "pending") {
      spec.lastSubmittedMs = change.atMs;
    }
    this.#onGone(spec, id, folder, change);
  }

  /** An agent deletes only what it has stored elsewhere since. */
  #checkAgentsDelete(
    version: Version,
    id: string,
    folder: SpecFolder,
    change: AuthoredChange,
  ): void {
    const { stored } = version;
    const print = fingerprint(change.body);
    const filed = Math.max(stored.completed, stored.failed);
    if (folder === "pending") {
      if (this.#holds("claimed", id, print) || filed > stored.pending) return;
      if (this.#slipped(id, version, change) || this.#merged(id, version, change)) return;
      this.#lost(id, `${told(change)} before its bytes were anywhere else`);
    } else if (folder === "claimed") {
      if (Math.max(filed, stored.pending) > stored.claimed) return;
      if (this.#holds("pending", id, print) || version.removed > stored.claimed) return;
      this.#lost(id, `${told(change)} before its bytes were filed`);
    } else if (
      folder !== "failed" ||
      // Made pending again, unless a person has put another version in that place since.
      !this.#holds("pending", id, print) && version.removed < version.submitted
    ) {
      this.#lost(id, `${told(change)} before its bytes were pending again`);
    }
  }

  /** The bytes are no longer at this key: are they elsewhere? */
  #onGone(spec: Spec, id: string, folder: SpecFolder, change: AuthoredChange): void {
    const print = fingerprint(change.kind === "delete" ? change.body : change.previous!.body);
    const version = spec.versions.get(print);
    if (version === undefined) return;
    const terminal = folder === "completed" || folder === "failed";
    const elsewhere = SPEC_FOLDERS.some((other) =>
      other !== folder && this.#holds(other, id, print)
    );
    if (change.author.kind === "person") {
      // A move out of failed/ takes nothing away, unless the next run was filed between its two steps.
      const moved = terminal && elsewhere && version.stored[folder] < version.submitted;
      if (!moved) version.removed = change.order;
    }
    if (change.author.kind === "person" || elsewhere) return;
    // A later run of the id takes the place of an earlier one's terminal object.
    if (terminal && change.kind === "put") return;
    if (version.removed >= version.submitted) return;
    this.#lost(id, `${told(change)}: ${version.label} is nowhere any more`);
  }

  /**
   * Without conditional deletes (operators' commands do without), what a person stores between an agent's look and its delete is
   * deleted with it. The store offers nothing against that.
   */
  #slipped(id: string, version: Version, change: AuthoredChange): boolean {
    const { scenario } = this.#evidence;
    if (change.author.kind !== "agent") return false;
    const looksFirst = change.author.process.startsWith("op.");
    if (scenario.store.conditionalDelete && !looksFirst) return false;
    const { lookedMs } = change.author;
    if (lookedMs === undefined || this.lastSubmittedMs(id) < lookedMs) return false;
    version.removed = change.order;
    this.slipped++;
    return true;
  }

  /**
   * A spec that is too large is filed from where it lies. The same bytes stored there again at that
   * moment have the same ETag, and share its outcome.
   */
  #merged(id: string, version: Version, change: AuthoredChange): boolean {
    const commit = leaseOf(this.#evidence, id)?.commit;
    if (commit?.source !== "pending" || commit.specEtag !== change.etag) return false;
    if (Math.max(version.stored.completed, version.stored.failed) === 0) return false;
    version.removed = change.order;
    this.merged++;
    return true;
  }

  /** Without the lease that a person has deleted, two claims of one id may be under way at once. */
  #lost(id: string, detail: string): void {
    if (!this.#evidence.meddled.has(id)) this.#evidence.violation("lost", detail);
  }

  #holds(folder: SpecFolder, id: string, print: string): boolean {
    const object = this.#evidence.history.get(keyOf(this.#evidence.keys, folder, id));
    return object !== undefined && fingerprint(object.body) === print;
  }

  #specOf(id: string): Spec {
    let spec = this.#specs.get(id);
    if (spec === undefined) {
      spec = {
        versions: new Map(),
        pendingBy: "person",
        anewMs: -Infinity,
        lastSubmittedMs: -Infinity,
        submissions: 0,
      };
      this.#specs.set(id, spec);
    }
    return spec;
  }
}
