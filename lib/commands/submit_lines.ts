/** Many specs at once, as JSON lines. */
import { OutputClosed } from "../core/output_closed.ts";
import { EXIT } from "./exit_code.ts";
import { Progress } from "./progress.ts";
import { complain, mapBounded, type Queue } from "./queue.ts";
import { readAll, type SpecLine, specLines, specProblem, specWarning } from "./spec_input.ts";
import { submitSpec } from "./submission.ts";
import { TimeOrderedIds } from "./time_ordered_id.ts";

/** Of all lines together: they are checked before the first is submitted. */
const MAX_INPUT_BYTES = 256 * 1024 * 1024;
const AT_ONCE = 16;
const MAX_LINE_PROBLEMS = 20;

/** Submits every line of standard input under a fresh id, or none when one of them is no spec. */
export async function submitLines(queue: Queue): Promise<number> {
  const { store, keys } = queue;
  const { terminal, interrupted } = queue.ports;
  const input = await readAll(terminal.input(), MAX_INPUT_BYTES, interrupted);
  if (input === "interrupted") return EXIT.interrupted;
  if (input === "too-large") {
    await complain(terminal, `Cannot submit more than ${MAX_INPUT_BYTES} bytes of lines at once`);
    return EXIT.refused;
  }
  const lines = specLines(input);
  if (!await checkLines(queue, lines)) return EXIT.refused;
  // An unreachable bucket is found out here, before there is anything to be in doubt about.
  await store.list({ prefix: keys.folder("pending"), maxKeys: 1 });
  const batch = new Batch(queue, lines);
  await mapBounded(lines, AT_ONCE, (line, index) => batch.submit(line, index));
  return await batch.end();
}

/** Whether every line is a spec, and there are any; says what is wrong. */
async function checkLines(queue: Queue, lines: readonly SpecLine[]): Promise<boolean> {
  const { terminal } = queue.ports;
  if (lines.length === 0) {
    await complain(terminal, "Cannot submit: there is no spec on standard input");
    return false;
  }
  let bad = 0;
  for (const { number, bytes } of lines) {
    const problem = specProblem(bytes, queue.config.maxSpecBytes);
    if (problem === undefined) {
      const warning = specWarning(bytes);
      if (warning !== undefined) await complain(terminal, `Line ${number}: warning: ${warning}`);
    } else if (++bad <= MAX_LINE_PROBLEMS) {
      await complain(terminal, `Line ${number}: ${problem}`);
    }
  }
  if (bad === 0) return true;
  const shown = bad > MAX_LINE_PROBLEMS ? ` (the first ${MAX_LINE_PROBLEMS} are shown)` : "";
  const text = `${bad} of ${lines.length} lines cannot be submitted${shown}; nothing was submitted`;
  await complain(terminal, text);
  return false;
}

/** Lines on their way into the queue. Ids are printed in the order of the lines. */
class Batch {
  readonly #queue: Queue;
  readonly #ids: readonly string[];
  readonly #ends: ("submitted" | "failed" | undefined)[];
  readonly #progress: Progress;
  #submitted = 0;
  #failed = 0;
  #printed = 0;
  #outputClosed = false;
  /** One write to the terminal after the other. */
  #turn: Promise<void> = Promise.resolve();

  constructor(queue: Queue, lines: readonly SpecLine[]) {
    const { clock, entropy, terminal } = queue.ports;
    const ids = new TimeOrderedIds(clock, entropy);
    this.#queue = queue;
    this.#ids = lines.map(() => ids.next());
    this.#ends = lines.map(() => undefined);
    this.#progress = new Progress(terminal, clock, "submitted", lines.length);
  }

  /** Submits one line, or leaves it when nobody wants it any more. */
  async submit({ number, bytes }: SpecLine, index: number): Promise<void> {
    if (this.#queue.ports.interrupted.aborted || this.#outputClosed) return;
    const id = this.#ids[index];
    const problem = await this.#submit(id, bytes);
    if (problem === undefined) this.#submitted++;
    else this.#failed++;
    this.#ends[index] = problem === undefined ? "submitted" : "failed";
    this.#turn = this.#turn.then(() =>
      this.#report(problem === undefined ? undefined : `Line ${number}, id ${id}: ${problem}`)
    );
    await this.#turn;
  }

  async #submit(id: string, bytes: Uint8Array): Promise<string | undefined> {
    try {
      const submission = await submitSpec(this.#queue, id, bytes, []);
      if (submission.kind === "submitted") return undefined;
      return submission.kind === "pending"
        ? "another spec has this id"
        : `the bucket did not say whether it is stored: ${submission.cause}`;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** Prints the ids of the lines up to the first that is still on its way. */
  async #report(problem: string | undefined): Promise<void> {
    const { terminal } = this.#queue.ports;
    const from = this.#printed;
    while (this.#ends[this.#printed] !== undefined) this.#printed++;
    const text = this.#ids.slice(from, this.#printed)
      .filter((_, index) => this.#ends[from + index] === "submitted")
      .map((id) => `${id}\n`).join("");
    try {
      if (problem !== undefined) {
        await this.#progress.clear();
        await complain(terminal, problem);
      }
      if (text !== "" && !this.#outputClosed) await terminal.print(text);
      await this.#progress.show(this.#submitted);
    } catch (error) {
      if (!(error instanceof OutputClosed)) throw error;
      this.#outputClosed = true;
    }
  }

  /** Says how it went, and gives the exit code. */
  async end(): Promise<number> {
    const { terminal, interrupted } = this.#queue.ports;
    await this.#progress.clear();
    const total = this.#ids.length;
    const left = total - this.#submitted - this.#failed;
    const parts = [`Submitted ${this.#submitted} of ${total} specs`];
    if (this.#failed > 0) parts.push(`${this.#failed} failed`);
    if (left > 0) parts.push(`${left} not tried`);
    await complain(terminal, parts.join(", "));
    if (interrupted.aborted) return EXIT.interrupted;
    if (this.#outputClosed) return EXIT.outputClosed;
    return this.#submitted === total ? EXIT.ok : EXIT.refused;
  }
}
