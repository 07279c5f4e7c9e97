/**
 * Broken variants of the production code, as changes of its text. Checkers that are worth their name
 * find every one of them.
 */
import type { Mutant } from "./mutant.ts";
import { LEASE_MUTANTS } from "./mutants_of_leases.ts";
import { SPEC_MUTANTS } from "./mutants_of_specs.ts";

export const MUTANTS: readonly Mutant[] = [...LEASE_MUTANTS, ...SPEC_MUTANTS];
