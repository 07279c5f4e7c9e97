/** What is left to do: nothing, once everything is terminal. */
import type { SpecCustody } from "./custody.ts";
import { type Evidence, meaningOf } from "./evidence.ts";

/** Everything that stands between the fleet and rest, in words. */
export function openWork(evidence: Evidence, custody: SpecCustody): string[] {
  const { history, keys, ledger, meddled } = evidence;
  const open: string[] = [];
  for (const folder of ["pending", "claimed"] as const) {
    for (const { key } of history.bucket.list({ prefix: keys.folder(folder) }).objects) {
      const meaning = meaningOf(keys, key);
      if (meaning.kind === "other") continue;
      // Without a lease, it is for a person to give it back.
      if (meaning.kind === "claimed" && history.get(keys.lease(meaning.id)) === undefined) {
        const { id } = meaning;
        if (meddled.has(id) || custody.isForeign(id, history.get(key)!.body)) continue;
      }
      open.push(key);
    }
  }
  for (const { entry } of ledger.running) open.push(`cell ${entry.number} of ${entry.specId}`);
  for (const spec of custody.unfiled()) {
    const id = spec.slice(0, spec.lastIndexOf(" ("));
    if (!meddled.has(id)) open.push(`${spec} was not filed`);
  }
  return open;
}
