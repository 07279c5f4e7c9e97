/** The status report for people. */
import { formatDuration } from "./duration.ts";
import { reasonText } from "./follow.ts";
import { REASONS } from "../core/result.ts";
import {
  type Failure,
  type NodeStatus,
  type RunningSpec,
  STATES,
  type StatusReport,
} from "./status_report.ts";
import { type Cell, type Column, type Layout, paint, type Style, tableLines } from "./table.ts";

const ROWS_SHOWN = 20;

/** The lines of the report. */
export function statusLines(report: StatusReport, layout: Layout): string[] {
  const { bucket, prefix, queueName, at } = report;
  const queue = queueName === "" ? prefix : `${prefix}/${queueName}`;
  const heading = { text: `${bucket}/${queue}`, style: "heading" as const };
  const lines = [`${paint(heading, layout.color)}  ${at.slice(0, 19)}Z`];
  lines.push("", ...countLines(report, layout));
  lines.push(
    ...section(
      "Running",
      RUNNING_COLUMNS,
      report.running.map((spec) => runningRow(spec, report)),
      report.runningOmitted,
      layout,
    ),
    ...section("Nodes", NODE_COLUMNS, report.nodes.map(nodeRow), report.nodesOmitted, layout),
    ...section(
      report.failuresComplete ? "Recent failures" : "Recent failures, of those counted",
      FAILURE_COLUMNS,
      report.failures.map(failureRow),
      0,
      layout,
    ),
    ...problemLines(report, layout),
  );
  return lines;
}

function countLines({ states }: StatusReport, layout: Layout): string[] {
  const rows = STATES.map((state): Cell[] => {
    const { count, complete, oldestAgeMs } = states[state];
    const style: Style = state === "failed" && count > 0 ? "bad" : "plain";
    const age = oldestAgeMs === undefined ? "" : formatDuration(oldestAgeMs);
    return [state, { text: `${count}${complete ? "" : "+"}`, style }, age];
  });
  const columns: Column[] = [
    { heading: "state" },
    { heading: "count", align: "right" },
    { heading: "oldest", align: "right" },
  ];
  return tableLines(columns, rows, layout);
}

function section(
  title: string,
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  omitted: number,
  layout: Layout,
): string[] {
  const lines = ["", paint({ text: title, style: "heading" }, layout.color)];
  if (rows.length === 0) return [...lines, "  none"];
  lines.push(...tableLines(columns, rows.slice(0, ROWS_SHOWN), layout));
  const more = rows.length - Math.min(rows.length, ROWS_SHOWN) + omitted;
  if (more > 0) lines.push(paint({ text: `  and ${more} more`, style: "faint" }, layout.color));
  return lines;
}

const RUNNING_COLUMNS: readonly Column[] = [
  { heading: "spec" },
  { heading: "node" },
  { heading: "attempt", align: "right" },
  { heading: "state" },
  { heading: "since", align: "right" },
  { heading: "lease renewed", align: "right" },
];

function runningRow(
  { specId, node, attempt, state, claimedAt, leaseAgeMs }: RunningSpec,
  report: StatusReport,
): Cell[] {
  const unrenewed = report.problems.some((problem) =>
    problem.kind === "lease-unrenewed" && problem.specId === specId
  );
  const sinceMs = Date.parse(report.at) - Date.parse(claimedAt ?? "");
  return [
    specId,
    node ?? "?",
    attempt === undefined ? "?" : String(attempt),
    { text: state, style: state === "unreadable" ? "warning" : "plain" },
    Number.isNaN(sinceMs) ? "?" : formatDuration(sinceMs),
    { text: `${formatDuration(leaseAgeMs)} ago`, style: unrenewed ? "bad" : "plain" },
  ];
}

const NODE_COLUMNS: readonly Column[] = [
  { heading: "node" },
  { heading: "state" },
  { heading: "in flight", align: "right" },
  { heading: "pool" },
  { heading: "version" },
  { heading: "heartbeat", align: "right" },
];

const NODE_STYLES: Readonly<Record<string, Style>> = {
  idle: "good",
  busy: "good",
  draining: "warning",
  "backing-off": "warning",
  stuck: "bad",
};

function nodeRow(status: NodeStatus): Cell[] {
  const { node, state, inFlight, slots, poolId, version, heartbeatAgeMs, silent } = status;
  return [
    node,
    silent
      ? { text: `silent, was ${state}`, style: "bad" }
      : { text: state, style: NODE_STYLES[state] ?? "plain" },
    `${inFlight}/${slots}`,
    poolId ?? "",
    // The commit behind the number is in the JSON.
    version.split(" ")[0],
    { text: `${formatDuration(heartbeatAgeMs)} ago`, style: silent ? "bad" : "plain" },
  ];
}

const FAILURE_COLUMNS: readonly Column[] = [
  { heading: "spec" },
  { heading: "reason" },
  { heading: "node" },
  { heading: "attempt", align: "right" },
  { heading: "failed", align: "right" },
];

function failureRow(failure: Failure): Cell[] {
  const { specId, node, attempt, ageMs } = failure;
  const reason = REASONS.find((each) => each === failure.reason);
  return [
    specId,
    reason === undefined ? "?" : reasonText({ ...failure, reason }),
    node ?? "?",
    attempt === undefined ? "?" : String(attempt),
    `${formatDuration(ageMs)} ago`,
  ];
}

/** What needs a person, a sentence each; whole, since it may hold a command to be copied. */
export function problemLines({ problems }: StatusReport, { color }: Layout): string[] {
  if (problems.length === 0) return [];
  const lines = ["", paint({ text: "Needs a person", style: "bad" }, color)];
  for (const { text } of problems.slice(0, ROWS_SHOWN)) lines.push(`  ${paint(text, false)}`);
  const more = problems.length - ROWS_SHOWN;
  return more > 0 ? [...lines, `  and ${more} more`] : lines;
}
