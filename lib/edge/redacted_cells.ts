/**
 * Keeps the agent's own credentials out of the result records. A cell has them in its environment, and
 * what it prints ends up in the record's tails.
 */
import type { Cells } from "../ports.ts";

const REDACTED = "[redacted]";
/** A shorter part of a credential is of no use to anybody, and would be found in ordinary text. */
const LEAST_LENGTH = 8;

/** The same cells, whose outputs' tails have every one of the secrets replaced. */
export function redactTails(cells: Cells, secrets: readonly string[]): Cells {
  const redact = (tail: Uint8Array) => redactTail(tail, secrets);
  return {
    check: () => cells.check(),
    async start(request) {
      const cell = await cells.start(request);
      return {
        signal: (name) => cell.signal(name),
        exited: cell.exited.then((exit) => ({
          ...exit,
          stdoutTail: redact(exit.stdoutTail),
          stderrTail: redact(exit.stderrTail),
        })),
      };
    },
  };
}

/** Replaces the secrets in a text of which the start may have been cut off, in the middle of one. */
export function redactTail(tail: Uint8Array, secrets: readonly string[]): Uint8Array {
  // As Latin-1 every byte is a character, so that bytes which are no text come back as they were.
  const text = latin1(tail);
  let clean = text;
  // The longest first, or one that is part of another would leave the rest of it standing.
  for (const secret of secrets.toSorted((a, b) => b.length - a.length)) {
    if (secret.length < LEAST_LENGTH) continue;
    const bytes = latin1(new TextEncoder().encode(secret));
    clean = clean.replaceAll(bytes, REDACTED);
    for (let length = bytes.length - 1; length >= LEAST_LENGTH; length--) {
      if (clean.startsWith(bytes.slice(-length))) clean = REDACTED + clean.slice(length);
    }
  }
  return clean === text ? tail : Uint8Array.from(clean, (character) => character.charCodeAt(0));
}

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
