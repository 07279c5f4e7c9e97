/** The agent as a process of its own, with exactly the permissions that the program has. */
import { fileURLToPath } from "node:url";
import process from "node:process";
import { waitUntil } from "./wait_until.ts";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PERMISSIONS = ["--no-prompt", "--allow-net", "--allow-env", "--allow-run"];
const FROM_SOURCE = [Deno.execPath(), "run", "--frozen", ...PERMISSIONS, "main.ts"];
/** Of a flood of output, only so many lines are kept. */
const MAX_OUTPUT_LINES = 200;

export interface LogLine {
  readonly timestamp: string;
  readonly level: string;
  readonly fields: { readonly message: string } & Readonly<Record<string, unknown>>;
}

export interface FleetAgentOptions {
  readonly environment: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  /** In a session and process group of its own, as a shell's foreground job is in one. */
  readonly ownGroup?: boolean;
}

/** How to start the program: from source, or the executable that the tests are to try. */
export function programCommand(): readonly string[] {
  const executable = Deno.env.get("CELLOS_FLEET_TEST_EXECUTABLE");
  return executable === undefined ? FROM_SOURCE : [executable];
}

/** The environment of the tests, without anything that would set an agent up. */
export function plainEnvironment(): Record<string, string> {
  const kept = Object.entries(Deno.env.toObject()).filter(([name]) =>
    !/^(CELLOS_FLEET_|AWS_|RUST_LOG$|NOTIFY_SOCKET$|WATCHDOG_)|_PROXY$/i.test(name)
  );
  return Object.fromEntries(kept);
}

export class FleetAgent implements AsyncDisposable {
  /** Every line of the log but those of long outputs. */
  readonly lines: LogLine[] = [];
  /** Resolves when the process has ended and all its output has been read. */
  readonly ended: Promise<Deno.CommandStatus>;
  /** Lines of output of cells, those that were not kept included. */
  outputLines = 0;
  stderr = "";
  readonly #child: Deno.ChildProcess;
  #hasEnded = false;

  constructor({ environment, args = [], ownGroup = false }: FleetAgentOptions) {
    const [program, ...itsArgs] = programCommand();
    this.#child = new Deno.Command(program, {
      args: [...itsArgs, ...args],
      cwd: ROOT,
      clearEnv: true,
      env: { ...plainEnvironment(), ...environment },
      detached: ownGroup,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const { status, stdout, stderr } = this.#child;
    const outputs = [
      eachLine(stdout, (line) => this.#take(line)),
      eachLine(stderr, (line) => {
        this.stderr += `${line}\n`;
      }),
    ];
    void status.then(() => this.#hasEnded = true);
    this.ended = Promise.all(outputs).then(async ([unended, lastError]) => {
      this.stderr += lastError;
      const end = await status;
      // Only a kill excuses a line that breaks off.
      if (unended !== "" && end.signal !== "SIGKILL") this.#take(unended);
      return end;
    });
  }

  get pid(): number {
    return this.#child.pid;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Does nothing once the process has ended. */
  signal(name: Deno.Signal): void {
    if (!this.#hasEnded) this.#child.kill(name);
  }

  /** To everything in its process group, as a terminal does for Ctrl-C. */
  signalGroup(name: Deno.Signal): void {
    process.kill(-this.pid, name);
  }

  /** The lines with this message. */
  logged(message: string | RegExp): LogLine[] {
    return this.lines.filter(({ fields }) =>
      typeof message === "string" ? fields.message === message : message.test(fields.message)
    );
  }

  /** Waits until there are `count` lines with this message, and returns them. */
  async untilLogged(message: string | RegExp, count = 1): Promise<LogLine[]> {
    await waitUntil(`${count} × "${message}" was logged`, () => {
      if (this.logged(message).length >= count) return true;
      if (this.#hasEnded) throw new Error(`The agent ended before it logged "${message}"`);
      return false;
    });
    return this.logged(message);
  }

  /** Waits for further heartbeats and returns the last one. */
  async untilBeats(count: number): Promise<LogLine> {
    const before = this.logged("heartbeat").length;
    return (await this.untilLogged("heartbeat", before + count)).at(-1)!;
  }

  /** Waits for its end; returns the exit code. */
  async exitCode(): Promise<number> {
    await waitUntil("the agent has ended", () => this.#hasEnded);
    return (await this.ended).code;
  }

  /** Kills it if it still runs; its guard then ends its cells. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.signal("SIGKILL");
    await this.ended;
  }

  #take(text: string): void {
    const line: LogLine = JSON.parse(text);
    if (line.fields.stream !== undefined && ++this.outputLines > MAX_OUTPUT_LINES) return;
    this.lines.push(line);
  }
}

/** Resolves to what comes after the last line's end. */
async function eachLine(
  stream: ReadableStream<Uint8Array>,
  onLine: (line: string) => void,
): Promise<string> {
  let rest = "";
  for await (const chunk of stream.pipeThrough(new TextDecoderStream() as TransformStream)) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    lines.forEach(onLine);
  }
  return rest;
}
