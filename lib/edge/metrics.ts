/**
 * The agent's metrics, for Prometheus. They are read from the same events as the log, from the
 * store's report of each request, and from the vital signs at the moment of the scrape.
 *
 * `prom-client` without its default metrics: those ask the operating system for things that the
 * agent has no permission for. Names follow https://prometheus.io/docs/practices/naming/.
 */
import { Gauge, Histogram, Registry } from "prom-client";
import type { AgentState } from "../events.ts";
import type { Log } from "../ports.ts";
import { countEvents } from "./event_metrics.ts";
import { counterFromZero, METRIC_PREFIX } from "./metric_series.ts";
import type { RequestReport } from "./s3_store.ts";

/** What a scrape reads of the agent's vital signs. */
export interface GaugeReadings {
  readonly state: AgentState;
  readonly inFlight: number;
  readonly slots: number;
  readonly lastPollAgeMs: number | undefined;
  readonly stuckLoops: readonly string[];
}

export interface MetricsOptions {
  readonly version: string;
  readonly commit: string;
  /** When the agent started: wall clock, milliseconds since the epoch. */
  readonly startedAtMs: number;
  /** Read at each scrape. */
  signs(): GaugeReadings;
  /** Resident memory of this process, in bytes. */
  residentBytes(): number;
}

/** The metrics of one agent. */
export interface Metrics extends Log {
  /** Counts a request of the store. */
  onRequest(report: RequestReport): void;
  /** The metrics as text, in the format that `contentType` names. */
  render(): Promise<{ readonly contentType: string; readonly body: string }>;
}

const STATES: readonly AgentState[] = [
  "starting",
  "idle",
  "busy",
  "backing-off",
  "draining",
  "stuck",
];

/** Seconds; the longest request is given up after 15. */
const REQUEST_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15];

/** Sets up the metrics, with every series whose labels are known beforehand at zero. */
export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry();
  const countEvent = countEvents(registry);
  const countRequest = countRequests(registry);
  readAtScrape(registry, options);
  return {
    emit: countEvent,
    onRequest: countRequest,
    async render() {
      return { contentType: registry.contentType, body: await registry.metrics() };
    },
  };
}

const CONDITIONAL: readonly RequestReport["operation"][] = ["create", "replace", "copy", "delete"];

function countRequests(registry: Registry): (report: RequestReport) => void {
  const counter = counterFromZero(registry);
  const total = counter(
    "s3_requests_total",
    "Requests to the bucket, retries not counted, by operation and HTTP status; without an answer, " +
      "the status is timeout or error.",
    ["operation", "status"],
  );
  const unknown = counter(
    "unknown_outcomes_total",
    "Conditional writes and deletes that may or may not have taken effect, by operation.",
    ["operation"],
    CONDITIONAL,
  );
  const duration = new Histogram({
    name: `${METRIC_PREFIX}s3_request_duration_seconds`,
    help: "Requests to the bucket, retries included, by operation.",
    labelNames: ["operation"],
    buckets: REQUEST_BUCKETS,
    registers: [registry],
  });
  return (report) => {
    const { operation, status, outcome, durationMs } = report;
    total.inc({ operation, status: String(status ?? outcome) });
    duration.observe({ operation }, durationMs / 1_000);
    if (mayHaveTakenEffect(report)) unknown.inc({ operation });
  };
}

/** Whether a conditional request ended without a yes or no. A 409 is answered while another runs. */
function mayHaveTakenEffect({ operation, status, outcome }: RequestReport): boolean {
  if (!CONDITIONAL.includes(operation)) return false;
  if (outcome === "timeout" || outcome === "throttled") return true;
  return outcome === "error" && (status === undefined || status === 409 || status >= 500);
}

function readAtScrape(registry: Registry, options: MetricsOptions): void {
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => number | undefined) =>
    new Gauge({
      name: METRIC_PREFIX + name,
      help,
      registers,
      collect() {
        const value = read();
        if (value === undefined) this.remove();
        else this.set(value);
      },
    });
  const { signs } = options;
  gauge("slots", "Cells that this node may run at once.", () => signs().slots);
  gauge("slots_in_use", "Slots from claim to committed outcome.", () => signs().inFlight);
  gauge(
    "last_poll_age_seconds",
    "Since the end of the last poll that worked; absent before the first.",
    () => secondsOf(signs().lastPollAgeMs),
  );
  gauge("start_time_seconds", "When the agent started.", () => secondsOf(options.startedAtMs));
  gauge(
    "resident_memory_bytes",
    "Resident memory of the agent's own process.",
    () => options.residentBytes(),
  );
  stateGauges(registry, options);
}

function stateGauges(registry: Registry, { signs, version, commit }: MetricsOptions): void {
  const registers = [registry];
  new Gauge({
    name: `${METRIC_PREFIX}build_info`,
    help: "Always 1; the version and the commit are its labels.",
    labelNames: ["version", "commit"],
    registers,
  }).set({ version, commit }, 1);
  new Gauge({
    name: `${METRIC_PREFIX}state`,
    help: "States of the agent: 1 for the one that it is in, 0 for the others.",
    labelNames: ["state"],
    registers,
    collect() {
      const now = signs().state;
      for (const state of STATES) this.set({ state }, state === now ? 1 : 0);
    },
  });
  new Gauge({
    name: `${METRIC_PREFIX}stuck_loops`,
    help: "Loops that have not come round within their bound.",
    registers,
    collect() {
      this.set(signs().stuckLoops.length);
    },
  });
}

function secondsOf(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1_000;
}
