/** `cellos-fleet submit`: specs from standard input into the queue. */
import { type Command, type CommandSyntax, type OptionValues, UsageError } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { followSpec } from "./follow.ts";
import { complain, type Queue, withQueue } from "./queue.ts";
import { idProblem, readAll, specProblem, specWarning } from "./spec_input.ts";
import { submitSpec } from "./submission.ts";
import { submitLines } from "./submit_lines.ts";
import { TimeOrderedIds } from "./time_ordered_id.ts";
import { type End, placeText, whereIs } from "./whereabouts.ts";

const SYNTAX: CommandSyntax = {
  name: "submit",
  synopsis: "submit [--id ID] [--again] [--wait] [--lines] < spec.json",
  summary: "Put the spec on standard input into the queue, and print its id",
  description: [
    "Reads one spec, a JSON object, and stores it as pending, byte for byte. It never overwrites " +
    "a spec: an id that is pending or claimed is refused, and one that has completed or failed " +
    "too, unless --again is given.",
    "With --lines every line is a spec, with a fresh id each; all lines are checked before the " +
    "first is submitted, so that a bad line means that nothing was. The ids are printed in the " +
    "order of the lines.",
  ],
  options: [
    {
      name: "id",
      value: "ID",
      meaning: "Id of the spec; without it a fresh UUID that sorts by time",
    },
    { name: "again", meaning: "Also take the id of a spec that has completed or failed" },
    {
      name: "wait",
      meaning: "Follow the spec to its end, print result and output, exit with the cell's code",
    },
    { name: "lines", meaning: "Take every line of the input as a spec" },
  ],
  takesArguments: false,
  examples: [
    `echo '{"spec":{"run":{"argv":["true"]}}}' | cellos-fleet submit`,
    "cellos-fleet submit --id nightly-2031-05-01 --wait < spec.json",
    "cellos-fleet submit --lines < specs.jsonl > ids.txt",
  ],
  exitCodes: [
    ["0", "Submitted; with --wait: and completed"],
    ["1", "Refused; with --lines: not all were submitted"],
    ["1, …", "With --wait: the exit code of the cell, 128 + n when signal n ended it, and 1 when"],
    ["", "it was cancelled, lost, too large, or ran longer than allowed"],
    ["75", "The bucket did not say whether it is stored; the message says what to do"],
  ],
};

interface SubmitArguments {
  readonly id: string | undefined;
  readonly again: boolean;
  readonly wait: boolean;
}

export const SUBMIT: Command = {
  syntax: SYNTAX,
  read(values: OptionValues) {
    const id = values["id"] as string | undefined;
    const again = values["again"] === true;
    const wait = values["wait"] === true;
    if (values["lines"] === true) {
      const other = id !== undefined ? "--id" : again ? "--again" : wait ? "--wait" : undefined;
      if (other !== undefined) throw new UsageError(`${other} cannot be used with --lines`);
      return (ports) => withQueue(ports, submitLines);
    }
    if (again && id === undefined) throw new UsageError("--again needs --id");
    return (ports) => withQueue(ports, (queue) => submitOne(queue, { id, again, wait }));
  },
};

async function submitOne(queue: Queue, options: SubmitArguments): Promise<number> {
  const { id: given, again, wait } = options;
  const { terminal, clock, entropy } = queue.ports;
  const id = given ?? new TimeOrderedIds(clock, entropy).next();
  const wrongId = idProblem(queue.keys, id);
  if (wrongId !== undefined) {
    throw new UsageError(`The id ${JSON.stringify(id)} cannot be used: ${wrongId}`);
  }
  const bytes = await readSpec(queue);
  if (typeof bytes === "number") return bytes;
  const before = given === undefined ? [] : await endsUnlessTaken(queue, id, again);
  if (before === undefined) return EXIT.refused;
  const submission = await submitSpec(queue, id, bytes, before);
  switch (submission.kind) {
    case "pending":
      return await refuse(queue, id, "it is pending", "");
    case "unknown":
      await complain(
        terminal,
        `The bucket did not say whether ${id} is stored: ${submission.cause}; submit it again ` +
          `with --id ${id}, which is refused if it is`,
      );
      return EXIT.temporary;
    case "submitted":
      await terminal.print(`${id}\n`);
      return wait ? await followSpec(queue, id, before) : EXIT.ok;
  }
}

/** The spec on standard input; the exit code when there is none, and said why. */
async function readSpec({ ports, config }: Queue): Promise<Uint8Array | number> {
  const { terminal, interrupted } = ports;
  const { maxSpecBytes } = config;
  if (terminal.inputIsTerminal) {
    await complain(terminal, "Reading the spec from this terminal; end it with Ctrl-D");
  }
  const read = await readAll(terminal.input(), maxSpecBytes, interrupted);
  if (read === "interrupted") return EXIT.interrupted;
  const problem = read === "too-large"
    ? `it has more than the ${maxSpecBytes} bytes that CELLOS_FLEET_MAX_SPEC_BYTES allows`
    : specProblem(read, maxSpecBytes);
  if (read === "too-large" || problem !== undefined) {
    await complain(terminal, `Cannot submit the spec on standard input: ${problem}`);
    return EXIT.refused;
  }
  const warning = specWarning(read);
  if (warning !== undefined) await complain(terminal, `Warning: ${warning}`);
  return read;
}

/** The ends of earlier runs of an id that may be taken; undefined, and said why, when it may not. */
async function endsUnlessTaken(
  queue: Queue,
  id: string,
  again: boolean,
): Promise<readonly End[] | undefined> {
  const found = await whereIs(queue, id);
  if (found.place === "nowhere") return [];
  if (found.place === "ended" && again) return found.ends;
  const hint = found.place === "ended" ? "; with --again it is run once more" : "";
  await refuse(queue, id, placeText(found), hint);
  return undefined;
}

async function refuse(queue: Queue, id: string, reason: string, hint: string): Promise<number> {
  await complain(queue.ports.terminal, `Cannot submit ${id}: ${reason}${hint}`);
  return EXIT.refused;
}
