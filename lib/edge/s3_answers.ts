/** What S3 answers, read into the terms of the `Store` port; strict where a mistake could spread. */
import type {
  GetObjectCommandOutput,
  HeadObjectCommandOutput,
  ListObjectsV2CommandOutput,
} from "@aws-sdk/client-s3";
import type { ListPage, ObjectHead } from "../ports.ts";
import { UnusableAnswerError } from "./s3_errors.ts";

/** Throws an `UnusableAnswerError` when ETag or length are missing. */
export function objectHead(
  key: string,
  output: GetObjectCommandOutput | HeadObjectCommandOutput,
): ObjectHead {
  const { ETag, ContentLength, LastModified, Metadata } = output;
  if (ETag === undefined) throw new UnusableAnswerError("the store answered without an ETag");
  if (ContentLength === undefined) {
    // Nothing would tell a whole body from one that broke off.
    throw new UnusableAnswerError("the store answered without a Content-Length");
  }
  return {
    key,
    etag: ETag,
    size: ContentLength,
    lastModifiedMs: LastModified?.getTime() ?? 0,
    metadata: Metadata ?? {},
  };
}

/** Reads a body of exactly `size` bytes, or throws an `UnusableAnswerError`. */
export async function readBody(output: GetObjectCommandOutput, size: number): Promise<Uint8Array> {
  const body = new Uint8Array(size);
  let length = 0;
  // The SDK's type also covers browsers; every transport here gives an iterable.
  const chunks = (output.Body ?? []) as AsyncIterable<Uint8Array>;
  for await (const chunk of chunks) {
    if (length + chunk.length > size) {
      throw new UnusableAnswerError(`the body has more than the ${size} bytes announced`);
    }
    body.set(chunk, length);
    length += chunk.length;
  }
  if (length === size) return body;
  throw new UnusableAnswerError(`the body broke off after ${length} of ${size} bytes`);
}

/**
 * Throws an `UnusableAnswerError` for an entry without key or ETag, with a key that is garbled, or with
 * a size that is none; and for a page that ends where the one before it did, which would be asked for
 * again and again.
 */
export function listPage(
  output: ListObjectsV2CommandOutput,
  startAfter?: string,
): ListPage {
  const decode = output.EncodingType === "url" ? decodedKey : (key: string) => key;
  const objects = (output.Contents ?? []).map((entry) => {
    if (entry.Key === undefined || entry.ETag === undefined) {
      throw new UnusableAnswerError("the listing has an entry without a key or ETag");
    }
    const size = entry.Size ?? 0;
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new UnusableAnswerError(`the listing has an entry with the size ${size}`);
    }
    return {
      key: decode(entry.Key),
      etag: entry.ETag,
      size,
      lastModifiedMs: entry.LastModified?.getTime() ?? 0,
    };
  });
  const commonPrefixes = (output.CommonPrefixes ?? []).map(({ Prefix }) => decode(Prefix ?? ""));
  const truncated = output.IsTruncated === true;
  if (truncated && startAfter !== undefined && objects.at(-1)?.key === startAfter) {
    throw new UnusableAnswerError("the listing does not go on after the key that it was asked to");
  }
  return { objects, commonPrefixes, truncated };
}

/**
 * The store's clock as the `Date` header of an HTTP answer has it, in milliseconds since the epoch;
 * undefined when it is missing or no date. Takes what the SDK passes on as the answer.
 */
export function answeredAtMs(answer: unknown): number | undefined {
  const { headers } = answer as { readonly headers?: Readonly<Record<string, string>> };
  const ms = Date.parse(headers?.date ?? "");
  return Number.isNaN(ms) ? undefined : ms;
}

/** S3 writes a space as plus, as in forms; some other stores write %20. */
function decodedKey(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw new UnusableAnswerError("the listing has a key that cannot be decoded");
  }
}
