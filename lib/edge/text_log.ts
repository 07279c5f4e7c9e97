/**
 * The log as a person reads it on a terminal, times in UTC:
 *
 *     2026-01-02 03:04:05.678  INFO claiming spec  spec_id=a node=n1
 */
import { getAnsiColorFormatter, getTextFormatter } from "@logtape/logtape";
import type { LogLevel, TextFormatter } from "@logtape/logtape";
import { escapeControls } from "../core/escape_controls.ts";

const DIM = "\x1b[2m";
const RESET = "\x1b[0m";

/**
 * Formats a record whose message is one text and whose properties are plain JSON values. Whatever
 * the texts hold, the result is one line, and with `color` the only control sequences in it are
 * this formatter's own.
 */
export function textFormatter(
  levelName: (level: LogLevel) => string,
  color: boolean,
): TextFormatter {
  const getFormatter = color ? getAnsiColorFormatter : getTextFormatter;
  return getFormatter({
    timestamp: "date-time",
    level: (level) => levelName(level).padStart(5),
    format({ timestamp, level, record }) {
      const fields = Object.entries(record.properties).map(([name, value]) => {
        const label = `${bareOrQuoted(name)}=`;
        return (color ? DIM + label + RESET : label) + fieldText(value);
      });
      const message = escapeControls(record.message.join(""));
      const head = `${timestamp} ${level} ${message}`;
      return fields.length === 0 ? head : `${head}  ${fields.join(" ")}`;
    },
  });
}

function fieldText(value: unknown): string {
  return bareOrQuoted(typeof value === "string" ? value : JSON.stringify(value));
}

function bareOrQuoted(text: string): string {
  return /^[^\s"=\\]+$/.test(text) && escapeControls(text) === text
    ? text
    : escapeControls(JSON.stringify(text));
}
