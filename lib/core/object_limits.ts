/**
 * What a store takes as a key and as user metadata. S3 keeps metadata as HTTP headers, so only what
 * survives there unchanged is allowed; the limits in bytes are S3's own
 * (https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html).
 */

const KEY_MAX_BYTES = 1024;
/** Most bytes that one unit of a string takes in UTF-8. */
const BYTES_PER_UNIT = 3;
/** Names and values together. */
export const METADATA_MAX_BYTES = 2048;

/** No underscore: some servers drop headers that have one. */
const METADATA_NAME = /^[a-z0-9][a-z0-9-]*$/;
const METADATA_VALUE = /^(?:[!-~](?:[ -~]*[!-~])?)?$/;

/** Whether a key is short enough for a store. Most need not be encoded to be sure. */
export function keyFits(key: string): boolean {
  return key.length * BYTES_PER_UNIT <= KEY_MAX_BYTES || utf8Bytes(key) <= KEY_MAX_BYTES;
}

function utf8Bytes(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** Why a key cannot be stored, or undefined when it can. */
export function keyProblem(key: string): string | undefined {
  if (key === "") return "the key is empty";
  if (!key.isWellFormed()) return "the key is not valid Unicode";
  if (keyFits(key)) return undefined;
  return `the key has ${utf8Bytes(key)} bytes, more than ${KEY_MAX_BYTES}`;
}

/** Why metadata cannot be stored as it is, or undefined when it can. */
export function metadataProblem(metadata: Readonly<Record<string, string>>): string | undefined {
  let size = 0;
  for (const [name, value] of Object.entries(metadata)) {
    if (!METADATA_NAME.test(name)) {
      return `the metadata name ${JSON.stringify(name)} is not of a-z, 0-9 and hyphen`;
    }
    if (!METADATA_VALUE.test(value)) {
      return `the metadata value of ${name} is not printable ASCII without spaces at its ends`;
    }
    size += name.length + value.length;
  }
  return size > METADATA_MAX_BYTES
    ? `the metadata has ${size} bytes, more than ${METADATA_MAX_BYTES}`
    : undefined;
}
