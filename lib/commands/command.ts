/** What a command is: how it is written, and what runs it. */
import type { Config } from "../config.ts";
import type { Clock, Entropy, Store, Terminal } from "../ports.ts";

/** One option of a command, such as `--id ID`. */
export interface OptionSyntax {
  /** Without the hyphens. */
  readonly name: string;
  /** What stands for its value in the help text; a switch has none. */
  readonly value?: string;
  readonly meaning: string;
}

/** Everything that parsing, the help texts and the shell completions have to know of a command. */
export interface CommandSyntax {
  readonly name: string;
  /** What follows `cellos-fleet` in the help text. */
  readonly synopsis: string;
  readonly summary: string;
  /** Paragraphs. */
  readonly description: readonly string[];
  readonly options: readonly OptionSyntax[];
  /** Whether it takes arguments beside its options; where there are only so many, which. */
  readonly takesArguments: boolean;
  readonly argumentChoices?: readonly string[];
  /** Lines of a shell, to be tried as they are. */
  readonly examples: readonly string[];
  readonly exitCodes: readonly (readonly [code: string, meaning: string])[];
}

/** Options that were given, by name; a switch is `true`. */
export type OptionValues = Readonly<Record<string, string | boolean | undefined>>;

/** The command line is wrong. The message says so in one line. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** What commands need of the world. */
export interface CommandPorts {
  readonly terminal: Terminal;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly environment: Readonly<Record<string, string>>;
  /** Sends nothing yet. Throws a permanent `StoreError` when region or endpoint cannot be told. */
  openStore(config: Config): Store & Disposable;
  /** Where credentials come from; rejects with a `StoreError` when there are none to be had. */
  describeCredentials(): Promise<string>;
  /** Rejects with a `SupervisorError` when the program is not there, or not executable. */
  checkSupervisor(program: string): Promise<void>;
  /** Rejects when the host does not tell its name. */
  hostName(): Promise<string>;
  /** Aborted when the person has had enough. */
  readonly interrupted: AbortSignal;
}

/** Runs a command that was understood, and resolves to the exit code. */
export type CommandRun = (ports: CommandPorts) => Promise<number>;

export interface Command {
  readonly syntax: CommandSyntax;
  /** Understands options and arguments; throws a `UsageError` when they make no sense. */
  read(values: OptionValues, positionals: readonly string[]): CommandRun;
}
