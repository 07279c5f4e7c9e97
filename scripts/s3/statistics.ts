/** What the server has been asked, and what came of it. */

/** A status, or how a request ended that got no answer. */
export type RequestEnd = number | "cut" | "hang";

/** One request, told to the `log` hook once its end is decided. */
export interface RequestLogEntry {
  readonly method: string;
  /** Name in the S3 API; `Unknown` for what the server has no answer to. */
  readonly operation: string;
  readonly bucket: string;
  readonly key: string;
  /** Of a listing; undefined when it is of all keys. */
  readonly prefix: string | undefined;
  /** The headers as they came; undefined when absent. */
  readonly ifMatch: string | undefined;
  readonly ifNoneMatch: string | undefined;
  readonly status: RequestEnd;
}

export interface ServerStatistics {
  readonly requests: number;
  /** By operation, then by status, `cut` or `hang`. */
  readonly byOperation: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /**
   * The most requests that waited or were carried out at once. Without a delay each is carried out
   * at one go, so this tells how parallel the clients are only when there is one.
   */
  readonly peakConcurrentRequests: number;
}

export class StatisticsCounter {
  #requests = 0;
  #byOperation: Record<string, Record<string, number>> = {};
  #concurrent = 0;
  #peak = 0;

  begin(): void {
    this.#concurrent++;
    if (this.#concurrent > this.#peak) this.#peak = this.#concurrent;
  }

  end(operation: string, status: RequestEnd): void {
    this.#concurrent--;
    this.#requests++;
    const counts = this.#byOperation[operation] ??= {};
    counts[status] = (counts[status] ?? 0) + 1;
  }

  snapshot(): ServerStatistics {
    return {
      requests: this.#requests,
      byOperation: structuredClone(this.#byOperation),
      peakConcurrentRequests: this.#peak,
    };
  }

  reset(): void {
    this.#requests = 0;
    this.#byOperation = {};
    this.#peak = this.#concurrent;
  }
}
