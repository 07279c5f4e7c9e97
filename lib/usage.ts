/**
 * The command line: what may be written on it, and the text of `--help`. Pure; whoever calls prints
 * and exits.
 */
import { parseArgs } from "node:util";
import type { ParseArgsConfig } from "node:util";
import { listOptions } from "./config_options.ts";
import { escapeControls } from "./core/escape_controls.ts";
import { nearest } from "./core/nearest.ts";

/** What a command line asks for. */
export type CommandLine =
  | { readonly kind: "agent"; readonly once: boolean }
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  /** One line that says what is wrong; `USAGE_HINT` says how to get help. */
  | { readonly kind: "usage-error"; readonly message: string };

/** The second line of a usage error. */
export const USAGE_HINT = "Run `cellos-fleet --help` for the commands, options and variables";

type Options = NonNullable<ParseArgsConfig["options"]>;
type Values = Readonly<Record<string, string | boolean | undefined>>;

/** One command: everything that parsing and the help text have to know of it. */
interface Command {
  /** What follows `cellos-fleet` in the help text. */
  readonly synopsis: string;
  readonly summary: string;
  readonly options: Options;
  readonly takesArguments: boolean;
  read(values: Values, positionals: readonly string[]): CommandLine;
}

const COMMANDS: ReadonlyMap<string, Command> = new Map([
  ["agent", {
    synopsis: "[agent] [--once]",
    summary: "Claim and run specs until told to stop; with --once, until the queue is empty",
    options: { once: { type: "boolean" } },
    takesArguments: false,
    read: (values) => ({ kind: "agent", once: values["once"] === true }),
  }],
]);

/** Honoured on every command's line. */
const COMMON_OPTIONS: Options = {
  help: { type: "boolean", short: "h" },
  version: { type: "boolean", short: "V" },
};

/**
 * Reads the arguments that follow the program's name. The first one names the command unless it is
 * an option; without a command it is the agent. Never throws.
 */
export function parseCommandLine(args: readonly string[]): CommandLine {
  const named = args.length > 0 && !args[0].startsWith("-");
  const name = named ? args[0] : "agent";
  const command = COMMANDS.get(name);
  if (command === undefined) {
    const meant = nearest(name, COMMANDS.keys());
    const hint = meant === undefined ? "" : `; did you mean ${meant}?`;
    return { kind: "usage-error", message: `Unknown command ${JSON.stringify(name)}${hint}` };
  }
  let parsed;
  try {
    parsed = parseArgs({
      args: args.slice(named ? 1 : 0),
      options: { ...COMMON_OPTIONS, ...command.options },
      allowPositionals: command.takesArguments,
      strict: true,
    });
  } catch (error) {
    return { kind: "usage-error", message: parseFault(error) };
  }
  const values = parsed.values as Values;
  if (values["help"] === true) return { kind: "help" };
  if (values["version"] === true) return { kind: "version" };
  return command.read(values, parsed.positionals);
}

/** The text of `--help`: no line longer than 100 columns, ending in a newline. */
export function usage(): string {
  const commands = [...COMMANDS.values()].map(({ synopsis, summary }) => [synopsis, summary]);
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
      [...commands, ["--help, -h", "Print this text"], ["--version, -V", "Print the version"]]
        .map(([synopsis, summary]) => [`cellos-fleet ${synopsis}`, summary]),
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
  ["78", "The configuration is wrong; every problem is listed"],
  ["130, 143", "Third SIGINT or SIGTERM: left at once; leases run out by themselves"],
];

const WIDTH = 100;
const INDENT = "  ";
const GAP = "  ";
/** A first column wider than this stands on a line of its own. */
const WIDEST_FIRST = 45;

/** Rows in aligned columns; the last column wraps. */
function columns(rows: readonly (readonly string[])[]): string[] {
  const inner = rows[0].length - 1;
  const widths = Array.from({ length: inner }, (_, column) => {
    const lengths = rows.map((row) => row[column].length);
    return Math.max(...lengths.filter((length) => column > 0 || length <= WIDEST_FIRST));
  });
  const start = INDENT.length + widths.reduce((sum, width) => sum + width + GAP.length, 0);
  return rows.flatMap((row) => {
    const head = INDENT + widths.map((width, column) => row[column].padEnd(width) + GAP).join("");
    const [first, ...rest] = wrap(row[inner], WIDTH - start);
    const continued = rest.map((line) => " ".repeat(start) + line);
    if (head.length <= start) return [head + first, ...continued];
    return [head.trimEnd(), " ".repeat(start) + first, ...continued];
  });
}

function wrap(text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines[lines.length - 1];
    if (line === "") lines[lines.length - 1] = word;
    else if (line.length + 1 + word.length <= width) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** Node's own words, without the advice that follows in a second sentence. */
function parseFault(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return escapeControls(message.split(". ")[0]);
}
