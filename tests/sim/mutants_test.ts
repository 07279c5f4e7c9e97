import assert from "node:assert/strict";
import type { Mutant } from "./mutant.ts";
import { MUTANTS } from "./mutants.ts";
import { Laboratory } from "./mutation.ts";

/** How many mutants are tried at once. */
const LABORATORIES = 2;
/** From the seed that is known to catch it; the code may have changed since it was found. */
const SEEDS_FROM_KNOWN = 5_000;
const SEEDS_WITHOUT_MUTATION = 20;

const UNCHANGED: Mutant = { name: "no mutation", family: "medley", edits: [], seed: 1 };

Deno.test("the checkers catch every mutant of the production code", async () => {
  assert.ok(MUTANTS.length >= 15);
  assert.equal(new Set(MUTANTS.map(({ name }) => name)).size, MUTANTS.length);
  const queue = [...MUTANTS];
  const missed: string[] = [];
  let caught = 0;
  const work = async () => {
    await using laboratory = await Laboratory.open();
    for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
      const run = await laboratory.run(mutant, mutant.seed, SEEDS_FROM_KNOWN);
      if (run.caught === undefined) missed.push(mutant.name);
      else caught++;
    }
  };
  await Promise.all(Array.from({ length: LABORATORIES }, work));
  assert.deepEqual(missed, []);
  assert.equal(caught, MUTANTS.length);
  console.log(`    ${caught} mutants caught`);
});

Deno.test("a copy without a mutation keeps every promise", async () => {
  await using laboratory = await Laboratory.open();
  const run = await laboratory.run(UNCHANGED, 1, SEEDS_WITHOUT_MUTATION);
  assert.equal(run.caught, undefined);
});

Deno.test("a mutant that no longer applies to the code is an error, not a miss", async () => {
  await using laboratory = await Laboratory.open();
  const edits = [{ file: "lib/cell.ts", find: "no such text", replace: "" }];
  await assert.rejects(
    laboratory.run({ ...UNCHANGED, edits }, 1, 1),
    /the text to change is 0 times in lib\/cell\.ts/,
  );
});
