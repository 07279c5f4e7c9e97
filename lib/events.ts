/**
 * Every event the agent logs, as one typed union, and how each reads in the log.
 */

export type LogLevel = "debug" | "info" | "warn" | "error";

/** One line of the log, before it is formatted. */
export interface LogRecord {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export type FleetEvent =
  | { readonly name: "agent-stopped" };

/** The log record of an event. */
export function describe(_event: FleetEvent): LogRecord {
  return { level: "info", message: "cellos-fleet agent stopped (drain complete)", fields: {} };
}
