/**
 * One S3 bucket in memory: synchronous, without HTTP and with its time passed in, so that the same
 * code is the heart of the embedded S3 server and of the deterministic simulator.
 *
 * Bodies and metadata are kept as they are passed in, not copied: neither side may change them.
 */
import { createHash } from "node:crypto";
import type {
  ListedObject,
  ListPage,
  ListRequest,
  Metadata,
  StoredObject,
} from "../../lib/ports.ts";
import { collated, prefixEnd, SortedKeys, uncollated } from "./sorted_keys.ts";

/** S3's own bound on one page of a listing. */
export const MAX_PAGE_KEYS = 1000;

/** Which conditions the bucket honours. One that is off is ignored, as old stores do. */
export interface HonouredConditions {
  /** `PUT` with `If-None-Match: *`. */
  create: boolean;
  /** `PUT` with `If-Match`. */
  replace: boolean;
  /** `DELETE` with `If-Match`. */
  delete: boolean;
}

/** What a `put` asks for. `ifMatch: "*"` is met by any object. */
export type WriteCondition = { readonly ifNoneMatch: true } | { readonly ifMatch: string };

/** What is kept with an object besides body and user metadata. */
export interface ObjectAttributes {
  /** Headers that come back with the object, names in lower case, such as `content-type`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Instead of the bucket's own choice; multipart uploads have a form of their own. */
  readonly etag?: string;
}

export interface BucketObject extends StoredObject {
  readonly headers: Readonly<Record<string, string>>;
}

/** One change of the bucket's state. For a delete, `etag` and `body` are those of the object gone. */
export interface Change {
  readonly kind: "put" | "delete";
  readonly key: string;
  readonly etag: string;
  readonly body: Uint8Array;
  readonly previous: BucketObject | undefined;
}

export interface BucketOptions {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** All true when absent. Read at every request, so the caller may switch them at any time. */
  readonly conditions?: Readonly<HonouredConditions>;
  /** Called after each change of state, and for nothing else. */
  readonly observe?: (change: Change) => void;
  /** The ETag for a body, quotes included; its MD5 when absent, as S3 without KMS. */
  readonly etagOf?: (body: Uint8Array) => string;
}

const ALL_HONOURED: HonouredConditions = { create: true, replace: true, delete: true };
const NO_HEADERS = Object.freeze({});

/** An S3 bucket as a data structure. Every method takes effect at once and as a whole. */
export class MemoryBucket {
  readonly #objects = new Map<string, BucketObject>();
  readonly #keys = new SortedKeys();
  readonly #now: () => number;
  readonly #conditions: Readonly<HonouredConditions>;
  readonly #observe: ((change: Change) => void) | undefined;
  readonly #etagOf: (body: Uint8Array) => string;

  constructor(options: BucketOptions) {
    this.#now = options.now;
    this.#conditions = options.conditions ?? ALL_HONOURED;
    this.#observe = options.observe;
    this.#etagOf = options.etagOf ?? quotedMd5;
  }

  /** How many objects there are. */
  get size(): number {
    return this.#objects.size;
  }

  /** `refused`: the condition does not hold. `absent`: `ifMatch` on a key that does not exist. */
  put(
    key: string,
    body: Uint8Array,
    metadata: Metadata = {},
    condition?: WriteCondition,
    attributes: ObjectAttributes = {},
  ): { etag: string } | "refused" | "absent" {
    const previous = this.#objects.get(key);
    const objection = this.#objection(previous, condition);
    if (objection !== undefined) return objection;
    const etag = attributes.etag ?? this.#etagOf(body);
    this.#objects.set(key, {
      key,
      etag,
      size: body.length,
      lastModifiedMs: Math.floor(this.#now() / 1000) * 1000,
      metadata,
      body,
      headers: attributes.headers ?? NO_HEADERS,
    });
    if (previous === undefined) this.#keys.add(collated(key));
    this.#observe?.({ kind: "put", key, etag, body, previous });
    return { etag };
  }

  /** Undefined when there is no such object. */
  get(key: string): BucketObject | undefined {
    return this.#objects.get(key);
  }

  /** As `get`, without the body. */
  head(key: string): Omit<BucketObject, "body"> | undefined {
    const object = this.#objects.get(key);
    if (object === undefined) return undefined;
    const { body: _, ...head } = object;
    return head;
  }

  /** `absent`: there was nothing to delete, with or without a condition. */
  delete(key: string, ifMatch?: string): "deleted" | "refused" | "absent" {
    const previous = this.#objects.get(key);
    if (previous === undefined) return "absent";
    if (ifMatch !== undefined && this.#conditions.delete && !etagMatches(ifMatch, previous.etag)) {
      return "refused";
    }
    this.#objects.delete(key);
    this.#keys.delete(collated(key));
    this.#observe?.({ kind: "delete", key, etag: previous.etag, body: previous.body, previous });
    return "deleted";
  }

  /** Copies with headers, and with metadata unless other is given; `absent`: no such source. */
  copy(
    source: string,
    target: string,
    metadata?: Metadata,
    condition?: WriteCondition,
  ): { etag: string } | "refused" | "absent" {
    const object = this.#objects.get(source);
    if (object === undefined) return "absent";
    const { body, headers } = object;
    return this.put(target, body, metadata ?? object.metadata, condition, { headers });
  }

  /**
   * One page of the listing, O(log n + page). A `startAfter` that names a group skips that group, so
   * that the last entry of a page, key or group, always leads to the next page.
   */
  list(request: ListRequest): ListPage {
    const limit = Math.min(request.maxKeys ?? MAX_PAGE_KEYS, MAX_PAGE_KEYS);
    const prefix = collated(request.prefix);
    const delimiter = collated(request.delimiter ?? "");
    const after = request.startAfter === undefined ? undefined : collated(request.startAfter);
    const objects: ListedObject[] = [];
    const commonPrefixes: string[] = [];
    const page = (truncated: boolean) => ({ objects, commonPrefixes, truncated });
    if (limit <= 0) return page(false);

    const first = after !== undefined && after >= prefix ? after + "\0" : prefix;
    const cursor = this.#keys.cursor(first);
    for (let key = cursor.key; key !== undefined && key.startsWith(prefix); key = cursor.key) {
      const group = groupOf(key, prefix.length, delimiter);
      if (group !== undefined && group === after) {
        cursor.seek(prefixEnd(group));
        continue;
      }
      if (objects.length + commonPrefixes.length === limit) return page(true);
      if (group === undefined) {
        objects.push(listed(this.#objects.get(uncollated(key))!));
        cursor.next();
      } else {
        commonPrefixes.push(uncollated(group));
        cursor.seek(prefixEnd(group));
      }
    }
    return page(false);
  }

  #objection(
    previous: BucketObject | undefined,
    condition: WriteCondition | undefined,
  ): "refused" | "absent" | undefined {
    if (condition === undefined) return undefined;
    if ("ifNoneMatch" in condition) {
      return this.#conditions.create && previous !== undefined ? "refused" : undefined;
    }
    if (!this.#conditions.replace) return undefined;
    if (previous === undefined) return "absent";
    return etagMatches(condition.ifMatch, previous.etag) ? undefined : "refused";
  }
}

/** Whether an `If-Match` value names this ETag. S3 takes it with quotes and without. */
export function etagMatches(wanted: string, etag: string): boolean {
  return wanted === etag || wanted === "*" || unquoted(wanted) === unquoted(etag);
}

/** The ETag that S3 gives an object stored in one piece. */
export function quotedMd5(body: Uint8Array): string {
  return `"${createHash("md5").update(body).digest("hex")}"`;
}

function unquoted(etag: string): string {
  return etag.replace(/^"|"$/g, "");
}

function listed({ key, etag, size, lastModifiedMs }: BucketObject): ListedObject {
  return { key, etag, size, lastModifiedMs };
}

function groupOf(key: string, prefixLength: number, delimiter: string): string | undefined {
  if (delimiter === "") return undefined;
  const at = key.indexOf(delimiter, prefixLength);
  return at < 0 ? undefined : key.slice(0, at + delimiter.length);
}
