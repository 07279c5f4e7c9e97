/**
 * Runs seeds until one breaks a promise, and prints which: `mutant_run.ts <from> <seeds>`. Meant for
 * a copy of the program with a mutation in it.
 */
import { drawScenario } from "./draw.ts";
import { simulate } from "./simulation.ts";

/** What is printed, as one line of JSON. */
export interface MutantRun {
  /** Undefined when every promise was kept. */
  readonly caught?: { readonly seed: number; readonly check: string; readonly detail: string };
}

if (import.meta.main) {
  const [from, seeds] = Deno.args.map(Number);
  let run: MutantRun = {};
  for (let seed = from; seed < from + seeds && run.caught === undefined; seed++) {
    const { violations: [violation] } = await simulate(drawScenario(seed));
    if (violation !== undefined) {
      run = { caught: { seed, check: violation.check, detail: violation.detail } };
    }
  }
  console.log(JSON.stringify(run));
}
