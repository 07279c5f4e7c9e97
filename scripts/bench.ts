/**
 * Measures the agent as a whole process against the embedded S3 server, and prints one table. Ratios
 * are of measurements of the same round of the same run.
 */
import { parseArgs } from "node:util";
import { arithmeticTables } from "./bench/fleet_arithmetic.ts";
import { type Figure, markdownTable, textTable } from "./bench/figures.ts";
import { machine } from "./bench/machine.ts";
import { ratePlot, requestsPlot } from "./bench/plots.ts";
import { backlogRow } from "./bench/rows/backlog.ts";
import { contention, contentionFigures } from "./bench/rows/contention.ts";
import { dispatchRow } from "./bench/rows/dispatch.ts";
import { idleRow } from "./bench/rows/idle.ts";
import { latencyRow } from "./bench/rows/latency.ts";
import { requestFigures, specCosts } from "./bench/rows/requests.ts";
import { startRow } from "./bench/rows/start.ts";
import { takeoverRow } from "./bench/rows/takeover.ts";
import type { Setting } from "./bench/setting.ts";
import { FLEETS, simulationTable } from "./bench/simulated_fleet.ts";

const USAGE = `Measures the agent against the embedded S3 server

Usage: deno task bench [options]

  --row NUMBER     only this row; may be repeated
                     1  dispatch rate against a bare loop and against the AWS CLI
                     2  S3 requests for a spec
                     3  cost of an idle agent, and of a queue of another pool
                     4  contention of several agents
                     5  backlog of 100,000 specs
                     6  latency from arrival to start
                     7  start, and memory at rest
                     8  takeover after a SIGKILL
  --rounds NUMBER  rounds of what is measured repeatedly (default: 5)
  --quick          small sizes: shows that it works, the figures mean little
  --agent PATH     an executable to measure instead of main.ts
  --json           the figures as JSON
  --markdown       the table in Markdown
  --plots FOLDER   also write the plots of rows 2 and 4 there, as SVG
  --arithmetic     no measurement: what large fleets ask of S3, and what that costs
  --simulation     the same fleets in virtual time, for some minutes of real time
  --help           show this text
`;

/** The plots, by file name. */
type Plots = Map<string, string>;

type Row = (setting: Setting, plots: Plots) => Promise<Figure[]>;

const ROWS: readonly Row[] = [
  dispatchRow,
  async (setting, plots) => {
    const costs = await specCosts(setting);
    plots.set("requests_per_spec.svg", requestsPlot(costs));
    return requestFigures(costs);
  },
  idleRow,
  async (setting, plots) => {
    const results = await contention(setting);
    plots.set("rate_against_agents.svg", ratePlot(results));
    return contentionFigures(results);
  },
  backlogRow,
  latencyRow,
  startRow,
  takeoverRow,
];

/** Virtual minutes of each simulated fleet. */
const SIMULATED_MINUTES = 5;

/** What the command line asks for. */
interface Request {
  readonly setting: Setting;
  readonly rows: readonly number[];
  readonly form: "text" | "json" | "markdown";
  readonly plotFolder: string | undefined;
  /** Fleets in virtual time, and no measurement. */
  readonly simulation: boolean;
}

/** Returns a text when that is all that is asked for. Throws an `Error` for a bad command line. */
export function parseCommandLine(args: readonly string[]): Request | string {
  const { values } = parseArgs({
    args: [...args],
    options: {
      row: { type: "string", multiple: true, default: [] },
      rounds: { type: "string" },
      quick: { type: "boolean", default: false },
      agent: { type: "string" },
      json: { type: "boolean", default: false },
      markdown: { type: "boolean", default: false },
      plots: { type: "string" },
      arithmetic: { type: "boolean", default: false },
      simulation: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return USAGE;
  if (values.arithmetic) return arithmeticTables();
  const rows = values.row.map((text) => wholeNumber("--row", text, ROWS.length));
  return {
    setting: {
      program: values.agent,
      rounds: wholeNumber("--rounds", values.rounds ?? (values.quick ? "1" : "5"), 1_000),
      quick: values.quick,
      progress: (text) => console.error(text),
    },
    rows: rows.length === 0 ? ROWS.map((_, index) => index + 1) : rows,
    form: values.json ? "json" : values.markdown ? "markdown" : "text",
    plotFolder: values.plots,
    simulation: values.simulation,
  };
}

function wholeNumber(option: string, text: string, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= max) return value;
  throw new RangeError(`Cannot use ${option} ${text}: must be a whole number from 1 to ${max}`);
}

/** Measures the rows one after the other. */
export async function measure(
  rows: readonly number[],
  setting: Setting,
  plots: Plots,
): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const row of rows) figures.push(...await ROWS[row - 1](setting, plots));
  return figures;
}

async function main(args: readonly string[]): Promise<number> {
  let request: Request | string;
  try {
    request = parseCommandLine(args);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    return 64;
  }
  if (typeof request === "string") {
    console.log(request);
    return 0;
  }
  if (request.simulation) {
    console.log(await simulationTable(FLEETS, SIMULATED_MINUTES, request.setting.progress));
    return 0;
  }
  const plots: Plots = new Map();
  const figures = await measure(request.rows, request.setting, plots);
  for (const [name, svg] of request.plotFolder === undefined ? [] : plots) {
    await Deno.writeTextFile(`${request.plotFolder}/${name}`, svg);
  }
  const on = machine();
  if (request.form === "json") console.log(JSON.stringify({ machine: on, figures }, undefined, 2));
  else if (request.form === "markdown") console.log(`${on}\n\n${markdownTable(figures)}`);
  else console.log(`\n${on}\n\n${textTable(figures)}`);
  return 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
