/** What the tests of the log share: an output that keeps what is written, and a log at a fixed time. */
import assert from "node:assert/strict";
import { openLogLines } from "../lib/edge/json_log.ts";
import type { LogLines, LogOptions, LogOutput } from "../lib/edge/json_log.ts";
import type { LogRecord } from "../lib/event_text.ts";

export const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
/** Longer than any write takes, on however busy a machine. */
export const FLUSH_MS = 60_000;

/** Keeps what is written. */
export class Capture implements LogOutput {
  readonly #decoder = new TextDecoder();
  text = "";

  write(bytes: Uint8Array): Promise<number> {
    this.text += this.#decoder.decode(bytes, { stream: true });
    return Promise.resolve(bytes.length);
  }

  /** Without their line ends; fails when the last line has none. */
  lines(): string[] {
    if (this.text === "") return [];
    assert.ok(this.text.endsWith("\n"), `unfinished line: ${this.text.slice(-200)}`);
    return this.text.slice(0, -1).split("\n");
  }
}

/** A log with every level, as JSON, at a fixed time. */
export function open(options: Partial<LogOptions> & { readonly output: LogOutput }): LogLines {
  return openLogLines({
    level: "debug",
    format: "json",
    color: false,
    now: () => NOW_MS,
    ...options,
  });
}

export function info(message: string, fields: LogRecord["fields"] = {}): LogRecord {
  return { level: "info", message, fields };
}
