/**
 * Is this store safe to work on? The claim protocol rests on conditional writes; a store that takes
 * the headers and ignores them would run specs twice without a sign. So they are tried at start, on
 * objects of the probe's own.
 */
import { backoffMs } from "./core/backoff.ts";
import type { QueueKeys } from "./core/keys.ts";
import { StoreError } from "./core/store_error.ts";
import type { Clock, DeleteResult, Entropy, Store, UnknownOutcome, WriteResult } from "./ports.ts";

/** What a safe store can do beyond what is required of it. */
export interface StoreTraits {
  /** Whether `If-Match` is honoured on deletes. */
  readonly conditionalDelete: boolean;
}

export interface ProbeContext {
  readonly store: Store;
  readonly keys: QueueKeys;
  readonly clock: Clock;
  readonly entropy: Entropy;
}

const PROBE_TRIES = 5;
const RETRY_BASE_MS = 200;
const RETRY_MAX_MS = 5_000;

/**
 * Tries each condition that the protocol rests on. Rejects with a permanent `StoreError` that names
 * the condition when the store ignores it, and with a transient one when no clear answer came.
 */
export async function probeStore(context: ProbeContext): Promise<StoreTraits> {
  const { store, keys, entropy } = context;
  const key = keys.probe(entropy.nonce());
  const body = (text: string) => new TextEncoder().encode(`${text} ${entropy.nonce()}`);
  const first = await decisive(context, () => store.create(key, body("first"), {}));
  // A create whose own first try was stored without an answer is refused: nothing can be told.
  if (first.outcome === "refused") throw unclear(`create ${key}`);
  const again = await decisive(context, () => store.create(key, body("again"), {}));
  if (again.outcome === "stored") {
    await cleanUp(store, key);
    throw unsafe("a PUT with If-None-Match: *, for a key that existed, was stored");
  }
  const second = await decisive(context, () => store.replace(key, first.etag, body("second"), {}));
  if (second.outcome === "refused") {
    const now = await store.head(key);
    await cleanUp(store, key);
    if (now?.etag === first.etag) {
      throw unsafe("a PUT with If-Match, with the ETag that the object has, was refused");
    }
    throw unclear(`replace ${key}`);
  }
  const stale = await decisive(context, () => store.replace(key, first.etag, body("stale"), {}));
  if (stale.outcome === "stored") {
    await cleanUp(store, key);
    throw unsafe("a PUT with If-Match, with an ETag that the object no longer has, was stored");
  }
  const conditionalDelete = await deleteIsConditional(context, key, first.etag, second.etag);
  // A key of its own: whether the other one is gone by now depends on a reply that may have been lost.
  const absentKey = keys.probe(entropy.nonce());
  const absent = await decisive(
    context,
    () => store.replace(absentKey, second.etag, body("absent"), {}),
  );
  if (absent.outcome === "stored") {
    await cleanUp(store, absentKey);
    throw unsafe("a PUT with If-Match, for a key that did not exist, was stored");
  }
  return { conditionalDelete };
}

/**
 * Whether a delete with an ETag that the object no longer has leaves it where it is. The object is
 * believed and not the reply: a delete whose reply was lost may be refused when it is sent again.
 */
async function deleteIsConditional(
  context: ProbeContext,
  key: string,
  staleEtag: string,
  etag: string,
): Promise<boolean> {
  const { store } = context;
  const deleted = await decisive(context, () => store.delete(key, staleEtag));
  if (deleted.outcome === "deleted") return false;
  const conditional = (await store.head(key))?.etag === etag;
  if (conditional) await cleanUp(store, key);
  return conditional;
}

/** Repeats a request until its outcome is known. */
async function decisive<Result extends WriteResult | DeleteResult>(
  { clock, entropy }: ProbeContext,
  request: () => Promise<Result>,
): Promise<Exclude<Result, UnknownOutcome>> {
  for (let failures = 1;; failures++) {
    const result = await request();
    if (result.outcome !== "unknown") return result as Exclude<Result, UnknownOutcome>;
    if (failures === PROBE_TRIES) {
      throw new StoreError("transient", `The store probe got no answer: ${result.cause}`);
    }
    await clock.sleep(backoffMs(failures, RETRY_BASE_MS, RETRY_MAX_MS, entropy.random()));
  }
}

/** Removes the probe's object; what is left behind is small and harmless. */
async function cleanUp(store: Store, key: string): Promise<void> {
  await store.delete(key, undefined);
}

function unsafe(observed: string): StoreError {
  return new StoreError(
    "permanent",
    `The store does not honour conditional writes: ${observed}. Without them two nodes would run ` +
      "one spec, so the agent does not start on it",
  );
}

function unclear(action: string): StoreError {
  return new StoreError("transient", `The store probe could not tell the outcome of: ${action}`);
}
