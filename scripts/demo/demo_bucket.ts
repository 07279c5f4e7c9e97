/** The demo's bucket, as seen from the main thread. */

export const BUCKET = "fleet";

export interface BucketObject {
  readonly key: string;
  readonly body: Uint8Array;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface BucketChange {
  readonly kind: "put" | "delete";
  readonly key: string;
  /** For a put: whether there was no object of the key. */
  readonly isNew: boolean;
}

/** What the worker tells; any message to it asks for `objects`. */
export type BucketMessage =
  | { readonly kind: "listening"; readonly endpoint: string }
  | { readonly kind: "change"; readonly change: BucketChange }
  | { readonly kind: "objects"; readonly objects: readonly BucketObject[] };

export class DemoBucket implements Disposable {
  /** The keys that exist now. */
  readonly keys = new Set<string>();
  readonly #worker: Worker;
  readonly #listening = Promise.withResolvers<string>();
  #objects = Promise.withResolvers<readonly BucketObject[]>();

  /** @param onChange called after each change of the bucket */
  constructor(onChange: (change: BucketChange) => void) {
    const url = new URL("./bucket_worker.ts", import.meta.url);
    this.#worker = new Worker(url, { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<BucketMessage>) => {
      if (data.kind === "listening") this.#listening.resolve(data.endpoint);
      else if (data.kind === "objects") this.#objects.resolve(data.objects);
      else {
        if (data.change.kind === "put") this.keys.add(data.change.key);
        else this.keys.delete(data.change.key);
        onChange(data.change);
      }
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      const error = new Error(`The embedded S3 server ended: ${event.message}`);
      this.#listening.reject(error);
      this.#objects.reject(error);
    };
  }

  /** For `AWS_ENDPOINT_URL_S3`; known once the server listens. */
  get endpoint(): Promise<string> {
    return this.#listening.promise;
  }

  /** Stores a new object by S3's protocol, as any client would; throws when the key exists. */
  async create(key: string, body: string): Promise<void> {
    const response = await fetch(`${await this.endpoint}/${BUCKET}/${key}`, {
      method: "PUT",
      headers: { "if-none-match": "*" },
      body,
    });
    const answer = await response.text();
    if (!response.ok) throw new Error(`Could not submit ${key}: ${response.status} ${answer}`);
  }

  /** Everything in the bucket, in the order of the keys. */
  objects(): Promise<readonly BucketObject[]> {
    this.#objects = Promise.withResolvers();
    this.#worker.postMessage("objects");
    return this.#objects.promise;
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}
