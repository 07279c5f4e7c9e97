/**
 * The agent's log on standard output: JSON lines in the layout of the older agent, or text for a
 * terminal.
 *
 *     {"timestamp":"2026-01-02T03:04:05.678Z","level":"INFO","fields":{"message":"claiming spec",
 *      "spec_id":"a"},"target":"cellos_fleet"}          (one line)
 *
 * Built on LogTape's records, levels and formatters, but not on its `configure()`: that sets
 * up one logger for the whole process, where this program hands its log to whoever needs it.
 */
import { compareLogLevel } from "@logtape/logtape";
import type {
  LogLevel as TapeLevel,
  LogRecord as TapeRecord,
  TextFormatter,
} from "@logtape/logtape";
import { escapeControls } from "../core/escape_controls.ts";
import { describe } from "../event_text.ts";
import type { LogRecord } from "../event_text.ts";
import type { LogLevel } from "../events.ts";
import type { Log } from "../ports.ts";
import { LogQueue } from "./log_queue.ts";
import type { LogOutput } from "./log_queue.ts";
import { LogValues } from "./log_values.ts";
import { textFormatter } from "./text_log.ts";

export type { LogOutput } from "./log_queue.ts";

export interface LogOptions {
  /** The least level that is logged. */
  readonly level: LogLevel;
  readonly format: "json" | "text";
  /** Whether text is coloured. */
  readonly color: boolean;
  /** `Deno.stdout`, in the program. */
  readonly output: LogOutput;
  /** Wall clock, milliseconds since the epoch. */
  readonly now: () => number;
  /** Fields that every line has. */
  readonly fields?: Readonly<Record<string, unknown>>;
  /** Credentials: replaced wherever they occur in a message or a field. */
  readonly secrets?: readonly string[];
  /** Bytes that wait for a slow reader before lines are dropped; 4 MiB when absent. */
  readonly maxQueuedBytes?: number;
}

/** Log lines that are written in the background. */
export interface LogLines {
  /** Queues a record; an expendable one is dropped first when the reader of the log is slow. */
  write(record: LogRecord, expendable: boolean): void;
  /**
   * Waits until all lines are written, for `timeoutMs` at most; true when they were. To be awaited
   * before the program exits.
   */
  flush(timeoutMs: number): Promise<boolean>;
}

const TARGET = "cellos_fleet";
const DEFAULT_MAX_QUEUED_BYTES = 4 * 1024 * 1024;

/** Where a level stands in LogTape's terms, and how it is written. */
const TAPE_LEVELS: Readonly<Record<LogLevel, TapeLevel>> = {
  debug: "debug",
  info: "info",
  warn: "warning",
  error: "error",
};

/** The log of the agent's events. Emitting never throws and never waits; see `openLogLines`. */
export function createLog(options: LogOptions): Log & Pick<LogLines, "flush"> {
  const lines = openLogLines(options);
  return {
    emit(event) {
      // A fault in the wording of an event must not stop what the event tells of.
      try {
        const record = describe(event);
        // What floods a log, and what its readers can best do without.
        const expendable = record.level === "debug" || event.name === "cell-output";
        lines.write(record, expendable);
      } catch (error) {
        const message = `Cannot log the event ${event.name}`;
        lines.write({ level: "error", message, fields: { error } }, false);
      }
    },
    flush: (timeoutMs) => lines.flush(timeoutMs),
  };
}

/**
 * Opens the log. A reader that stalls costs lines (counted, and told once it reads again); one that
 * has gone away costs all lines from then on, silently.
 */
export function openLogLines(options: LogOptions): LogLines {
  const values = new LogValues(options.secrets ?? []);
  const format = options.format === "json" ? formatJson : textFormatter(levelName, options.color);
  const line = (record: LogRecord) => format(tapeRecord(record, options, values));
  const queue = new LogQueue({
    output: options.output,
    maxBytes: options.maxQueuedBytes ?? DEFAULT_MAX_QUEUED_BYTES,
    droppedLine: (count) => line(droppedRecord(count)),
  });
  return {
    write(record, expendable) {
      const order = compareLogLevel(TAPE_LEVELS[record.level], TAPE_LEVELS[options.level]);
      if (order >= 0) queue.push(line(record), expendable);
    },
    flush: (timeoutMs) => queue.flush(timeoutMs),
  };
}

/**
 * The layout of the older agent's log: the message is the first of the fields, and the level is in
 * capitals.
 */
const formatJson: TextFormatter = (record) => {
  const fields = { message: record.message.join(""), ...record.properties };
  const timestamp = new Date(record.timestamp).toISOString();
  const line = { timestamp, level: levelName(record.level), fields, target: TARGET };
  return `${escapeControls(JSON.stringify(line))}\n`;
};

function levelName(level: TapeLevel): string {
  return level === "warning" ? "WARN" : level.toUpperCase();
}

function tapeRecord(record: LogRecord, options: LogOptions, values: LogValues): TapeRecord {
  const message = values.text(record.message);
  const { message: _taken, ...properties } = values.fields({
    ...options.fields,
    ...record.fields,
  });
  return {
    category: [TARGET],
    level: TAPE_LEVELS[record.level],
    message: [message],
    rawMessage: message,
    timestamp: options.now(),
    properties,
  };
}

function droppedRecord(count: number): LogRecord {
  return {
    level: "warn",
    message: `${count} log ${count === 1 ? "line" : "lines"} dropped, their reader was too slow`,
    fields: { dropped_lines: count },
  };
}
