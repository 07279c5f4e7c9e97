/** Prints what happens as it happens, one line each: when, who, what. */
import type { AgentLine } from "./agent_process.ts";
import type { BucketChange } from "./demo_bucket.ts";
import { PREFIX } from "./specs.ts";

type Style = "bold" | "dim" | "red" | "green" | "yellow" | "blue" | "magenta" | "cyan";

const CODES: Readonly<Record<Style, number>> = {
  bold: 1,
  dim: 2,
  red: 31,
  green: 32,
  yellow: 33,
  blue: 34,
  magenta: 35,
  cyan: 36,
};

const SOURCE_STYLES: readonly (readonly [string, Style])[] = [
  ["demo", "bold"],
  ["bucket", "blue"],
  ["node-a", "cyan"],
  ["node-b", "magenta"],
];

export class Timeline {
  readonly #color: boolean;
  #startedMs = performance.now();

  /** @param color whether escape sequences may be written */
  constructor(color: boolean) {
    this.#color = color;
  }

  /** Seconds since the first line. */
  get elapsedSeconds(): number {
    return (performance.now() - this.#startedMs) / 1000;
  }

  /** Times count from here. */
  start(): void {
    this.#startedMs = performance.now();
  }

  styled(text: string, style: Style): string {
    return this.#color ? `\x1b[${CODES[style]}m${text}\x1b[0m` : text;
  }

  /** A line of the demo itself. */
  note(text: string): void {
    this.#line("demo", this.styled(text, "bold"));
  }

  /** A line that is not of an agent's log, such as an error on its standard error. */
  text(node: string, text: string): void {
    this.#line(node, this.styled(text, "red"));
  }

  agent(node: string, { level, fields }: AgentLine): void {
    const { message, stream, spec_id: id } = fields;
    if (stream !== undefined) return this.#line(node, this.styled(`  │ ${message}`, "dim"));
    const about = [
      id !== undefined && !message.includes(String(id)) ? `${id}` : "",
      ...detailsOf(fields),
    ].filter((part) => part !== "").join(", ");
    const text = about === "" ? message : `${message} (${about})`;
    const style = level === "ERROR" ? "red" : level === "WARN" ? "yellow" : undefined;
    this.#line(node, style === undefined ? text : this.styled(text, style));
  }

  /** The moves of specs; changes of leases and records would only repeat what the agents say. */
  bucket({ kind, key }: BucketChange): void {
    const spec = new RegExp(`^${PREFIX}/(pending|claimed|completed|failed)/(.+)\\.json$`).exec(key);
    if (spec === null) return;
    const [, folder, id] = spec;
    this.#line("bucket", this.styled(`${kind === "put" ? "+" : "-"} ${folder}/${id}.json`, "blue"));
  }

  #line(source: string, text: string): void {
    const time = this.elapsedSeconds.toFixed(2).padStart(6);
    const style = SOURCE_STYLES.find(([name]) => name === source)?.[1] ?? "bold";
    console.log(
      `${this.styled(`${time}s`, "dim")}  ${this.styled(source.padEnd(6), style)}  ${text}`,
    );
  }
}

/** The fields of a log line that are worth reading in the demo. */
function detailsOf(fields: AgentLine["fields"]): string[] {
  const { attempt, exit_code: exitCode, signal, state, in_flight: inFlight } = fields;
  return [
    typeof attempt === "number" && attempt > 1 ? `attempt ${attempt}` : "",
    exitCode !== undefined ? `exit code ${exitCode}` : "",
    signal !== undefined ? `${signal}` : "",
    state !== undefined ? `${state}` : "",
    inFlight !== undefined ? `${inFlight} in flight` : "",
  ];
}
