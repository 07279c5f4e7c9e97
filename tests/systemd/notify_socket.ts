/** A notify socket, and what a service has told systemd by it. */
import { fileURLToPath } from "node:url";
import { waitUntil } from "../process/wait_until.ts";

const LISTENER = fileURLToPath(new URL("notify_listener.ts", import.meta.url));

export class NotifySocket implements AsyncDisposable {
  readonly path: string;
  /** Assignments such as `READY=1`, in the order in which they came. */
  readonly assignments: string[] = [];
  /** When the last ping of the watchdog came; monotonic milliseconds. */
  lastPingMs = -Infinity;
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<void>;
  #listening = false;

  private constructor(path: string) {
    this.path = path;
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-lock", "--unstable-net", "-A", LISTENER, path],
      stdin: "null",
      stdout: "piped",
    }).spawn();
    this.#reading = this.#read();
  }

  /** Resolves once messages are taken in. */
  static async open(path: string): Promise<NotifySocket> {
    const socket = new NotifySocket(path);
    await waitUntil("the notify socket is there", () => socket.#listening);
    return socket;
  }

  /** Waits until the service has told this. */
  async untilTold(assignment: string | RegExp): Promise<void> {
    await waitUntil(`systemd was told ${assignment}`, () => {
      return this.assignments.some((told) =>
        typeof assignment === "string" ? told === assignment : assignment.test(told)
      );
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#reading;
    await this.#child.status;
  }

  async #read(): Promise<void> {
    let rest = "";
    const text = this.#child.stdout.pipeThrough(new TextDecoderStream() as TransformStream);
    for await (const chunk of text) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop()!;
      for (const line of lines) this.#take(JSON.parse(line));
    }
  }

  #take(message: string): void {
    if (!this.#listening) {
      this.#listening = true;
      return;
    }
    const assignments = message.split("\n");
    if (assignments.includes("WATCHDOG=1")) this.lastPingMs = performance.now();
    this.assignments.push(...assignments);
  }
}
