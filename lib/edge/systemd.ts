/**
 * Tells systemd how the agent fares, by sd_notify(3): ready, stopping, a status line, and the pings
 * that its watchdog waits for. Sent by the program `systemd-notify`, since the protocol's socket is
 * not within the agent's permissions; the unit therefore needs `NotifyAccess=all`.
 */
import { escapeControls } from "../core/escape_controls.ts";
import type { Clock } from "../ports.ts";

/** What systemd asked for in the environment of the service. */
export interface NotifySettings {
  readonly socket: string;
  /** How long systemd waits from one ping to the next; undefined without a watchdog. */
  readonly watchdogMs: number | undefined;
}

type Environment = Pick<typeof Deno.env, "get" | "delete">;

/**
 * Takes systemd's variables out of the environment, so that no cell speaks to it in the agent's name
 * by accident. Undefined where no service manager listens.
 *
 * @param pid of this process: a watchdog for another one is not ours (sd_watchdog_enabled(3))
 */
export function takeNotifySettings(
  environment: Environment,
  pid: number,
): NotifySettings | undefined {
  const take = (name: string) => {
    const value = environment.get(name);
    environment.delete(name);
    return value ?? "";
  };
  const socket = take("NOTIFY_SOCKET");
  const watchdogUsec = take("WATCHDOG_USEC");
  const watchdogPid = take("WATCHDOG_PID");
  if (socket === "") return undefined;
  const ours = watchdogPid === "" || watchdogPid === String(pid);
  const watched = ours && /^[1-9][0-9]{0,17}$/.test(watchdogUsec);
  return { socket, watchdogMs: watched ? Number(watchdogUsec) / 1_000 : undefined };
}

export interface NotifierOptions extends NotifySettings {
  readonly clock: Clock;
  /** Whether a ping may be sent. */
  alive(): boolean;
  /** The status line of this moment. */
  status(): string;
  /** Called for the first of several failures in a row. */
  onFailure(cause: string): void;
  /** Instead of `systemd-notify`, for tests. */
  readonly program?: string;
}

/** Pings in one watchdog period: two of them may be late or lost. */
const PINGS_PER_PERIOD = 3;
/** How often the status line is brought up to date. */
const STATUS_EVERY_MS = 5_000;
/** `systemd-notify` waits up to 5 s for its message to be taken in. */
const NOTIFY_TIMEOUT_MS = 10_000;

export class SystemdNotifier implements AsyncDisposable {
  readonly #options: NotifierOptions;
  readonly #stop = new AbortController();
  #wake = new AbortController();
  #lifeCycle: string[] = [];
  #sentStatus = "";
  #failing = false;
  readonly #running: Promise<void>;

  /** Starts at once; nothing but the status is told before `ready`. */
  constructor(options: NotifierOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  /** The service is up: from now on systemd's watchdog waits for pings. */
  ready(): void {
    this.#tell("READY=1");
  }

  /** The service is on its way out. */
  stopping(): void {
    this.#tell("STOPPING=1");
  }

  /** Resolves once everything told so far has been sent, or has failed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#wake.abort();
    await this.#running;
    await this.#send(this.#lifeCycle);
  }

  #tell(assignment: string): void {
    this.#lifeCycle.push(assignment);
    this.#wake.abort();
  }

  async #run(): Promise<void> {
    const { clock, watchdogMs = Infinity } = this.#options;
    const everyMs = Math.min(STATUS_EVERY_MS, watchdogMs / PINGS_PER_PERIOD);
    while (!this.#stop.signal.aborted) {
      this.#wake = new AbortController();
      await this.#send(this.#due());
      if (this.#lifeCycle.length === 0) await clock.sleep(everyMs, this.#wake.signal);
    }
  }

  /** One message for all there is to tell, so that no more than one process is started at a time. */
  #due(): string[] {
    const { watchdogMs, alive, status } = this.#options;
    const due = this.#lifeCycle;
    this.#lifeCycle = [];
    // A line end would begin another assignment.
    const statusNow = escapeControls(status());
    if (statusNow !== this.#sentStatus) due.push(`STATUS=${statusNow}`);
    this.#sentStatus = statusNow;
    if (watchdogMs !== undefined && alive()) due.push("WATCHDOG=1");
    return due;
  }

  async #send(assignments: readonly string[]): Promise<void> {
    if (assignments.length === 0) return;
    const cause = await this.#notify(assignments);
    if (cause !== undefined && !this.#failing) this.#options.onFailure(cause);
    this.#failing = cause !== undefined;
  }

  /** Undefined when it was sent, else why not. */
  async #notify(assignments: readonly string[]): Promise<string | undefined> {
    const { socket, program = "systemd-notify" } = this.#options;
    const timeout = AbortSignal.timeout(NOTIFY_TIMEOUT_MS);
    try {
      const { success, code, signal, stderr } = await new Deno.Command(program, {
        args: [...assignments],
        env: { NOTIFY_SOCKET: socket },
        stdin: "null",
        stdout: "null",
        stderr: "piped",
        signal: timeout,
      }).output();
      if (success) return undefined;
      const said = new TextDecoder().decode(stderr).trim();
      return `${program} ended with ${signal ?? `code ${code}`}${said === "" ? "" : `: ${said}`}`;
    } catch (error) {
      const cause = error instanceof Error ? error.message : String(error);
      return `${program} could not be started: ${cause}`;
    }
  }
}
