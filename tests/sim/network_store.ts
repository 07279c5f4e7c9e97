/**
 * The `Store` port of one simulated process: requests that travel to the bucket and back in virtual
 * time, and what the real adapter would make of their fate.
 */
import { StoreError } from "../../lib/core/store_error.ts";
import type {
  DeleteResult,
  GetResult,
  ListPage,
  ListRequest,
  Metadata,
  ObjectHead,
  RequestOptions,
  Store,
  UnknownOutcome,
  WriteResult,
} from "../../lib/ports.ts";
import type { MemoryBucket } from "../../scripts/s3/bucket.ts";
import type { Author, History } from "./history.ts";
import type { ErrorStatus, Passage, PassageBounds } from "./passage.ts";
import { never, type SimulatedProcess } from "./process.ts";
import type { StorePlan } from "./scenario.ts";
import type { Trace } from "./trace.ts";

/** The adapter's default, of the client's own clock. */
const DEFAULT_TIMEOUT_MS = 15_000;

export interface RequestFacts {
  /** From 1, of this process. */
  readonly index: number;
  readonly operation: keyof Store;
  readonly key: string;
}

export interface NetworkStoreOptions {
  readonly process: SimulatedProcess;
  readonly author: Author;
  readonly clockRate: number;
  readonly landingMs: number;
  readonly plan: StorePlan;
  readonly history: History;
  readonly trace: Trace;
  /** Decides a request's way as it is sent; may kill the process that sends it. */
  passage(request: RequestFacts, bounds: PassageBounds): Passage;
  /** Called after a request took effect; may kill the process that sent it. */
  onEffect(request: RequestFacts): void;
  /** Whether a request that is under way from a dead process can still take effect. */
  hostIsUp(): boolean;
}

/** What a request is to its client before it is put in the terms of the port. */
type Fate<T> =
  | { readonly kind: "answer"; readonly value: T }
  | { readonly kind: "error"; readonly status: ErrorStatus }
  | { readonly kind: "denied" }
  | { readonly kind: "unheard"; readonly cause: string };

export class NetworkStore implements Store {
  readonly #options: NetworkStoreOptions;
  #requests = 0;

  constructor(options: NetworkStoreOptions) {
    this.#options = options;
  }

  list(request: ListRequest, options?: RequestOptions): Promise<ListPage> {
    const maxKeys = Math.min(request.maxKeys ?? 1000, this.#options.plan.pageKeys);
    return this.#read(
      "list",
      `${request.prefix} after ${request.startAfter ?? ""}`,
      options,
      (bucket) => bucket.list({ ...request, maxKeys }),
    );
  }

  get(key: string, maxBytes: number, options?: RequestOptions): Promise<GetResult> {
    return this.#read("get", key, options, (bucket) => {
      const object = bucket.get(key);
      if (object === undefined) return { outcome: "absent" };
      if (object.size <= maxBytes) return { outcome: "found", object };
      const { body: _, ...head } = object;
      return { outcome: "too-large", head };
    });
  }

  async head(key: string, options?: RequestOptions): Promise<ObjectHead | undefined> {
    const { process, author, history } = this.#options;
    let lookedMs = -Infinity;
    const head = await this.#read("head", key, options, (bucket) => {
      lookedMs = process.time.nowMs;
      return bucket.head(key);
    });
    history.noteLook(author, key, lookedMs);
    return head;
  }

  create(key: string, body: Uint8Array, metadata: Metadata, options?: RequestOptions) {
    return this.#write(
      "create",
      key,
      options,
      (bucket) => written(bucket.put(key, body, metadata, { ifNoneMatch: true })),
    );
  }

  replace(
    key: string,
    etag: string,
    body: Uint8Array,
    metadata: Metadata,
    options?: RequestOptions,
  ): Promise<WriteResult> {
    return this.#write(
      "replace",
      key,
      options,
      (bucket) => written(bucket.put(key, body, metadata, { ifMatch: etag })),
    );
  }

  async put(
    key: string,
    body: Uint8Array,
    metadata: Metadata,
    options?: RequestOptions,
  ): Promise<void> {
    await this.#read("put", key, options, (bucket) => bucket.put(key, body, metadata));
  }

  copy(
    from: string,
    fromEtag: string,
    to: string,
    metadata: Metadata,
    options?: RequestOptions,
  ): Promise<WriteResult> {
    return this.#write(
      "copy",
      `${from} -> ${to}`,
      options,
      (bucket) =>
        bucket.get(from)?.etag === fromEtag
          ? written(bucket.copy(from, to, metadata))
          : { outcome: "refused" },
    );
  }

  delete(
    key: string,
    etag: string | undefined,
    options?: RequestOptions,
  ): Promise<DeleteResult> {
    const { author, history, plan } = this.#options;
    const looked = { ...author, lookedMs: history.takeLook(author, key) };
    return this.#write<DeleteResult>("delete", key, options, (bucket) => {
      const result = history.as(looked, () => bucket.delete(key, etag));
      if (result !== "absent") return { outcome: result };
      return { outcome: etag === undefined ? "deleted" : plan.deleteOfAbsent };
    });
  }

  async #read<T>(
    operation: keyof Store,
    key: string,
    options: RequestOptions | undefined,
    effect: (bucket: MemoryBucket) => T,
  ): Promise<T> {
    const fate = await this.#send(operation, key, options, effect);
    const action = `${operation} ${key}`;
    switch (fate.kind) {
      case "answer":
        return fate.value;
      case "error": {
        const throttled = fate.status === 503 || fate.status === 429;
        throw new StoreError(throttled ? "throttled" : "transient", `${action}: ${fate.status}`);
      }
      case "denied":
        throw new StoreError("permanent", `${action}: access denied`);
      case "unheard":
        throw new StoreError("transient", `${action}: ${fate.cause}`);
    }
  }

  async #write<T>(
    operation: keyof Store,
    key: string,
    options: RequestOptions | undefined,
    effect: (bucket: MemoryBucket) => T,
  ): Promise<T | UnknownOutcome> {
    const fate = await this.#send(operation, key, options, effect);
    switch (fate.kind) {
      case "answer":
        return fate.value;
      case "error":
        return {
          outcome: "unknown",
          answered: true,
          throttled: fate.status === 503 || fate.status === 429,
          cause: String(fate.status),
        };
      case "denied":
        throw new StoreError("permanent", `${operation} ${key}: access denied`);
      case "unheard":
        return { outcome: "unknown", answered: false, throttled: false, cause: fate.cause };
    }
  }

  #send<T>(
    operation: keyof Store,
    key: string,
    options: RequestOptions | undefined,
    effect: (bucket: MemoryBucket) => T,
  ): Promise<Fate<T>> {
    const { process, clockRate, landingMs, plan } = this.#options;
    if (!process.enter()) return never();
    const timeoutMs = (options?.timeoutMs ?? DEFAULT_TIMEOUT_MS) / clockRate;
    const request = { index: ++this.#requests, operation, key };
    const bounds = {
      timeoutMs,
      landingMs: landingMs / clockRate,
      latencyMs: plan.latencyMs,
    };
    const passage = this.#options.passage(request, bounds);
    return new Promise((resolve) => this.#travel(request, passage, timeoutMs, effect, resolve));
  }

  #travel<T>(
    request: RequestFacts,
    { fault, effectsAtMs, reply, outlivesHost }: Passage,
    timeoutMs: number,
    effect: (bucket: MemoryBucket) => T,
    resolve: (fate: Fate<T>) => void,
  ): void {
    const { process, author, history, trace } = this.#options;
    const title = `${request.operation} ${request.key}`;
    let value: T;
    for (const atMs of effectsAtMs) {
      process.time.after(atMs, () => {
        if (!process.alive && !outlivesHost && !this.#options.hostIsUp()) return;
        value = history.as(author, effect);
        trace.add(
          process.name,
          `${title} = ${shown(value)}${fault === undefined ? "" : `, ${fault}`}`,
        );
        this.#options.onEffect(request);
      });
    }
    const settle = (atMs: number, fate: () => Fate<T>) => {
      const given = atMs < timeoutMs ? fate : () => unheard<T>("no answer in time");
      process.time.after(Math.min(atMs, timeoutMs), () =>
        process.deliver(() => {
          const final = given();
          if (final.kind !== "answer") trace.add(process.name, `${title}: ${described(final)}`);
          resolve(final);
        }));
    };
    switch (reply.kind) {
      case "answer":
        return settle(reply.atMs, () => ({ kind: "answer", value }));
      case "error":
        return settle(reply.atMs, () => ({ kind: "error", status: reply.status }));
      case "denied":
        return settle(reply.atMs, () => ({ kind: "denied" }));
      case "broken":
        return settle(reply.atMs, () => unheard("the connection broke"));
      case "silence":
        return settle(Infinity, () => unheard("no answer in time"));
    }
  }
}

function written(result: { etag: string } | "refused" | "absent"): WriteResult {
  return typeof result === "string"
    ? { outcome: "refused" }
    : { outcome: "stored", etag: result.etag };
}

function unheard<T>(cause: string): Fate<T> {
  return { kind: "unheard", cause };
}

function described(fate: Fate<unknown>): string {
  if (fate.kind === "unheard") return fate.cause;
  return fate.kind === "error" ? `answered ${fate.status}` : fate.kind;
}

function shown(value: unknown): string {
  if (typeof value !== "object" || value === null) return value === undefined ? "absent" : "done";
  if ("outcome" in value) return String(value.outcome);
  if ("objects" in value) return `${(value.objects as unknown[]).length} keys`;
  return "etag" in value ? `found ${value.etag}` : "done";
}
