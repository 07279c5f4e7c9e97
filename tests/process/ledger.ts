/**
 * What really ran, as the supervisors of `ledger_supervisor.sh` themselves wrote it down: agents can
 * neither add to it nor leave anything out.
 */

export type LedgerEvent = "start" | "running" | "overlap" | "term" | "end";

export interface LedgerEntry {
  readonly event: LedgerEvent;
  /** The exit code of an `end`, or what a script noted. */
  readonly detail: string;
  /** The supervisor's process, and with it its process group. */
  readonly pid: number;
  readonly attempt: number;
  readonly claim: string;
  readonly node: string;
  readonly specId: string;
}

export class Ledger {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** All entries, in the order in which they were written. */
  entries(): LedgerEntry[] {
    return this.#text().split("\n").slice(0, -1).map((row) => {
      const [event, detail, pid, attempt, claim, node, ...specId] = row.split("\t");
      return {
        event: event as LedgerEvent,
        detail,
        pid: Number(pid),
        attempt: Number(attempt),
        claim,
        node,
        specId: specId.join("\t"),
      };
    });
  }

  /** The entries of one kind, of one spec or of all. */
  of(event: LedgerEvent, specId?: string): LedgerEntry[] {
    return this.entries().filter((entry) =>
      entry.event === event && (specId === undefined || entry.specId === specId)
    );
  }

  #text(): string {
    try {
      return Deno.readTextFileSync(this.#path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return "";
      throw error;
    }
  }
}
