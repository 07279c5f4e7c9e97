/**
 * The command line: what may be written on it, and the texts of `--help`. Pure; whoever calls prints
 * and exits.
 */
import { parseArgs } from "node:util";
import type { ParseArgsConfig } from "node:util";
import { CANCEL } from "./commands/cancel.ts";
import { columns, paragraph } from "./commands/columns.ts";
import {
  type Command,
  type CommandRun,
  type CommandSyntax,
  type OptionSyntax,
  type OptionValues,
  UsageError,
} from "./commands/command.ts";
import { completionsCommand } from "./commands/completions.ts";
import { DOCTOR } from "./commands/doctor.ts";
import { REQUEUE } from "./commands/requeue.ts";
import { STATUS } from "./commands/status.ts";
import { SUBMIT } from "./commands/submit.ts";
import { listOptions } from "./config_options.ts";
import { escapeControls } from "./core/escape_controls.ts";
import { nearest } from "./core/nearest.ts";

/** What a command line asks for. */
export type CommandLine =
  | { readonly kind: "agent"; readonly once: boolean }
  /** Help on one command; of the whole program without. */
  | { readonly kind: "help"; readonly command?: string }
  | { readonly kind: "version" }
  /** `hint` goes with usage errors that only show when the command runs. */
  | { readonly kind: "command"; readonly run: CommandRun; readonly hint: string }
  /** One line that says what is wrong; `usageHint` says how to get help. */
  | { readonly kind: "usage-error"; readonly message: string; readonly command?: string };

/** The second line of a usage error outside of the operator's commands. */
export const USAGE_HINT = "Run `cellos-fleet --help` for the commands, options and variables";

/** The second line of a usage error: how to get help, on one command where that is known. */
export function usageHint(command: string | undefined): string {
  return command === undefined
    ? USAGE_HINT
    : `Run \`cellos-fleet ${command} --help\` for its options and an example`;
}

const AGENT: CommandSyntax = {
  name: "agent",
  synopsis: "[agent] [--once]",
  summary: "Claim and run specs until told to stop; with --once, until the queue is empty",
  description: [],
  options: [{ name: "once", meaning: "Exit when the queue is empty" }],
  takesArguments: false,
  examples: [],
  exitCodes: [],
};

/** The operator's commands. */
const COMMANDS: readonly Command[] = withCompletions([STATUS, SUBMIT, REQUEUE, CANCEL, DOCTOR]);

function withCompletions(commands: readonly Command[]): readonly Command[] {
  return [...commands, completionsCommand([AGENT, ...commands.map(({ syntax }) => syntax)])];
}

/** Honoured on every command's line. */
const COMMON_OPTIONS: NonNullable<ParseArgsConfig["options"]> = {
  help: { type: "boolean", short: "h" },
  version: { type: "boolean", short: "V" },
};

/**
 * Reads the arguments that follow the program's name. The first one names the command unless it is
 * an option; without a command it is the agent. Never throws.
 */
export function parseCommandLine(args: readonly string[]): CommandLine {
  const named = args.length > 0 && !args[0].startsWith("-");
  const name = named ? args[0] : AGENT.name;
  const command = COMMANDS.find(({ syntax }) => syntax.name === name);
  if (command === undefined && name !== AGENT.name) {
    const meant = nearest(name, [AGENT.name, ...COMMANDS.map(({ syntax }) => syntax.name)]);
    const hint = meant === undefined ? "" : `; did you mean ${meant}?`;
    return { kind: "usage-error", message: `Unknown command ${JSON.stringify(name)}${hint}` };
  }
  const rest = args.slice(named ? 1 : 0);
  const ofCommand = command === undefined ? {} : { command: name };
  try {
    const { values, positionals } = parse(rest, command?.syntax ?? AGENT);
    if (values["help"] === true) return { kind: "help", ...ofCommand };
    if (values["version"] === true) return { kind: "version" };
    if (command === undefined) return { kind: "agent", once: values["once"] === true };
    return { kind: "command", run: command.read(values, positionals), hint: usageHint(name) };
  } catch (error) {
    const message = error instanceof UsageError ? error.message : parseFault(error);
    return { kind: "usage-error", message: escapeControls(message), ...ofCommand };
  }
}

function parse(
  args: readonly string[],
  { options, takesArguments }: CommandSyntax,
): { values: OptionValues; positionals: readonly string[] } {
  const own = options.map(({ name, value }) =>
    [name, { type: value === undefined ? "boolean" : "string" }] as const
  );
  const parsed = parseArgs({
    args: [...args],
    options: { ...COMMON_OPTIONS, ...Object.fromEntries(own) },
    allowPositionals: takesArguments,
    strict: true,
  });
  return { values: parsed.values as OptionValues, positionals: parsed.positionals };
}

/** The text of `--help`: no line longer than 100 columns, ending in a newline. */
export function usage(): string {
  const commands = [AGENT, ...COMMANDS.map(({ syntax }) => syntax)];
  const variables = listOptions().map((option) => [
    option.name,
    option.shownDefault,
    option.meaning,
  ]);
  return [
    "cellos-fleet takes execution specs from an S3 bucket, runs each with the local supervisor, and",
    "files it as completed or failed. The nodes of a fleet share nothing but the bucket.",
    "",
    "Usage:",
    ...columns(
      [
        ...commands.map(({ synopsis, summary }) => [synopsis, summary]),
        ["--help, -h", "Print this text; after a command: help on it"],
        ["--version, -V", "Print the version"],
      ].map(([synopsis, summary]) => [`cellos-fleet ${synopsis}`, summary]),
    ),
    "",
    "Environment variables, their defaults and meanings (an empty value counts as unset):",
    ...columns(variables),
    "",
    "AWS variables:",
    ...columns(AWS_VARIABLES),
    "",
    "Exit codes:",
    ...columns(EXIT_CODES),
    "",
  ].join("\n");
}

/** The text of a command's own `--help`; that of the program for what is none of the commands. */
export function commandUsage(name: string): string {
  const syntax = COMMANDS.find((command) => command.syntax.name === name)?.syntax;
  if (syntax === undefined) return usage();
  const { synopsis, summary, description, options, examples, exitCodes } = syntax;
  return [
    `Usage: cellos-fleet ${synopsis}`,
    "",
    `${summary}.`,
    ...description.flatMap((text) => ["", ...paragraph(text)]),
    ...section("Options", columns([...options, HELP_OPTION].map(optionRow))),
    ...section(examples.length === 1 ? "Example" : "Examples", examples.map((line) => `  ${line}`)),
    ...section("Exit codes", columns([...exitCodes, ...COMMON_EXIT_CODES])),
    "",
  ].join("\n");
}

function section(title: string, lines: readonly string[]): string[] {
  return ["", `${title}:`, ...lines];
}

const HELP_OPTION: OptionSyntax = { name: "help", meaning: "Print this text" };

function optionRow({ name, value, meaning }: OptionSyntax): string[] {
  return [value === undefined ? `--${name}` : `--${name} ${value}`, meaning];
}

/** What the S3 client reads of the environment. Files and profiles are out of its reach. */
const AWS_VARIABLES: readonly (readonly string[])[] = [
  ["AWS_REGION, AWS_DEFAULT_REGION", "Region of the bucket"],
  ["AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL", "Another S3 service than AWS's own"],
  ["AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN", "Credentials"],
  [
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "Credentials of a container",
  ],
  ["", "Without any of these: the credentials of the instance (its metadata service)"],
];

const EXIT_CODES: readonly (readonly string[])[] = [
  ["0", "Drained after a signal, or out of work with --once or CELLOS_FLEET_EXIT_WHEN_IDLE_MS"],
  ["64", "The command line is wrong"],
  [
    "69",
    "The bucket cannot be used: missing, access denied, or it ignores conditional writes",
  ],
  ["70", "Internal error"],
  [
    "75",
    "Told to stop, and the bucket did not let everything be settled: leases run out; or --once without a supervisor to start",
  ],
  ["78", "The configuration is wrong; every problem is listed"],
  ["130, 143", "Third SIGINT or SIGTERM: left at once; leases run out by themselves"],
];

const COMMON_EXIT_CODES: readonly (readonly [string, string])[] = [
  ["64", "The command line is wrong"],
  ["69, 75", "The bucket cannot be used; 75: at present"],
  ["78", "The configuration is wrong"],
  ["130", "Interrupted"],
];

/** Node's own words, without the advice that follows in a second sentence. */
function parseFault(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.split(". ")[0];
}
