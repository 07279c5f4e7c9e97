import assert from "node:assert/strict";
import { measure, parseCommandLine } from "../scripts/bench.ts";
import {
  DEFAULTS,
  dollarsPerDay,
  dollarsPerMillionSpecs,
  fleetLoad,
  mostNodes,
  shareOfLimit,
} from "../scripts/bench/fleet_arithmetic.ts";
import { type Figure, markdownTable, short, single, textTable } from "../scripts/bench/figures.ts";
import { barPlot } from "../scripts/bench/plots.ts";
import { simulateLane } from "../scripts/bench/simulated_fleet.ts";
import { count, purposeOf, type RequestCount, total } from "../scripts/bench/request_counts.ts";
import { median, pairedRatios, quantile, summary } from "../scripts/bench/statistics.ts";
import type { RequestLogEntry } from "../scripts/s3/statistics.ts";

const FIGURES: readonly Figure[] = [
  {
    row: 1,
    name: "time for a spec",
    unit: "ms",
    value: summary([12, 10, 11]),
    against: { name: "the floor", value: single(10), ratio: single(1.1) },
    aim: { text: "at most 1.15", met: true },
  },
  { row: 2, name: "requests", unit: "", value: single(9), aim: { text: "8", met: false } },
];

Deno.test("quantiles lie between the values around them", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.equal(quantile([10, 20, 30], 0), 10);
  assert.equal(quantile([10, 20, 30], 1), 30);
  assert.equal(quantile([10, 20, 30], 0.75), 25);
  assert.equal(quantile([7], 0.9), 7);
});

Deno.test("no values have no quantile, and a share is from 0 to 1", () => {
  assert.throws(() => median([]), RangeError);
  assert.throws(() => quantile([1], 1.01), RangeError);
  assert.throws(() => quantile([1], NaN), RangeError);
});

Deno.test("a summary tells the median, the range and how many", () => {
  assert.deepEqual(summary([5, 1, 3]), { median: 3, min: 1, max: 5, count: 3 });
});

Deno.test("measurements of one round are compared with each other", () => {
  assert.deepEqual(pairedRatios([2, 9], [1, 3]), [2, 3]);
  assert.throws(() => pairedRatios([1, 2], [1]), RangeError);
});

const entry = (facts: Partial<RequestLogEntry>): RequestLogEntry => ({
  method: "PUT",
  operation: "PutObject",
  bucket: "fleet",
  key: "fleet/claimed/a.lease",
  ifMatch: undefined,
  prefix: undefined,
  ifNoneMatch: undefined,
  status: 200,
  ...facts,
});

Deno.test("requests are told apart by what they are for", () => {
  const cases: [Partial<RequestLogEntry>, string][] = [
    [{ ifNoneMatch: "*" }, "create lease"],
    [{ ifMatch: '"x"' }, "replace lease"],
    [{ operation: "DeleteObject" }, "delete lease"],
    [{ operation: "GetObject", key: "fleet/pending/a.json" }, "get pending"],
    [{ ifNoneMatch: "*", key: "fleet/claimed/a/b.json" }, "create claimed"],
    [{ ifNoneMatch: "*", key: "fleet/results/a.json" }, "create result"],
    [{ ifNoneMatch: "*", key: "fleet/lane/completed/a.json" }, "create terminal object"],
    [{ operation: "HeadObject", key: "fleet/failed/a.json" }, "head terminal object"],
    [{ key: "fleet/nodes/n.json" }, "put node record"],
    [{ operation: "ListObjectsV2", key: "" }, "list"],
  ];
  for (const [facts, purpose] of cases) assert.equal(purposeOf(entry(facts)), purpose);
});

Deno.test("requests are counted by how they ended", () => {
  const counts: Record<string, RequestCount> = {};
  const create = entry({ ifNoneMatch: "*" });
  for (const status of [200, 412, 412, 404, 503, "cut"] as const) {
    count(counts, { ...create, status });
  }
  count(counts, entry({ operation: "DeleteObject", status: 204 }));
  assert.deepEqual(counts, {
    "create lease": { ok: 1, refused: 2, absent: 1, other: 2 },
    "delete lease": { ok: 1, refused: 0, absent: 0, other: 0 },
  });
  assert.equal(total(counts, "create lease"), 6);
  assert.equal(total(counts), 7);
  assert.equal(total(counts, "list"), 0);
});

Deno.test("numbers are shown with three digits", () => {
  assert.deepEqual([1.1534, 0.0123456, 12_345.6, 999.4, 0].map(short), [
    "1.15",
    "0.0123",
    "12,346",
    "999",
    "0",
  ]);
});

Deno.test("the table shows ratios, aims, and which of them are missed", () => {
  const lines = textTable(FIGURES).split("\n").map((line) => line.split(/ {2,}/));
  assert.deepEqual(lines[1], [
    "1",
    "time for a spec",
    "11 ms",
    "10 to 12",
    "the floor",
    "10 ms",
    "1.1",
    "at most 1.15",
    "yes",
  ]);
  assert.deepEqual(lines[2], ["2", "requests", "9", "8", "NO"]);
});

Deno.test("the Markdown table has one line for each figure, all of them as wide", () => {
  const lines = markdownTable(FIGURES).trimEnd().split("\n");
  assert.equal(lines.length, 2 + FIGURES.length);
  assert.deepEqual(new Set(lines.map((line) => line.split("|").length)), new Set([11]));
});

Deno.test("the longest bar of a plot is as wide as the plot, the others in proportion", () => {
  const svg = barPlot("a < b", [
    { label: "one", value: 1, text: "1", series: 0 },
    { label: "four", value: 4, text: "4", series: 0 },
  ]);
  const [one, four] = [...svg.matchAll(/<rect .*width="([\d.]+)"/g)].map(([, w]) => Number(w));
  assert.equal(one / four, 0.25);
  assert.match(svg, /a &lt; b/);
});

const IDLE = { ...DEFAULTS, cellSeconds: undefined };
const BUSY = { ...DEFAULTS, cellSeconds: 60 };

Deno.test("an idle fleet polls, scans the claims and beats, each at its interval", () => {
  const load = fleetLoad({ ...IDLE, nodes: 600 });
  assert.deepEqual(load, { writes: 20, deletes: 0, gets: 0, lists: 120 + 15 });
  assert.ok(Math.abs(dollarsPerDay(load) - 86_400 * 155 * 0.005 / 1_000) < 1e-9);
});

Deno.test("a busy fleet writes for its specs, its renewals and its heartbeats", () => {
  const load = fleetLoad({ ...BUSY, nodes: 1_200 });
  assert.deepEqual(load, { writes: 100 + 20 + 40, deletes: 60, gets: 20, lists: 20 + 20 + 30 * 3 });
});

Deno.test("a lane takes as many nodes as its limits allow, and more lanes take more", () => {
  for (const model of [IDLE, BUSY]) {
    const nodes = mostNodes(model);
    assert.ok(shareOfLimit({ ...model, nodes }) <= 1);
    assert.ok(shareOfLimit({ ...model, nodes: nodes + 1 }) > 1);
    assert.ok(mostNodes({ ...model, lanes: 10 }) >= 9 * nodes);
  }
});

Deno.test("a million specs cost five million writes and a million reads", () => {
  assert.ok(Math.abs(dollarsPerMillionSpecs() - 25.4) < 1e-9);
});

Deno.test("the command line takes rows and rounds that there are", () => {
  const request = parseCommandLine(["--row", "2", "--row", "8", "--rounds", "3", "--json"]);
  assert.ok(typeof request !== "string");
  assert.deepEqual([request.rows, request.setting.rounds, request.form], [[2, 8], 3, "json"]);
  for (const bad of [["--row", "99"], ["--rounds", "0"], ["--rounds", "x"], ["--fast"]]) {
    assert.throws(() => parseCommandLine(bad));
  }
  assert.match(String(parseCommandLine(["--help"])), /deno task bench/);
});

Deno.test("a run of one row measures what a spec costs on a real agent", async () => {
  const plots = new Map<string, string>();
  const setting = { program: undefined, rounds: 1, quick: true, progress: () => {} };
  const figures = await measure([2], setting, plots);
  const purposes = figures.filter(({ name }) => name.startsWith("of these: "));
  assert.deepEqual(purposes.map(({ name }) => name.slice("of these: ".length)), [
    "create lease",
    "get pending",
    "create claimed",
    "delete pending",
    "replace lease",
    "create result",
    "create terminal object",
    "delete claimed",
    "delete lease",
  ]);
  // A listing older than a claim can cost a request in vain, but none of them can be left out.
  for (const { name, value } of purposes) assert.ok(value.median >= 1, `${name}: ${value.median}`);
  assert.deepEqual([...plots.keys()], ["requests_per_spec.svg"]);
});

Deno.test("a simulated fleet asks of the bucket what the arithmetic says, and keeps every promise", async () => {
  for (const model of [{ ...IDLE, nodes: 20 }, { ...BUSY, nodes: 20 }]) {
    const fleet = await simulateLane(model, 10);
    assert.deepEqual(fleet.violations, []);
    const computed = fleetLoad(model);
    for (const kind of ["writes", "deletes", "gets", "lists"] as const) {
      const differenceMost = 0.05 * computed[kind];
      const difference = Math.abs(fleet.load[kind] - computed[kind]);
      assert.ok(
        difference <= differenceMost,
        `${kind}: ${fleet.load[kind]} instead of ${computed[kind]}`,
      );
    }
    if (model.cellSeconds === undefined) continue;
    assert.ok(fleet.started > 200);
    assert.ok(fleet.refusedPerSpec < 0.01, String(fleet.refusedPerSpec));
    assert.ok(fleet.slotsInUse! > 0.98, String(fleet.slotsInUse));
  }
});
