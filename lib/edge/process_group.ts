/**
 * Signals to a process group: a supervisor and all it started that did not leave for a session of
 * its own.
 *
 * The number of a group is not given to another process while any member lives (POSIX, "process ID
 * reuse"), nor before its leader has been waited for. After that it is free, so a group that was once
 * seen to be empty is never signalled again. What stays is the time between one look and the next
 * while leftovers end: a stranger is hit only if all numbers of the system are used up within it.
 */
import process from "node:process";
import type { CellSignal } from "../ports.ts";

export class ProcessGroup {
  readonly id: number;
  #gone = false;
  #killed = false;

  /** @param id The number of the group's leader, which must not have been waited for yet. */
  constructor(id: number) {
    this.id = id;
  }

  /** Whether every member has been sent SIGKILL, which none can outlive. */
  get killed(): boolean {
    return this.#killed;
  }

  /** Signals every member. Does nothing once the group is gone. */
  signal(name: CellSignal): void {
    if (this.#gone) return;
    const reached = this.#send(name);
    if (reached && name === "SIGKILL") this.#killed = true;
  }

  /**
   * Whether there are no members any more. False while the leader has not been waited for. Members
   * that ended but were not waited for by their parent count as members.
   */
  isGone(): boolean {
    if (!this.#gone) this.#send(0);
    return this.#gone;
  }

  /** Returns whether the signal reached the members. */
  #send(signal: CellSignal | 0): boolean {
    try {
      process.kill(-this.id, signal);
      return true;
    } catch (error) {
      const code = (error as { code?: unknown }).code;
      if (code === "ESRCH") {
        this.#gone = true;
        return false;
      }
      // Members of another user (a set-user-ID supervisor) are there, but out of reach.
      if (code === "EPERM") return false;
      throw error;
    }
  }
}
