/**
 * The benchmark's bucket, run as a process of its own: the embedded S3 server, with counts by
 * purpose. Told what to do by lines of JSON on its standard input, each answered by one on its
 * standard output; ends with its input.
 */
import process from "node:process";
import { createInterface } from "node:readline";
import type { MemoryBucket } from "../s3/bucket.ts";
import { startS3Server } from "../s3_server.ts";
import type { BucketCommand, BucketReport } from "./bucket_process.ts";
import { count, purposeOf, type RequestCount } from "./request_counts.ts";
import { specBody, specId } from "./specs.ts";

const PENDING = "fleet/pending/";

class BenchmarkBucket {
  #counts: Record<string, RequestCount> = {};
  #firstRequestMs: number | undefined;
  #firstClaimMs: number | undefined;
  #lastFiledMs: number | undefined;
  #seeded = 0;
  #topUp = false;
  readonly #server = startS3Server({
    log: (entry) => {
      const now = wallMs();
      const purpose = purposeOf(entry);
      count(this.#counts, entry);
      this.#firstRequestMs ??= now;
      if (purpose === "create lease") this.#firstClaimMs ??= now;
      if (purpose === "delete lease") this.#lastFiledMs = now;
      if (this.#topUp && purpose === "delete pending") this.#seed(1);
    },
  });

  get #bucket(): MemoryBucket {
    return this.#server.bucket("fleet");
  }

  carryOut(command: BucketCommand): BucketReport {
    switch (command.do) {
      case "seed":
        this.#topUp = command.topUp ?? false;
        this.#seed(command.count, command.poolId);
        break;
      case "delay":
        this.#server.faults.delayMs = command.ms;
        break;
      case "reset":
        this.#counts = {};
        this.#firstRequestMs = this.#firstClaimMs = this.#lastFiledMs = undefined;
        break;
      case "report":
    }
    return {
      endpoint: this.#server.endpoint,
      counts: this.#counts,
      firstRequestMs: this.#firstRequestMs,
      firstClaimMs: this.#firstClaimMs,
      lastFiledMs: this.#lastFiledMs,
      seeded: this.#seeded,
    };
  }

  #seed(count: number, poolId?: string): void {
    for (let added = 0; added < count; added++) {
      const id = specId(this.#seeded++);
      this.#bucket.put(`${PENDING}${id}.json`, specBody(id, poolId));
    }
  }
}

/** Wall clock with fractions, comparable between the processes of one machine. */
function wallMs(): number {
  return performance.timeOrigin + performance.now();
}

if (import.meta.main) {
  const bucket = new BenchmarkBucket();
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(bucket.carryOut(JSON.parse(line))));
  }
  Deno.exit(0);
}
