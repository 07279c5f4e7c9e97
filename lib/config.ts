/**
 * Reads the agent's settings from the environment. Pure: the environment comes in as a record, and
 * what is wrong with it goes out as text, all of it at once.
 */
import { CONFIG_OPTIONS, listOptions } from "./config_options.ts";
import type { Config, ConfigOption } from "./config_options.ts";
import { escapeControls } from "./core/escape_controls.ts";
import { nearest } from "./core/nearest.ts";

export type { Config, HttpAddress } from "./config_options.ts";

/** Either usable settings or everything that is wrong; warnings come with both. */
export type ConfigResult =
  & ({ readonly config: Config } | { readonly problems: readonly string[] })
  & { readonly warnings: readonly string[] };

const NAMESPACE = "CELLOS_FLEET_";

/** What the agent itself sets for a supervisor: present when an agent runs inside a cell. */
const CELL_VARIABLES: readonly string[] = [
  "CELLOS_FLEET_SPEC_ID",
  "CELLOS_FLEET_ATTEMPT",
  "CELLOS_FLEET_CLAIM",
];
const TEST_NAMESPACE = "CELLOS_FLEET_TEST_";

/**
 * Checks every `CELLOS_FLEET_*` variable. An empty value counts as unset. Problems and warnings are
 * sentences for the operator; they quote values of `CELLOS_FLEET_*` only, so no credential of the
 * environment is ever in them.
 */
export function readConfig(env: Readonly<Record<string, string>>): ConfigResult {
  const reader = new Reader(env);
  const config: Config = {
    bucket: reader.read(CONFIG_OPTIONS.bucket),
    prefix: reader.read(CONFIG_OPTIONS.prefix),
    queueName: reader.read(CONFIG_OPTIONS.queueName),
    poolId: reader.read(CONFIG_OPTIONS.poolId),
    supervisor: reader.read(CONFIG_OPTIONS.supervisor),
    supervisorArgs: reader.read(CONFIG_OPTIONS.supervisorArgs),
    pollIntervalMs: reader.read(CONFIG_OPTIONS.pollIntervalMs),
    heartbeatIntervalMs: reader.read(CONFIG_OPTIONS.heartbeatIntervalMs),
    nodeId: reader.read(CONFIG_OPTIONS.nodeId),
    concurrency: reader.read(CONFIG_OPTIONS.concurrency),
    leaseTtlMs: reader.read(CONFIG_OPTIONS.leaseTtlMs),
    fence: reader.read(CONFIG_OPTIONS.fence),
    maxAttempts: reader.read(CONFIG_OPTIONS.maxAttempts),
    cellTimeoutMs: reader.read(CONFIG_OPTIONS.cellTimeoutMs),
    killGraceMs: readKillGrace(reader),
    drainTimeoutMs: reader.read(CONFIG_OPTIONS.drainTimeoutMs),
    exitWhenIdleMs: reader.read(CONFIG_OPTIONS.exitWhenIdleMs),
    cellOutput: reader.read(CONFIG_OPTIONS.cellOutput),
    maxSpecBytes: reader.read(CONFIG_OPTIONS.maxSpecBytes),
    resultTailBytes: reader.read(CONFIG_OPTIONS.resultTailBytes),
    httpAddress: reader.read(CONFIG_OPTIONS.httpAddress),
    logLevel: readLogLevel(reader, env),
    logFormat: reader.read(CONFIG_OPTIONS.logFormat),
    s3PathStyle: reader.read(CONFIG_OPTIONS.s3PathStyle),
  };
  const warnings = unknownVariables(env);
  const problems = [...reader.problems.values()];
  return problems.length === 0 ? { config, warnings } : { problems, warnings };
}

/**
 * The options as a Markdown table for the README, padded as `deno fmt` pads it and ending in a
 * newline.
 */
export function optionsTable(): string {
  const rows = [["variable", "default", "meaning", "allowed"]];
  for (const { name, shownDefault, meaning, allowed } of listOptions()) {
    rows.push([`\`${name}\``, shownDefault, meaning, allowed].map((cell) => escapeCell(cell)));
  }
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  rows.splice(1, 0, widths.map((width) => "-".repeat(width)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column])).join(" | ")} |\n`;
  return rows.map(line).join("");
}

function escapeCell(text: string): string {
  return text.replace(/[|<]/g, "\\$&");
}

/** Reads one option after another and keeps what is wrong, by variable name. */
class Reader {
  readonly problems = new Map<string, string>();
  readonly #env: Readonly<Record<string, string>>;

  constructor(env: Readonly<Record<string, string>>) {
    this.#env = env;
  }

  isSet(option: ConfigOption<unknown>): boolean {
    return (this.#env[option.name] ?? "") !== "";
  }

  /** The option's value; its fallback when it is unset, and also when there is a problem with it. */
  read<Value>(option: ConfigOption<Value>): Value {
    const { name, allowed } = option;
    if (!this.isSet(option)) {
      if (option.required) this.problems.set(name, `${name} is not set: it must be ${allowed}`);
      return option.fallback;
    }
    const text = this.#env[name];
    const value = option.parse(text);
    if (value === undefined) {
      this.problems.set(name, `${name} is ${quote(text)}: it must be ${allowed}`);
      return option.fallback;
    }
    return value;
  }
}

/**
 * A cell must be gone before the trust in its lease ends, and stopping it starts a grace earlier:
 * with a grace of more than half of the lifetime, a single late renewal would stop cells.
 */
function readKillGrace(reader: Reader): number {
  const grace = CONFIG_OPTIONS.killGraceMs;
  const ttl = CONFIG_OPTIONS.leaseTtlMs;
  const leaseTtlMs = reader.read(ttl);
  const killGraceMs = reader.read(grace);
  if (!reader.isSet(grace)) return Math.min(killGraceMs, Math.floor(leaseTtlMs / 4));
  const comparable = !reader.problems.has(grace.name) && !reader.problems.has(ttl.name);
  if (comparable && killGraceMs > leaseTtlMs / 2) {
    reader.problems.set(
      grace.name,
      `${grace.name} is ${killGraceMs}: it must be at most half of ${ttl.name}, which is ` +
        leaseTtlMs,
    );
  }
  return killGraceMs;
}

/** `RUST_LOG` is what the older agent read. Its directives for single modules mean nothing here. */
function readLogLevel(reader: Reader, env: Readonly<Record<string, string>>): Config["logLevel"] {
  const option = CONFIG_OPTIONS.logLevel;
  if (reader.isSet(option)) return reader.read(option);
  const level = (env["RUST_LOG"] ?? "").trim().toLowerCase();
  return option.parse(level === "trace" ? "debug" : level) ?? option.fallback;
}

function unknownVariables(env: Readonly<Record<string, string>>): string[] {
  const known = listOptions().map((option) => option.name);
  const warnings: string[] = [];
  for (const name of Object.keys(env).sort()) {
    if (!name.startsWith(NAMESPACE) || env[name] === "" || known.includes(name)) continue;
    if (CELL_VARIABLES.includes(name) || name.startsWith(TEST_NAMESPACE)) continue;
    // Compared without the part that all names share, which would make any two of them look alike.
    const meant = nearest(
      name.slice(NAMESPACE.length),
      known.map((other) => other.slice(NAMESPACE.length)),
    );
    const hint = meant === undefined ? "" : `; did you mean ${NAMESPACE}${meant}?`;
    warnings.push(
      `${escapeControls(name)} is not a variable of this program and is ignored${hint}`,
    );
  }
  return warnings;
}

/** As it stands in the environment, but visible: spaces by the quotes, control characters escaped. */
function quote(text: string): string {
  const shown = text.length <= 200 ? text : `${text.slice(0, 200)}…`;
  return `"${escapeControls(shown)}"`;
}
