/** Dashboard and alert rules against the metrics that there are, and against PromQL's grammar. */
import assert from "node:assert/strict";
import { parser } from "@prometheus-io/lezer-promql";
import { parse as parseYaml } from "yaml";
import { createMetrics } from "../lib/edge/metrics.ts";

const FOLDER = new URL("../scripts/monitoring/", import.meta.url);
const OPERATING = new URL("../docs/operating.md", import.meta.url);

interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string };
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: {
    readonly h: number;
    readonly w: number;
    readonly x: number;
    readonly y: number;
  };
  readonly targets?: readonly { readonly refId: string; readonly expr: string }[];
}

const rules: AlertRule[] = await Deno.readTextFile(new URL("alerts.yaml", FOLDER))
  .then((text) => parseYaml(text, { strict: true, uniqueKeys: true }))
  .then(({ groups }) => groups.flatMap(({ rules }: { rules: AlertRule[] }) => rules));
const dashboard: {
  panels: Panel[];
  templating: { list: { name: string; definition?: string }[] };
} = JSON.parse(await Deno.readTextFile(new URL("dashboard.json", FOLDER)));
const panelQueries = dashboard.panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr }) => ({ where: `panel ${title}`, expr }))
);
const alertQueries = rules.map(({ alert, expr }) => ({ where: `alert ${alert}`, expr }));

/** Label values by label, of every series name that a scrape can have. */
type Series = Map<string, Map<string, Set<string>>>;

/** What a scrape has after one request of the bucket, which makes the series of requests appear. */
async function knownSeries(): Promise<Series> {
  const metrics = createMetrics({
    version: "1",
    commit: "abc",
    startedAtMs: 0,
    residentBytes: () => 1,
    signs: () => ({ state: "idle", inFlight: 0, slots: 1, lastPollAgeMs: 1, stuckLoops: [] }),
  });
  metrics.onRequest({ operation: "list", status: 200, durationMs: 1, outcome: "ok" });
  const { body } = await metrics.render();
  const known: Series = new Map();
  for (const line of body.split("\n").filter((line) => /^[a-z]/.test(line))) {
    const [, name, labels = ""] = /^(\w+)(?:\{(.*)\})? \S+$/.exec(line)!;
    if (!known.has(name)) known.set(name, new Map());
    for (const [, label, value] of labels.matchAll(/(\w+)="([^"]*)"/g)) {
      const values = known.get(name)!;
      values.set(label, (values.get(label) ?? new Set()).add(value));
    }
  }
  return known;
}

const known = await knownSeries();
/** What Prometheus adds to every series, and the series that it makes itself. */
const TARGET_LABELS = ["job", "instance"];
const OTHER_SERIES = ["up"];
/** Labels whose values cannot be known beforehand. */
const OPEN_LABELS = ["status", "le", "version", "commit", ...TARGET_LABELS];

interface Selector {
  readonly name: string;
  readonly matchers: readonly { readonly label: string; readonly value: string }[];
}

/** Parses an expression by Prometheus's own grammar; fails where it does not fit. */
function readQuery(where: string, expr: string): { selectors: Selector[]; grouping: string[] } {
  // Grafana puts the interval in before Prometheus sees the query.
  const query = expr.replaceAll("$__rate_interval", "5m");
  const selectors: { name: string; matchers: { label: string; value: string }[] }[] = [];
  const grouping: string[] = [];
  const path: string[] = [];
  parser.parse(query).iterate({
    enter({ type, from, to, name }) {
      const text = query.slice(from, to);
      assert.ok(
        !type.isError,
        `${where}: does not parse at ${from}: ${query.slice(from, from + 30)}`,
      );
      const parent = path.at(-1);
      if (name === "Identifier" && parent === "VectorSelector") {
        selectors.push({ name: text, matchers: [] });
      }
      if (name === "UnquotedLabelMatcher") {
        const [, label, value] = /^(\w+)\s*(?:=|!=|=~|!~)\s*"(.*)"$/s.exec(text)!;
        selectors.at(-1)!.matchers.push({ label, value });
      }
      if (name === "LabelName" && parent === "GroupingLabels") grouping.push(text);
      path.push(name);
    },
    leave: () => void path.pop(),
  });
  return { selectors, grouping };
}

Deno.test("every metric starts with the prefix, and counters and units are named as is customary", async () => {
  const names = [...known.keys()];
  assert.ok(names.length > 30);
  const metrics = createMetrics({
    version: "1",
    commit: "abc",
    startedAtMs: 0,
    residentBytes: () => 1,
    signs: () => ({ state: "idle", inFlight: 0, slots: 1, lastPollAgeMs: 1, stuckLoops: [] }),
  });
  const { contentType, body } = await metrics.render();
  assert.match(contentType, /^text\/plain; version=0\.0\.4/);
  for (const [, name, type] of body.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    assert.match(name, /^cellos_fleet_[a-z0-9_]+$/);
    assert.equal(name.endsWith("_total"), type === "counter", name);
    if (type === "histogram") assert.match(name, /_seconds$/);
    assert.doesNotMatch(name, /_(ms|milliseconds|minutes)(_|$)/);
    assert.match(body, new RegExp(`^# HELP ${name} [A-Z].*\\.$`, "m"), `${name} is explained`);
  }
});

Deno.test("dashboard and alerts ask for series and labels that there are, in valid PromQL", () => {
  for (const { where, expr } of [...panelQueries, ...alertQueries]) {
    const { selectors, grouping } = readQuery(where, expr);
    assert.ok(selectors.length > 0, where);
    const labels = new Set([...TARGET_LABELS]);
    for (const { name, matchers } of selectors) {
      if (OTHER_SERIES.includes(name)) continue;
      const series = known.get(name);
      assert.ok(series, `${where}: there is no series ${name}`);
      for (const label of series.keys()) labels.add(label);
      for (const { label, value } of matchers) {
        assert.ok(
          series.has(label) || TARGET_LABELS.includes(label),
          `${where}: ${name}{${label}}`,
        );
        if (OPEN_LABELS.includes(label)) continue;
        assert.ok(series.get(label)?.has(value), `${where}: ${name}{${label}="${value}"}`);
      }
    }
    for (const label of grouping) assert.ok(labels.has(label), `${where}: groups by ${label}`);
  }
});

Deno.test("the dashboard shows every metric", () => {
  const shown = new Set(
    panelQueries.flatMap(({ where, expr }) => readQuery(where, expr).selectors).map(({ name }) =>
      name
    ),
  );
  const families = [...known.keys()].filter((name) => !/_(sum|count)$/.test(name));
  assert.deepEqual(families.filter((name) => !shown.has(name)), []);
});

Deno.test("the dashboard's panels have ids of their own and do not overlap", () => {
  const ids = dashboard.panels.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
  const taken = new Set<string>();
  for (const { title, gridPos: { h, w, x, y } } of dashboard.panels) {
    assert.ok(x >= 0 && x + w <= 24, title);
    for (let row = y; row < y + h; row++) {
      for (let column = x; column < x + w; column++) {
        assert.ok(!taken.has(`${row} ${column}`), `${title} overlaps another panel`);
        taken.add(`${row} ${column}`);
      }
    }
  }
  for (const { name, definition } of dashboard.templating.list) {
    const series = /label_values\((\w+)/.exec(definition ?? "")?.[1];
    if (series !== undefined) assert.ok(known.has(series), `variable ${name}`);
  }
});

Deno.test("every alert has a severity, says what it means, and is explained in the operating guide", async () => {
  const guide = await Deno.readTextFile(OPERATING);
  const headings = [...guide.matchAll(/^### (CellosFleet\w+)$/gm)].map(([, name]) => name);
  const names = rules.map(({ alert }) => alert);
  assert.deepEqual(headings, names, "the guide has each alert, in the same order");
  assert.equal(new Set(names).size, names.length);
  for (const { alert, for: duration, labels, annotations } of rules) {
    assert.match(labels.severity, /^(critical|warning|info)$/, alert);
    if (duration !== undefined) assert.match(duration, /^[0-9]+[mh]$/, alert);
    assert.ok(annotations.summary.length > 10 && annotations.description.length > 20, alert);
  }
});
