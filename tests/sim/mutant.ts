/** What a broken variant of the production code is. */
import type { Family } from "./draw.ts";

/** One change of text; `find` must stand in the file exactly once. */
export interface Edit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface Mutant {
  readonly name: string;
  readonly edits: readonly Edit[];
  /** The scenarios to search; `regressions` for what is too rare to be found by chance each time. */
  readonly family: Family | "regressions";
  /** A seed of these that is known to catch it, as found by a search from the first on. */
  readonly seed: number;
}
