/**
 * What the agent needs of the world, as types only. Every port has two implementations: one under
 * `lib/edge/` and one in the simulator (`tests/sim/`).
 *
 * Methods that fail reject with a `StoreError` (`lib/core/store_error.ts`) unless they say otherwise.
 */
import type { FleetEvent } from "./events.ts";

/** What the store says of an object without its body. */
export interface ObjectHead {
  readonly key: string;
  /** As the store gave it, quotes included where it sends quotes. Compared as an opaque string. */
  readonly etag: string;
  /** Bytes. */
  readonly size: number;
  /** By the store's own clock, milliseconds since the epoch. Often of whole seconds only. */
  readonly lastModifiedMs: number;
  /** User metadata, keys in lower case. Empty in listings. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** An object with its body. */
export interface StoredObject extends ObjectHead {
  readonly body: Uint8Array;
}

/** One entry of a listing. */
export type ListedObject = Omit<ObjectHead, "metadata">;

export interface ListRequest {
  readonly prefix: string;
  /** Only keys after this one, in the order of their UTF-8 bytes. */
  readonly startAfter?: string;
  /** Group keys at this delimiter; the groups come back as `commonPrefixes`. */
  readonly delimiter?: string;
  /** At most this many entries; the store's own maximum is 1,000. */
  readonly maxKeys?: number;
}

export interface ListPage {
  readonly objects: readonly ListedObject[];
  readonly commonPrefixes: readonly string[];
  /** Whether there is more; the next page starts after the last key (or group) of this one. */
  readonly truncated: boolean;
  /** The store's own clock when it answered, where it tells: milliseconds since the epoch. */
  readonly servedAtMs?: number;
}

/** How one request may run. */
export interface RequestOptions {
  /** In all, connecting included. The store's default (15 s) when absent. */
  readonly timeoutMs?: number;
}

/** What is known of a write that did not come back with a plain yes or no. */
export interface UnknownOutcome {
  readonly outcome: "unknown";
  /**
   * True when the store answered (409, 500, 503, …): it is done with the request, whatever it did.
   * False when there was no answer: the request may still take effect later.
   */
  readonly answered: boolean;
  readonly throttled: boolean;
  /** For the log. */
  readonly cause: string;
}

/**
 * The three outcomes of a conditional write. Rejects only when the store surely did not do it and
 * asking again cannot help (access denied, no such bucket, bad credentials).
 */
export type WriteResult =
  | { readonly outcome: "stored"; readonly etag: string }
  | { readonly outcome: "refused" }
  | UnknownOutcome;

/** `deleted` also when the object was absent already. */
export type DeleteResult =
  | { readonly outcome: "deleted" }
  | { readonly outcome: "refused" }
  | UnknownOutcome;

/** `too-large`: more than `maxBytes`; the body was not read. */
export type GetResult =
  | { readonly outcome: "found"; readonly object: StoredObject }
  | { readonly outcome: "too-large"; readonly head: ObjectHead }
  | { readonly outcome: "absent" };

export type Metadata = Readonly<Record<string, string>>;

/** A flat space of keys with conditional writes: one S3 bucket. */
export interface Store {
  list(request: ListRequest, options?: RequestOptions): Promise<ListPage>;
  /** Reads an object of at most `maxBytes`; of a larger one nothing but the head is kept. */
  get(key: string, maxBytes: number, options?: RequestOptions): Promise<GetResult>;
  /** Undefined when there is no such object. */
  head(key: string, options?: RequestOptions): Promise<ObjectHead | undefined>;
  /** `PUT` with `If-None-Match: *`: refused when the key exists. Sent once, never retried. */
  create(
    key: string,
    body: Uint8Array,
    metadata: Metadata,
    options?: RequestOptions,
  ): Promise<WriteResult>;
  /** `PUT` with `If-Match`: refused when the ETag differs or the key is absent. Sent once. */
  replace(
    key: string,
    etag: string,
    body: Uint8Array,
    metadata: Metadata,
    options?: RequestOptions,
  ): Promise<WriteResult>;
  /** A plain write, retried where that helps. */
  put(
    key: string,
    body: Uint8Array,
    metadata: Metadata,
    options?: RequestOptions,
  ): Promise<void>;
  /**
   * Copies an object within the store, without its bytes passing through here; `metadata` takes the
   * place of the original's. Refused when the source is absent or no longer has `fromEtag`.
   */
  copy(
    from: string,
    fromEtag: string,
    to: string,
    metadata: Metadata,
    options?: RequestOptions,
  ): Promise<WriteResult>;
  /**
   * Deletes the object: with `etag`, by `If-Match`, where the store honours that; plainly without.
   * Sent once, never retried.
   */
  delete(key: string, etag: string | undefined, options?: RequestOptions): Promise<DeleteResult>;
}

/** Time, and waiting for it. */
export interface Clock {
  /** Wall clock, milliseconds since the epoch. For people only; no decision rests on it. */
  now(): number;
  /** Milliseconds from an arbitrary start, never going back. Every decision rests on this one. */
  monotonic(): number;
  /** Resolves after `ms`, or as soon as `signal` is aborted. Never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Where chance comes from. */
export interface Entropy {
  /** Uniform in [0, 1). */
  random(): number;
  /** A string that is never given twice, by any node. */
  nonce(): string;
}

export interface CellRequest {
  readonly specId: string;
  readonly attempt: number;
  /** The claim's nonce. */
  readonly claim: string;
  /** Written to the supervisor's standard input. */
  readonly spec: Uint8Array;
}

export type CellSignal = "SIGTERM" | "SIGKILL";

/** How a cell's process ended, and what it left. */
export interface CellExit {
  /** Absent when a signal ended it. */
  readonly exitCode?: number;
  /** The signal's name, such as `SIGKILL`. */
  readonly signal?: string;
  readonly stdoutBytes: number;
  readonly stderrBytes: number;
  /** The last bytes of each stream. */
  readonly stdoutTail: Uint8Array;
  readonly stderrTail: Uint8Array;
}

/** A supervisor that was started, with everything in its process group. */
export interface RunningCell {
  /** Resolves once the supervisor has exited and its output is drained (for a bounded time). */
  readonly exited: Promise<CellExit>;
  /** Signals the whole process group. Does nothing once the group is gone. */
  signal(name: CellSignal): void;
}

/** Runs supervisors. */
export interface Cells {
  /**
   * Whether there is a supervisor to start, without starting it: rejects with a `SupervisorError`
   * when there is not.
   */
  check(): Promise<void>;
  /** Starts one, or rejects with a `SupervisorError` when there is nothing to start. */
  start(request: CellRequest): Promise<RunningCell>;
}

/** Takes every event of the agent; must not throw. */
export interface Log {
  emit(event: FleetEvent): void;
}

/** The person, or the program, that a command talks with: its three standard streams. */
export interface Terminal {
  /** Whether a person sees what is printed. */
  readonly outputIsTerminal: boolean;
  /** Whether a person sees what is noted, so that a line of progress can be drawn over. */
  readonly notesAreTerminal: boolean;
  readonly inputIsTerminal: boolean;
  /** Whether what is printed may be coloured. */
  readonly color: boolean;
  /** Asked anew each time, since a window can be resized; undefined where there is none. */
  size(): { readonly columns: number; readonly rows: number } | undefined;
  /** Writes to standard output, as it is. Rejects with `OutputClosed` when nobody reads any more. */
  print(text: string): Promise<void>;
  /** Writes to standard error, as it is. */
  note(text: string): Promise<void>;
  /** Standard input, to its end. */
  input(): AsyncIterable<Uint8Array>;
}
