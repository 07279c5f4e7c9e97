/**
 * Runs seeds of one family until one breaks a promise, and prints which:
 * `mutant_run.ts <family> <from> <seeds>`. Meant for a copy of the program with a mutation in it.
 */
import { drawScenario, familyOf } from "./draw.ts";
import { simulate } from "./simulation.ts";

/** What is printed, as one line of JSON. */
export interface MutantRun {
  /** Seeds of the family that were run. */
  readonly tried: number;
  /** Undefined when every promise was kept. */
  readonly caught?: { readonly seed: number; readonly check: string; readonly detail: string };
}

if (import.meta.main) {
  const [family, from, seeds] = Deno.args;
  let run: MutantRun = { tried: 0 };
  for (let seed = Number(from); run.tried < Number(seeds); seed++) {
    if (familyOf(seed) !== family) continue;
    const tried = run.tried + 1;
    run = { tried };
    const { violations: [violation] } = await simulate(drawScenario(seed));
    if (violation !== undefined) {
      run = { tried, caught: { seed, check: violation.check, detail: violation.detail } };
      break;
    }
  }
  console.log(JSON.stringify(run));
}
