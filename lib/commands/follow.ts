/** Follows a spec to its end, for the person who waits for it. */
import { escapeControls } from "../core/escape_controls.ts";
import type { OutputTail, ResultRecord } from "../core/result.ts";
import { StoreError } from "../core/store_error.ts";
import { formatDuration } from "./duration.ts";
import { EXIT } from "./exit_code.ts";
import { complain, type Queue } from "./queue.ts";
import { isNewEnd } from "./submission.ts";
import { type End, resultOf, whereIs } from "./whereabouts.ts";

const LOOK_MS = 500;
const LOOK_MAX_MS = 5_000;
const LOOK_GROWTH = 1.2;
/** One that is nowhere may be on its way back to pending; not so many times in a row. */
const LOOKS_AT_NOTHING = 5;

/** How a spec that was followed came to its end. */
type Ending =
  | { readonly kind: "result"; readonly result: ResultRecord }
  /** Filed by an older agent, which writes no result record. */
  | { readonly kind: "bare"; readonly end: End }
  | { readonly kind: "gone" }
  | { readonly kind: "interrupted" };

/**
 * Waits until the spec has ended, prints the result in short with the tail of its output, and
 * resolves to the exit code that stands for it. Failures of the bucket that may heal are said once
 * and waited out.
 *
 * @param before the ends of earlier runs of the id
 */
export async function followSpec(
  queue: Queue,
  id: string,
  before: readonly End[],
): Promise<number> {
  const { terminal } = queue.ports;
  const ending = await awaitEnd(queue, id, before);
  switch (ending.kind) {
    case "result":
      await terminal.print(resultText(ending.result));
      return exitCodeOf(ending.result);
    case "bare":
      await terminal.print(`${ending.end.status}, without a result record\n`);
      return ending.end.status === "completed" ? EXIT.ok : EXIT.refused;
    case "gone":
      await complain(terminal, `${id} is gone: neither pending nor claimed, and without an end`);
      return EXIT.refused;
    case "interrupted":
      await complain(terminal, `No longer waiting for ${id}, which goes on`);
      return EXIT.interrupted;
  }
}

async function awaitEnd(queue: Queue, id: string, before: readonly End[]): Promise<Ending> {
  const { clock, interrupted, terminal } = queue.ports;
  let waitMs = LOOK_MS;
  let nothing = 0;
  let failures = 0;
  let told = "";
  while (!interrupted.aborted) {
    try {
      const seen = await look(queue, id, before);
      if (seen.kind !== "going-on" && seen.kind !== "nowhere") return seen;
      nothing = seen.kind === "nowhere" ? nothing + 1 : 0;
      if (nothing >= LOOKS_AT_NOTHING) return { kind: "gone" };
      if (seen.kind === "going-on" && seen.text !== told) {
        told = seen.text;
        if (terminal.notesAreTerminal) await complain(terminal, told);
        waitMs = LOOK_MS;
      }
      failures = 0;
    } catch (error) {
      if (!(error instanceof StoreError) || error.kind === "permanent") throw error;
      if (++failures === 1) await complain(terminal, `${error.message}; going on trying`);
    }
    await clock.sleep(waitMs, interrupted);
    waitMs = Math.min(LOOK_MAX_MS, waitMs * LOOK_GROWTH);
  }
  return { kind: "interrupted" };
}

type Look = Ending | { kind: "going-on"; text: string } | { kind: "nowhere" };

async function look(queue: Queue, id: string, before: readonly End[]): Promise<Look> {
  const found = await whereIs(queue, id);
  switch (found.place) {
    case "pending":
      return { kind: "going-on", text: `${id} is pending` };
    case "leased": {
      const { node, attempt } = found.seen.lease ?? { node: "another agent", attempt: 1 };
      const again = attempt > 1 ? `, attempt ${attempt}` : "";
      return { kind: "going-on", text: `${id} is claimed by ${node}${again}` };
    }
    case "leaseless":
      return { kind: "going-on", text: `${id} is claimed by an agent without leases` };
    case "ended": {
      const end = found.ends.find((each) => isNewEnd(each, before));
      if (end === undefined) return { kind: "nowhere" };
      // Written before the terminal object, so it is there unless somebody removed it.
      const result = await resultOf(queue, id);
      return result !== undefined && result.claim === end.claim
        ? { kind: "result", result }
        : { kind: "bare", end };
    }
    case "nowhere":
      return { kind: "nowhere" };
  }
}

/** Numbers of signals on Linux, for the ones that end a process by default. */
const SIGNAL_NUMBERS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGSYS: 31,
};

/**
 * The exit code that stands for a result: the cell's own, 128 + n after signal n as in a shell, and 1
 * for what says nothing of the cell (cancelled, lost, too large, timed out).
 */
export function exitCodeOf(result: ResultRecord): number {
  if (result.status === "completed") return EXIT.ok;
  if (result.reason === "exit" && result.exitCode !== undefined) return result.exitCode;
  if (result.reason === "signal" && result.signal !== undefined) {
    const number = SIGNAL_NUMBERS[result.signal];
    if (number !== undefined) return 128 + number;
  }
  return EXIT.refused;
}

/** Why a run ended, for people: `exit code 3`, `signal SIGKILL`, `lost`, … */
export function reasonText(
  { reason, exitCode, signal }: Pick<ResultRecord, "reason" | "exitCode" | "signal">,
): string {
  if (reason === "exit" && exitCode !== undefined) return `exit code ${exitCode}`;
  if (reason === "signal" && signal !== undefined) return `signal ${signal}`;
  return reason;
}

/** The result in one line, and the tails of its output. */
export function resultText(result: ResultRecord): string {
  const { status, node, attempt, durationMs, stdout, stderr } = result;
  const facts = [status, reasonText(result), `on ${node}`];
  if (attempt > 1) facts.push(`attempt ${attempt}`);
  if (durationMs !== undefined) {
    facts.push(durationMs < 1_000 ? `${durationMs} ms` : formatDuration(durationMs));
  }
  const lines = [
    escapeControls(facts.join(", ")),
    ...tailLines("stdout", stdout),
    ...tailLines("stderr", stderr),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

function tailLines(name: string, { bytes, tail }: OutputTail): string[] {
  if (bytes === 0) return [];
  if (tail === "") return [`${name}: ${bytes} bytes, none kept`];
  const kept = new TextEncoder().encode(tail).length;
  const size = kept < bytes ? `the last ${kept} of ${bytes} bytes` : `${bytes} bytes`;
  const lines = tail.replace(/\r?\n$/, "").split(/\r?\n/);
  return [`${name}, ${size}:`, ...lines.map((line) => `  ${escapeControls(line)}`)];
}
