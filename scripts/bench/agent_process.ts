/** An agent under measurement, as a process of its own with the permissions that the program has. */
import { fileURLToPath } from "node:url";
import { V8_FLAGS } from "../compile.ts";
import { eachLine, plainEnvironment, s3Environment, until } from "./line_process.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PERMISSIONS = ["--no-prompt", "--allow-net", "--allow-env", "--allow-run"];
const LINE_DEADLINE_MS = 120_000;

/** What is started as the agent: an executable, or `main.ts` by this Deno when undefined. */
export type AgentProgram = string | undefined;

export interface AgentOptions {
  readonly program: AgentProgram;
  readonly endpoint: string;
  /** Name of the node. */
  readonly node?: string;
  /** Settings without `CELLOS_FLEET_`, such as `CONCURRENCY`. */
  readonly settings?: Readonly<Record<string, string | number>>;
  /** Keeps the lines of its log, for `line` and `ready`. Otherwise nobody reads them. */
  readonly readLog?: boolean;
}

/** Heartbeats, scans and renewals are kept out of what is counted, unless a row is about them. */
const QUIET = {
  SUPERVISOR: "true",
  POLL_INTERVAL_MS: 1_000,
  HEARTBEAT_INTERVAL_MS: 3_600_000,
  LEASE_TTL_MS: 600_000,
  LOG_FORMAT: "json",
};

interface LogLine {
  readonly atMs: number;
  readonly message: string;
}

/** Memory of a process, in megabytes of 10^6 bytes. */
export interface Memory {
  readonly residentMb: number;
  readonly peakMb: number;
}

export class AgentProcess implements AsyncDisposable {
  /** Wall clock just before the process was started, in milliseconds. */
  readonly startedMs: number;
  readonly #child: Deno.ChildProcess;
  readonly #lines: LogLine[] = [];
  #ended = false;

  constructor(options: AgentOptions) {
    const [program, ...args] = options.program === undefined
      ? [Deno.execPath(), "run", "--frozen", V8_FLAGS, ...PERMISSIONS, "main.ts"]
      : [options.program];
    const settings = {
      ...QUIET,
      BUCKET: "fleet",
      NODE_ID: options.node ?? "node-1",
      ...options.settings,
    };
    this.startedMs = performance.timeOrigin + performance.now();
    this.#child = new Deno.Command(program, {
      args,
      cwd: ROOT,
      clearEnv: true,
      env: {
        ...plainEnvironment(),
        ...s3Environment(options.endpoint),
        ...Object.fromEntries(
          Object.entries(settings).map(([name, value]) => [`CELLOS_FLEET_${name}`, `${value}`]),
        ),
      },
      stdin: "null",
      stdout: options.readLog ? "piped" : "null",
      stderr: "inherit",
    }).spawn();
    if (options.readLog) void eachLine(this.#child.stdout, (line) => this.#note(line));
    void this.#child.status.then(() => {
      this.#ended = true;
    });
  }

  /** Resolves once it has found the bucket usable. */
  async ready(): Promise<void> {
    await this.line("bucket honours conditional writes");
  }

  /** Wall-clock milliseconds of the `nth` line (from 1) with this message; waits for it. */
  async line(message: string, nth = 1): Promise<number> {
    const found = () => this.#lines.filter((line) => line.message === message)[nth - 1];
    await until(`line ${nth} of "${message}"`, LINE_DEADLINE_MS, () => {
      if (this.#ended) throw new Error(`The agent ended before it logged "${message}"`);
      return found() !== undefined;
    });
    return found().atMs;
  }

  /** Wall-clock milliseconds of all lines with this message so far. */
  times(message: string): number[] {
    return this.#lines.filter((line) => line.message === message).map(({ atMs }) => atMs);
  }

  memory(): Promise<Memory> {
    return memoryOf(this.#child.pid);
  }

  signal(name: "SIGTERM" | "SIGKILL"): void {
    if (!this.#ended) this.#child.kill(name);
  }

  /** Kills it; its guard ends what runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.signal("SIGKILL");
    await this.#child.status;
  }

  #note(text: string): void {
    const { timestamp, fields } = JSON.parse(text);
    this.#lines.push({ atMs: Date.parse(timestamp), message: fields.message });
  }
}

/** As Linux accounts it. */
export async function memoryOf(pid: number): Promise<Memory> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  const megabytes = (name: string) => {
    const kib = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1];
    if (kib === undefined) throw new Error(`Cannot find ${name} of process ${pid}`);
    return Number(kib) * 1024 / 1e6;
  };
  return { residentMb: megabytes("VmRSS"), peakMb: megabytes("VmHWM") };
}
