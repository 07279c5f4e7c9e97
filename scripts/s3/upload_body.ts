/**
 * The content of an upload. SDKs and the AWS CLI wrap it in the `aws-chunked` encoding when they sign
 * as they send or put a checksum behind it:
 *
 *     <hex size>[;chunk-signature=<hex>] CRLF <bytes> CRLF … 0[;…] CRLF [<trailer>: <value> CRLF …] CRLF
 *
 * Signatures are not verified. Checksums are, as far as the runtime has the algorithm.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { S3Error } from "./s3_error.ts";

/** Decodes and verifies a body. Throws `IncompleteBody` or `BadDigest`. */
export function uploadedContent(
  body: Uint8Array,
  headers: ReadonlyMap<string, string>,
): Uint8Array {
  const wrapped = headers.get("x-amz-content-sha256")?.startsWith("STREAMING-") ||
    headers.get("content-encoding")?.split(",").some((coding) => coding.trim() === "aws-chunked");
  if (!wrapped) {
    verifyChecksums(body, headers);
    return body;
  }
  const { content, trailers } = decodeAwsChunked(
    Buffer.from(body.buffer, body.byteOffset, body.length),
  );
  const announced = headers.get("x-amz-decoded-content-length");
  if (announced !== undefined && Number(announced) !== content.length) {
    throw incomplete(`${content.length} bytes of content where ${announced} were announced`);
  }
  verifyChecksums(content, new Map([...headers, ...trailers]));
  return content;
}

/** The content codings that stay with the object once `aws-chunked` is off. */
export function keptContentEncoding(header: string): string {
  return header.split(",").map((coding) => coding.trim())
    .filter((coding) => coding !== "" && coding !== "aws-chunked").join(",");
}

function decodeAwsChunked(body: Buffer): { content: Uint8Array; trailers: Map<string, string> } {
  const chunks: Uint8Array[] = [];
  let at = 0;
  const line = (): string => {
    const end = body.indexOf("\r\n", at, "latin1");
    if (end < 0) throw incomplete("a line without end in the chunked body");
    const text = body.toString("latin1", at, end);
    at = end + 2;
    return text;
  };
  for (;;) {
    const head = line();
    const size = /^([0-9a-f]+)(;|$)/i.exec(head)?.[1];
    if (size === undefined) throw incomplete(`no chunk size in ${JSON.stringify(head)}`);
    const length = parseInt(size, 16);
    if (length === 0) break;
    if (at + length + 2 > body.length) throw incomplete(`a chunk of ${length} bytes is cut short`);
    chunks.push(body.subarray(at, at + length));
    at += length;
    if (line() !== "") throw incomplete(`a chunk of ${length} bytes is longer than it says`);
  }
  const trailers = new Map<string, string>();
  while (at < body.length) {
    const trailer = line();
    const colon = trailer.indexOf(":");
    if (colon > 0) {
      trailers.set(trailer.slice(0, colon).toLowerCase(), trailer.slice(colon + 1).trim());
    }
  }
  return { content: new Uint8Array(Buffer.concat(chunks)), trailers };
}

function verifyChecksums(content: Uint8Array, headers: ReadonlyMap<string, string>): void {
  const verify = (name: string, actual: () => string) => {
    const expected = headers.get(name);
    if (expected === undefined || expected === actual()) return;
    throw new S3Error(
      "BadDigest",
      `The ${name} you specified did not match what we received: ${expected}`,
    );
  };
  verify("content-md5", () => createHash("md5").update(content).digest("base64"));
  verify("x-amz-checksum-crc32", () => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(crc32(content));
    return bytes.toString("base64");
  });
  verify("x-amz-checksum-sha1", () => createHash("sha1").update(content).digest("base64"));
  verify("x-amz-checksum-sha256", () => createHash("sha256").update(content).digest("base64"));
}

function incomplete(what: string): S3Error {
  return new S3Error("IncompleteBody", `The request body terminated unexpectedly: ${what}`);
}
