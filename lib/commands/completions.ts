/** `cellos-fleet completions`: what a shell needs to complete the command line. */
import {
  type Command,
  type CommandSyntax,
  type OptionSyntax,
  type OptionValues,
  UsageError,
} from "./command.ts";
import { EXIT } from "./exit_code.ts";

const PROGRAM = "cellos-fleet";

type Generator = (commands: readonly CommandSyntax[]) => string;

const GENERATORS: ReadonlyMap<string, Generator> = new Map([
  ["bash", bash],
  ["zsh", zsh],
  ["fish", fish],
]);
const SHELLS = [...GENERATORS.keys()];

const SYNTAX: CommandSyntax = {
  name: "completions",
  synopsis: `completions ${SHELLS.join("|")}`,
  summary: "Print a script that completes this program's command line in a shell",
  description: [],
  options: [],
  takesArguments: true,
  argumentChoices: SHELLS,
  examples: [
    'eval "$(cellos-fleet completions bash)"',
    'eval "$(cellos-fleet completions zsh)"',
    "cellos-fleet completions fish > ~/.config/fish/completions/cellos-fleet.fish",
  ],
  exitCodes: [["0", "Printed"]],
};

/** The command, for a program of these other commands. */
export function completionsCommand(others: readonly CommandSyntax[]): Command {
  return {
    syntax: SYNTAX,
    read(_values: OptionValues, positionals: readonly string[]) {
      const [shell, ...more] = positionals;
      const generate = GENERATORS.get(shell);
      if (generate === undefined || more.length > 0) {
        throw new UsageError(`Give one shell: ${SHELLS.join(", ")}`);
      }
      return async ({ terminal }) => {
        await terminal.print(generate([...others, SYNTAX]));
        return EXIT.ok;
      };
    },
  };
}

/** Options that every command has. */
const COMMON: readonly OptionSyntax[] = [
  { name: "help", meaning: "Print help" },
  { name: "version", meaning: "Print the version" },
];

function optionsOf(command: CommandSyntax): readonly OptionSyntax[] {
  return [...command.options, ...COMMON];
}

/** Without a command it is the agent, so that its options stand there too. */
function topOptions(commands: readonly CommandSyntax[]): readonly OptionSyntax[] {
  const agent = commands.find(({ name }) => name === "agent");
  return [...agent?.options ?? [], ...COMMON];
}

function words(options: readonly OptionSyntax[]): string {
  return options.map(({ name }) => `--${name}`).join(" ");
}

function bash(commands: readonly CommandSyntax[]): string {
  const names = commands.map(({ name }) => name);
  const cases = commands.map((command) => {
    const choices = [words(optionsOf(command)), ...command.argumentChoices ?? []].join(" ");
    return `    ${command.name}) choices="${choices}" ;;`;
  });
  return `# bash completion for ${PROGRAM}
_${functionName()}() {
  local word=\${COMP_WORDS[COMP_CWORD]} choices
  if ((COMP_CWORD == 1)); then
    choices="${names.join(" ")} ${words(topOptions(commands))}"
  else
    case \${COMP_WORDS[1]} in
${cases.join("\n")}
    *) choices="" ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$choices" -- "$word"))
}
complete -F _${functionName()} ${PROGRAM}
`;
}

function zsh(commands: readonly CommandSyntax[]): string {
  const described = commands.map(({ name, summary }) =>
    `    ${quoted(`${name}:${summary.replaceAll(":", "\\:")}`)}`
  );
  const cases = commands.map((command) => {
    const specs = optionsOf(command).map(zshOption);
    const choices = command.argumentChoices;
    if (choices !== undefined) specs.push(quoted(`1:: :(${choices.join(" ")})`));
    return `    ${command.name}) _arguments ${specs.join(" ")} ;;`;
  });
  const top = topOptions(commands).map(zshOption).join(" ");
  return `#compdef ${PROGRAM}
_${functionName()}() {
  local -a commands=(
${described.join("\n")}
  )
  if ((CURRENT == 2)); then
    _describe command commands
    _arguments ${top}
    return
  fi
  local command=\${words[2]}
  shift words
  ((CURRENT--))
  case $command in
${cases.join("\n")}
  esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _${functionName()} "$@"
else
  compdef _${functionName()} ${PROGRAM}
fi
`;
}

function zshOption({ name, value, meaning }: OptionSyntax): string {
  const text = meaning.replace(/[[\]:\\]/g, "\\$&");
  return quoted(`--${name}[${text}]${value === undefined ? "" : `:${value}: `}`);
}

function fish(commands: readonly CommandSyntax[]): string {
  const lines = [`# fish completion for ${PROGRAM}`, `complete -c ${PROGRAM} -f`];
  const option = (condition: string, { name, value, meaning }: OptionSyntax) =>
    `complete -c ${PROGRAM} -n ${quoted(condition)} -l ${name}${value === undefined ? "" : " -x"}` +
    ` -d ${quoted(meaning)}`;
  for (const { name, summary } of commands) {
    lines.push(`complete -c ${PROGRAM} -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`);
  }
  for (const each of topOptions(commands)) lines.push(option("__fish_use_subcommand", each));
  for (const command of commands) {
    const condition = `__fish_seen_subcommand_from ${command.name}`;
    for (const each of optionsOf(command)) lines.push(option(condition, each));
    if (command.argumentChoices === undefined) continue;
    const choices = quoted(command.argumentChoices.join(" "));
    lines.push(`complete -c ${PROGRAM} -n ${quoted(condition)} -a ${choices}`);
  }
  return lines.join("\n") + "\n";
}

/** In single quotes, as all three shells read them (fish also takes the backslash before one). */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "’")}'`;
}

function functionName(): string {
  return PROGRAM.replaceAll("-", "_");
}
