/**
 * The floor: the requests and the process that one spec costs, sent by a bare loop on the SDK. It
 * promises nothing: no renewal, no log, no record of what runs, no answer to any failure.
 *
 *     floor.ts <endpoint> <concurrency>      works until the queue it has listed is empty
 */
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";

const Bucket = "fleet";
/** Sizes of a lease, of one with its outcome, and of a result record, as the agent writes them. */
const LEASE_BYTES = 300;
const EXITED_BYTES = 1_100;
const RESULT_BYTES = 620;

class BareLoop {
  readonly #client: S3Client;

  constructor(endpoint: string) {
    this.#client = new S3Client({
      endpoint,
      region: "us-east-1",
      forcePathStyle: true,
      credentials: { accessKeyId: "benchmark", secretAccessKey: "benchmark" },
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
    });
  }

  async run(concurrency: number): Promise<void> {
    const ids = await this.#pending();
    const lane = async () => {
      for (let id = ids.shift(); id !== undefined; id = ids.shift()) await this.#spec(id);
    };
    await Promise.all(Array.from({ length: concurrency }, lane));
    this.#client.destroy();
  }

  async #pending(): Promise<string[]> {
    const ids: string[] = [];
    for (let token: string | undefined, more = true; more;) {
      const page = await this.#client.send(
        new ListObjectsV2Command({ Bucket, Prefix: "fleet/pending/", ContinuationToken: token }),
      );
      for (const { Key = "" } of page.Contents ?? []) {
        ids.push(Key.slice("fleet/pending/".length, -".json".length));
      }
      token = page.NextContinuationToken;
      more = page.IsTruncated ?? false;
    }
    return ids;
  }

  async #spec(id: string): Promise<void> {
    const lease = `fleet/claimed/${id}.lease`;
    const pending = `fleet/pending/${id}.json`;
    const claimed = `fleet/claimed/${id}.json`;
    const leaseEtag = await this.#put(lease, filler(id, LEASE_BYTES), { IfNoneMatch: "*" });
    const got = await this.#client.send(new GetObjectCommand({ Bucket, Key: pending }));
    const spec = await got.Body!.transformToByteArray();
    const claimedEtag = await this.#put(claimed, spec, { IfNoneMatch: "*" });
    await this.#delete(pending, got.ETag);
    await runSupervisor(spec);
    const exitedEtag = await this.#put(lease, filler(id, EXITED_BYTES), { IfMatch: leaseEtag });
    await this.#put(`fleet/results/${id}.json`, filler(id, RESULT_BYTES), { IfNoneMatch: "*" });
    await this.#put(`fleet/completed/${id}.json`, spec, { IfNoneMatch: "*" });
    await this.#delete(claimed, claimedEtag);
    await this.#delete(lease, exitedEtag);
  }

  async #put(
    Key: string,
    Body: Uint8Array,
    condition: { readonly IfNoneMatch: string } | { readonly IfMatch: string | undefined },
  ): Promise<string | undefined> {
    const command = new PutObjectCommand({ Bucket, Key, Body, ...condition });
    return (await this.#client.send(command)).ETag;
  }

  async #delete(Key: string, IfMatch: string | undefined): Promise<void> {
    await this.#client.send(new DeleteObjectCommand({ Bucket, Key, IfMatch }));
  }
}

async function runSupervisor(spec: Uint8Array): Promise<void> {
  const child = new Deno.Command("true", {
    args: ["/dev/stdin"],
    detached: true,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const feed = async () => {
    const writer = child.stdin.getWriter();
    try {
      await writer.write(spec);
      await writer.close();
    } catch {
      // The supervisor does not read its input.
    }
  };
  await Promise.all([feed(), child.output()]);
}

function filler(id: string, bytes: number): Uint8Array {
  return new TextEncoder().encode(id.padEnd(bytes, "."));
}

if (import.meta.main) {
  const [endpoint, concurrency] = Deno.args;
  await new BareLoop(endpoint).run(Number(concurrency));
}
