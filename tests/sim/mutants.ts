/**
 * Broken variants of the production code, as changes of its text. Checkers that are worth their name
 * find every one of them.
 */
import type { Family } from "./draw.ts";
import { LEASE_MUTANTS } from "./mutants_of_leases.ts";
import { SPEC_MUTANTS } from "./mutants_of_specs.ts";

/** One change of text; `find` must stand in the file exactly once. */
export interface Edit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface Mutant {
  readonly name: string;
  readonly edits: readonly Edit[];
  /** The scenarios to search. */
  readonly family: Family;
  /** A seed of these that is known to catch it, as found by a search from the first on. */
  readonly seed: number;
}

export const MUTANTS: readonly Mutant[] = [...LEASE_MUTANTS, ...SPEC_MUTANTS];
