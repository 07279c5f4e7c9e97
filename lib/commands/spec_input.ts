/** Specs as they come in on standard input, and whether they can be submitted. */
import type { QueueKeys } from "../core/keys.ts";
import { escapeControls } from "../core/escape_controls.ts";
import { keyProblem } from "../core/object_limits.ts";
import { readPlacement } from "../core/spec.ts";

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/**
 * Reads a stream to its end. It is left as it is once it has shown more than `maxBytes`, or when
 * `interrupted` is aborted.
 */
export async function readAll(
  input: AsyncIterable<Uint8Array>,
  maxBytes: number,
  interrupted: AbortSignal,
): Promise<Uint8Array | "too-large" | "interrupted"> {
  const { promise: aborted, resolve } = Promise.withResolvers<"interrupted">();
  interrupted.addEventListener("abort", () => resolve("interrupted"), { once: true });
  if (interrupted.aborted) return "interrupted";
  const chunks: Uint8Array[] = [];
  let size = 0;
  const iterator = input[Symbol.asyncIterator]();
  for (;;) {
    const next = await Promise.race([iterator.next(), aborted]);
    if (next === "interrupted") return next;
    if (next.done) break;
    size += next.value.length;
    if (size > maxBytes) return "too-large";
    chunks.push(next.value);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** Why bytes cannot be submitted as a spec, or undefined when they can. */
export function specProblem(bytes: Uint8Array, maxSpecBytes: number): string | undefined {
  if (bytes.every(isBlank)) return "it is empty";
  if (bytes.length > maxSpecBytes) {
    return `it has ${bytes.length} bytes, more than CELLOS_FLEET_MAX_SPEC_BYTES allows ` +
      `(${maxSpecBytes})`;
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    return error instanceof SyntaxError ? "it is not JSON" : "it is not UTF-8";
  }
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? undefined : "it is not a JSON object";
}

/** What will not work as its author may think, or undefined. */
export function specWarning(bytes: Uint8Array): string | undefined {
  const placement = readPlacement(bytes);
  return placement.kind === "unreadable"
    ? `any node may run it, for its placement cannot be read: ${placement.cause}`
    : undefined;
}

/** Why an id cannot be taken, or undefined when it can. */
export function idProblem(keys: QueueKeys, id: string): string | undefined {
  if (id === "") return "it is empty";
  if (!id.isWellFormed() || escapeControls(id) !== id) return "it has control characters";
  if (id.split("/").includes("")) return "it has an empty segment";
  if (keys.specId("pending", keys.pending(id)) !== id) return "it has a segment . or ..";
  // The longest of its keys, so that the spec can also be claimed and filed.
  return keyProblem(keys.terminal("completed", id));
}

/** A line with something on it. */
export interface SpecLine {
  /** From 1. */
  readonly number: number;
  /** Without the line end. */
  readonly bytes: Uint8Array;
}

/** Splits JSON lines. Lines of nothing but white space are left out, and counted. */
export function specLines(bytes: Uint8Array): SpecLine[] {
  const lines: SpecLine[] = [];
  let from = 0;
  for (let number = 1; from < bytes.length; number++) {
    const found = bytes.indexOf(LINE_FEED, from);
    const end = found < 0 ? bytes.length : found;
    const line = bytes.subarray(from, bytes[end - 1] === CARRIAGE_RETURN ? end - 1 : end);
    if (!line.every(isBlank)) lines.push({ number, bytes: line });
    from = end + 1;
  }
  return lines;
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === LINE_FEED || byte === CARRIAGE_RETURN;
}
