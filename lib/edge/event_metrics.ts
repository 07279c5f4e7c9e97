/** The metrics that are counted from the agent's events. */
import { Gauge, Histogram, type Registry } from "prom-client";
import { REASONS } from "../core/result.ts";
import type { FleetEvent, StopCause, TakeoverStep } from "../events.ts";
import { counterFromZero, METRIC_PREFIX } from "./metric_series.ts";

/** Seconds: cells run from moments to a day. */
const CELL_BUCKETS = [0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 1_800, 3_600, 10_800, 43_200, 86_400];
const WAIT_BUCKETS = [0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 10_800, 43_200, 86_400];
const POLL_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

const TAKEOVER_STEPS: readonly TakeoverStep[] = [
  "run",
  "finish-filing",
  "finish-release",
  "lost",
  "cancelled",
  "too-large",
];
const STOP_CAUSES: readonly StopCause[] = ["timeout", "fenced", "lost", "cancelled", "interrupted"];

/** Registers the metrics and returns what counts an event into them. */
export function countEvents(registry: Registry): (event: FleetEvent) => void {
  const series = {
    ...claimSeries(registry),
    ...cellSeries(registry),
    ...queueSeries(registry),
    ...failureSeries(registry),
  };
  return (event) => count(series, event);
}

type EventSeries =
  & ReturnType<typeof claimSeries>
  & ReturnType<typeof cellSeries>
  & ReturnType<typeof queueSeries>
  & ReturnType<typeof failureSeries>;

function claimSeries(registry: Registry) {
  const counter = counterFromZero(registry);
  return {
    claims: counter(
      "claims_total",
      "Tries to claim a pending spec, by outcome; claimed counts takeovers too.",
      ["outcome"],
      ["claimed", "refused", "gone", "foreign", "unknown"],
    ),
    abandoned: counter(
      "claims_abandoned_total",
      "Claims left to their lease: it went to another node, or the bucket would not have it.",
    ),
    released: counter(
      "claims_released_total",
      "Claims given back to pending, by cause.",
      ["cause"],
      ["interrupted", "fenced", "supervisor"],
    ),
    kept: counter(
      "claims_kept_total",
      "Claims that could not be given back, because their id was submitted again.",
    ),
    takeovers: counter(
      "takeovers_total",
      "Claims of dead nodes taken over, by what was left to do.",
      ["step"],
      TAKEOVER_STEPS,
    ),
    renewals: counter(
      "lease_renewals_total",
      "Renewals of leases, by outcome.",
      ["outcome"],
      ["renewed", "failed", "lost"],
    ),
    leaseless: counter(
      "claims_without_lease_total",
      "Claimed specs found without a lease, which are left alone.",
    ),
  };
}

function cellSeries(registry: Registry) {
  const counter = counterFromZero(registry);
  return {
    specs: counter(
      "specs_total",
      "Specs whose outcome this node committed, by outcome and reason.",
      ["outcome", "reason"],
      REASONS.map((reason) => ["failed", reason]).concat([["completed", "exit"]]),
    ),
    stopped: counter(
      "cells_stopped_total",
      "Cells that this node stopped, by cause.",
      ["cause"],
      STOP_CAUSES,
    ),
    fenced: counter(
      "self_fences_total",
      "Cells stopped because their lease could not be renewed in time.",
    ),
    running: new Gauge({
      name: `${METRIC_PREFIX}cells_running`,
      help: "Cells that run right now.",
      registers: [registry],
    }),
    duration: new Histogram({
      name: `${METRIC_PREFIX}cell_duration_seconds`,
      help: "From the start of a supervisor to its exit.",
      buckets: CELL_BUCKETS,
      registers: [registry],
    }),
  };
}

function queueSeries(registry: Registry) {
  const registers = [registry];
  return {
    wait: new Histogram({
      name: `${METRIC_PREFIX}queue_wait_seconds`,
      help: "From the submission of a spec to its claim, by the clocks of bucket and node.",
      buckets: WAIT_BUCKETS,
      registers,
    }),
    pollDuration: new Histogram({
      name: `${METRIC_PREFIX}poll_duration_seconds`,
      help: "One poll of the queue: up to ten pages of its listing.",
      buckets: POLL_BUCKETS,
      registers,
    }),
    oldestAge: new Gauge({
      name: `${METRIC_PREFIX}pending_oldest_age_seconds`,
      help: "Age of the oldest spec that the last poll listed, of any pool; 0 when it listed none.",
      registers,
    }),
    listed: new Gauge({
      name: `${METRIC_PREFIX}pending_listed`,
      help: "Specs that the last poll listed, 10,000 at most.",
      registers,
    }),
    runnable: new Gauge({
      name: `${METRIC_PREFIX}pending_runnable`,
      help: "Specs of the last poll that this node might run, as far as it knew them.",
      registers,
    }),
    skipped: counterFromZero(registry)(
      "specs_skipped_total",
      "Spec versions that are placed in another pool.",
    ),
  };
}

function failureSeries(registry: Registry) {
  const counter = counterFromZero(registry);
  return {
    bucketFailures: counter(
      "bucket_failures_total",
      "Failures of the bucket that a loop backs off from.",
      ["action"],
      ["poll", "scan", "start"],
    ),
    supervisorFailures: counter(
      "supervisor_failures_total",
      "Times that the supervisor could not be started.",
    ),
    guardLosses: counter("guard_losses_total", "Times that the guard process ended by itself."),
    nodeRecordFailures: counter(
      "node_record_failures_total",
      "Times that the node record could not be stored or removed.",
    ),
  };
}

function count(series: EventSeries, event: FleetEvent): void {
  switch (event.name) {
    case "claimed":
      series.claims.inc({ outcome: "claimed" });
      if (event.waitMs !== undefined) series.wait.observe(event.waitMs / 1_000);
      return;
    case "claim-refused":
      return series.claims.inc({ outcome: "refused" });
    case "claim-unknown":
      return series.claims.inc({ outcome: "unknown" });
    case "claim-unneeded":
      return series.claims.inc({ outcome: event.cause });
    case "claim-abandoned":
      return series.abandoned.inc();
    case "claim-released":
      return series.released.inc({ cause: event.cause });
    case "claim-kept":
      return series.kept.inc();
    case "taken-over":
      return series.takeovers.inc({ step: event.step });
    case "lease-renewed":
      return series.renewals.inc({ outcome: "renewed" });
    case "lease-renewal-failed":
      return series.renewals.inc({ outcome: "failed" });
    case "lease-lost":
      return series.renewals.inc({ outcome: "lost" });
    case "claim-without-lease":
      return series.leaseless.inc();
    default:
      return countOther(series, event);
  }
}

function countOther(series: EventSeries, event: FleetEvent): void {
  switch (event.name) {
    case "spec-committed":
      return series.specs.inc({ outcome: event.status, reason: event.reason });
    case "cell-stopping":
      series.stopped.inc({ cause: event.cause });
      if (event.cause === "fenced") series.fenced.inc();
      return;
    case "cell-running":
      return series.running.inc();
    case "cell-exited":
      series.running.dec();
      return series.duration.observe(event.durationMs / 1_000);
    case "spec-skipped":
      return series.skipped.inc();
    case "poll-finished":
      series.pollDuration.observe(event.durationMs / 1_000);
      series.oldestAge.set((event.oldestAgeMs ?? 0) / 1_000);
      series.listed.set(event.listed);
      series.runnable.set(event.runnable);
      return;
    case "bucket-failing":
      return series.bucketFailures.inc({ action: event.action });
    case "supervisor-failing":
      return series.supervisorFailures.inc();
    case "guard-lost":
      return series.guardLosses.inc();
    case "node-record-failed":
      return series.nodeRecordFailures.inc();
  }
}
