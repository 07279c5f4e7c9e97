/** Starts the benchmark's bucket and speaks with it. */
import { fileURLToPath } from "node:url";
import { eachLine, plainEnvironment, until } from "./line_process.ts";
import { type RequestCounts, total } from "./request_counts.ts";

/** What the bucket can be told. Each command is answered by a report. */
export type BucketCommand =
  /** Adds pending specs. With `topUp`, from now on one more for each that an agent takes away. */
  | {
    readonly do: "seed";
    readonly count: number;
    readonly poolId?: string;
    readonly topUp?: boolean;
  }
  /** Every request waits so long before it is carried out. */
  | { readonly do: "delay"; readonly ms: number }
  /** Counts from zero again. */
  | { readonly do: "reset" }
  | { readonly do: "report" };

/** Times are wall-clock milliseconds with fractions; undefined when there was no such request. */
export interface BucketReport {
  readonly endpoint: string;
  readonly counts: RequestCounts;
  readonly firstRequestMs: number | undefined;
  /** The first lease that was asked for. */
  readonly firstClaimMs: number | undefined;
  /** The last lease that was given up, which is the last request for a spec. */
  readonly lastFiledMs: number | undefined;
  readonly seeded: number;
}

/** Longest time to wait for a queue to be worked off. */
const DEADLINE_MS = 300_000;

export class BucketProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #waiting: ((report: BucketReport) => void)[] = [];
  #endpoint = "";

  private constructor() {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--frozen",
        "--no-prompt",
        "--allow-net",
        "--allow-env",
        fileURLToPath(new URL("bucket_server.ts", import.meta.url)),
      ],
      clearEnv: true,
      env: plainEnvironment(),
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    void eachLine(this.#child.stdout, (line) => this.#waiting.shift()?.(JSON.parse(line)));
  }

  static async start(delayMs = 0): Promise<BucketProcess> {
    const bucket = new BucketProcess();
    bucket.#endpoint = (await bucket.tell({ do: "delay", ms: delayMs })).endpoint;
    return bucket;
  }

  get endpoint(): string {
    return this.#endpoint;
  }

  tell(command: BucketCommand): Promise<BucketReport> {
    const { promise, resolve } = Promise.withResolvers<BucketReport>();
    this.#waiting.push(resolve);
    this.#input.write(new TextEncoder().encode(JSON.stringify(command) + "\n")).catch(() => {});
    return promise;
  }

  report(): Promise<BucketReport> {
    return this.tell({ do: "report" });
  }

  /** Resolves once `count` requests of a purpose, such as `delete lease`, were carried out. */
  async untilDone(purpose: string, count: number): Promise<BucketReport> {
    let report = await this.report();
    await until(`${count} times ${purpose}`, DEADLINE_MS, async () => {
      report = await this.report();
      return (report.counts[purpose]?.ok ?? 0) >= count;
    });
    return report;
  }

  /** Resolves once `count` listings were asked for. */
  async untilListed(count: number): Promise<void> {
    await until(
      `${count} listings`,
      DEADLINE_MS,
      async () => total((await this.report()).counts, "list") >= count,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#child.status;
  }
}

/** How long a report says that the specs took, from the first claim to the last lease given up. */
export function spanMs({ firstClaimMs, lastFiledMs }: BucketReport): number {
  if (firstClaimMs === undefined || lastFiledMs === undefined) {
    throw new Error("Cannot tell how long the specs took: none was filed");
  }
  return lastFiledMs - firstClaimMs;
}
