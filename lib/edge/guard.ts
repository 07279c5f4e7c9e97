/**
 * The guard: one small shell process that outlives the agent by just as long as it takes to end the
 * agent's cells. Without it, cells would run on when the agent is killed hard, while another node,
 * after the lease has run out, starts the same spec again.
 *
 * It reads on its standard input which process groups run, a line `+ <group>` or `- <group>` each.
 * When the agent ends, in whatever way, that pipe closes: the guard sends SIGTERM to the groups that
 * are left and, after the grace, SIGKILL. An agent that ended in order leaves none.
 *
 * A group that the agent was stopping already, `! <group>`, gets SIGKILL at once. Its grace began
 * before, and may have been the last of the time for which the agent could rely on the lease.
 *
 * The guard has a session of its own and ignores the signals that stop an agent. The write end of its
 * pipe is close-on-exec, so no cell can hold it open.
 *
 * What is beyond it: a cell that made a session of its own, and a SIGKILL that strikes agent and guard
 * alike. Under systemd, the end of the unit's control group covers both.
 */

/** How often the guard looks whether the groups have ended; the script has the same figure. */
const LOOK_INTERVAL_MS = 200;
const RESTART_DELAY_MS = 1000;

/**
 * POSIX shell, `$1` the number of looks that make up the grace.
 *
 * `kill -s NAME -- -GROUP` is the form that dash and bash take; shells that take a bare `-GROUP` only
 * get the second. Where `sleep` knows whole seconds only, five looks are one.
 */
const SCRIPT = `
trap '' HUP INT QUIT TERM
cd /
groups=' '
stopping=' '
signal() { kill -s "$1" -- "-$2" || kill -s "$1" "-$2"; }
forget() {
  case $groups in *" $1 "*) groups="\${groups%%" $1 "*} \${groups#*" $1 "}" ;; esac
  case $stopping in *" $1 "*) stopping="\${stopping%%" $1 "*} \${stopping#*" $1 "}" ;; esac
}
while read -r change group; do
  case $change in
    +) forget "$group"; groups="$groups$group " ;;
    -) forget "$group" ;;
    !) forget "$group"; stopping="$stopping$group " ;;
  esac
done
for group in $stopping; do signal KILL "$group"; done
for group in $groups; do signal TERM "$group" || forget "$group"; done
looks=$1
while [ "$groups" != ' ' ] && [ "$looks" -gt 0 ]; do
  if sleep 0.2; then looks=$((looks - 1)); else sleep 1; looks=$((looks - 5)); fi
  for group in $groups; do signal 0 "$group" || forget "$group"; done
done
for group in $groups; do signal KILL "$group"; done
`;

export interface GuardOptions {
  /** Between SIGTERM and SIGKILL; rounded up to 200 ms. */
  readonly killGraceMs: number;
  /**
   * Called when the guard ended though the agent did not want it to, and when it could not be started
   * again. It is started anew, and told all groups, in either case.
   */
  onLost(cause: string): void;
}

/** Starts the guard, or rejects when the host cannot run `sh`. */
// deno-lint-ignore require-await -- so that every failure is a rejection
export async function startGuard(options: GuardOptions): Promise<Guard> {
  return new Guard(options);
}

export class Guard implements AsyncDisposable {
  readonly #options: GuardOptions;
  readonly #groups = new Set<number>();
  readonly #stopping = new Set<number>();
  /** Undefined from the loss of a guard until the next one is started. */
  #shell: GuardShell | undefined;
  #restart: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  /** Throws when the host cannot run `sh`; meant for `startGuard`. */
  constructor(options: GuardOptions) {
    this.#options = options;
    this.#shell = this.#start();
  }

  /**
   * Puts a process group under guard. Once this has resolved, the group ends with the agent. Rejects
   * when there is no guard and none can be started.
   */
  async add(group: number): Promise<void> {
    this.#groups.add(group);
    try {
      // A new guard is told all groups, and so of this one twice, which the script allows for.
      if (await this.#tell(`+ ${group}\n`)) return;
      if (await this.#tell(`+ ${group}\n`)) return;
    } catch (error) {
      this.#groups.delete(group);
      throw error;
    }
    this.#groups.delete(group);
    throw new Error("Could not tell the guard process of a cell: it ends as soon as it is started");
  }

  /** The group is being stopped: should the agent die from now on, it gets no further grace. */
  stopping(group: number): void {
    if (!this.#groups.has(group) || this.#stopping.has(group)) return;
    this.#stopping.add(group);
    void this.#shell?.write(`! ${group}\n`);
  }

  /** Takes a process group that has ended from under guard. */
  remove(group: number): void {
    this.#groups.delete(group);
    this.#stopping.delete(group);
    void this.#shell?.write(`- ${group}\n`);
  }

  /**
   * Lets the guard go. It ends the groups that are left, if any, and then itself; resolves after that,
   * so at most a grace later.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#restart);
    const shell = this.#shell;
    this.#shell = undefined;
    await shell?.close();
  }

  /** Returns false when the guard is no longer there. */
  async #tell(line: string): Promise<boolean> {
    if (this.#closed) throw new Error("Could not guard a cell: the guard has been let go");
    const shell = this.#shell ??= this.#start();
    if (await shell.write(line)) return true;
    if (this.#shell === shell) this.#shell = undefined;
    return false;
  }

  #start(): GuardShell {
    clearTimeout(this.#restart);
    const shell = new GuardShell(this.#options.killGraceMs);
    for (const group of this.#groups) void shell.write(`+ ${group}\n`);
    for (const group of this.#stopping) void shell.write(`! ${group}\n`);
    const startedAtMs = performance.now();
    void shell.ended.then((cause) => this.#onEnd(shell, cause, performance.now() - startedAtMs));
    return shell;
  }

  #onEnd(shell: GuardShell, cause: string, livedMs: number): void {
    if (this.#closed) return;
    if (this.#shell === shell) this.#shell = undefined;
    this.#options.onLost(cause);
    // At once, unless guards end as fast as they are started.
    if (livedMs >= RESTART_DELAY_MS) this.#startAgain();
    else this.#startLater();
  }

  #startAgain(): void {
    if (this.#closed || this.#shell !== undefined) return;
    try {
      this.#shell = this.#start();
    } catch (error) {
      this.#options.onLost(messageOf(error));
      this.#startLater();
    }
  }

  #startLater(): void {
    clearTimeout(this.#restart);
    this.#restart = setTimeout(() => this.#startAgain(), RESTART_DELAY_MS);
  }
}

/** One shell process that runs the script. */
class GuardShell {
  /** Resolves when the process has ended, with the reason in words. */
  readonly ended: Promise<string>;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;

  constructor(killGraceMs: number) {
    const looks = Math.ceil(killGraceMs / LOOK_INTERVAL_MS);
    let child: Deno.ChildProcess;
    try {
      child = new Deno.Command("sh", {
        args: ["-c", SCRIPT, "cellos-fleet-guard", String(looks)],
        detached: true,
        // It needs none of the agent's secrets, only to find `sleep`.
        clearEnv: true,
        env: { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin" },
        stdin: "piped",
        stdout: "null",
        stderr: "null",
      }).spawn();
    } catch (error) {
      throw new Error(
        `Could not start the guard process, which ends the cells if the agent dies: ${
          messageOf(error)
        }`,
        { cause: error },
      );
    }
    this.#stdin = child.stdin.getWriter();
    this.ended = child.status.then(
      ({ code, signal }) => `The guard process ended by ${signal ?? `exit code ${code}`}`,
      (error) => `The guard process ended: ${messageOf(error)}`,
    );
  }

  /** Resolves once the line is in the pipe, to false when nobody is left to read it. */
  async write(line: string): Promise<boolean> {
    try {
      await this.#stdin.write(new TextEncoder().encode(line));
      // Before Deno 2.9, a broken pipe fails the stream but not the write that met it.
      await this.#stdin.ready;
      return true;
    } catch {
      return false;
    }
  }

  async close(): Promise<void> {
    await this.#stdin.close().catch(() => {});
    await this.ended;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
