/** The little XML that S3 speaks: building answers, and reading two kinds of request. */
import { S3Error } from "./s3_error.ts";

const DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n';
const NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/";

/** A whole document whose root element has S3's namespace. */
export function document(root: string, content: string): string {
  return `${DECLARATION}<${root} xmlns="${NAMESPACE}">${content}</${root}>`;
}

/** An error document, which has no namespace. */
export function errorDocument(fields: Readonly<Record<string, string>>): string {
  const content = Object.entries(fields).map(([name, value]) => text(name, value)).join("");
  return `${DECLARATION}<Error>${content}</Error>`;
}

/** An element with text in it. */
export function text(name: string, value: string | number | boolean): string {
  return `<${name}>${escapeXml(String(value))}</${name}>`;
}

const SPECIAL = /[&<>"\p{Cc}]/gu;

/**
 * Escapes text. Control characters become references in the spelling that SDKs know (`&#xD;`,
 * `&#10;`); those that XML 1.0 cannot express at all go the same way, as they do with S3, and a
 * client that has such keys asks for `encoding-type=url`.
 */
export function escapeXml(value: string): string {
  return value.replace(SPECIAL, (character) => ESCAPES[character] ?? reference(character));
}

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "\n": "&#10;",
};

function reference(character: string): string {
  return `&#x${character.charCodeAt(0).toString(16).toUpperCase()};`;
}

/** One entry of a `DeleteObjects` request. */
export interface DeleteEntry {
  readonly key: string;
  readonly etag: string | undefined;
}

/** Reads the body of `DeleteObjects`; throws `MalformedXML` for anything else. */
export function parseDelete(body: Uint8Array): { quiet: boolean; entries: DeleteEntry[] } {
  const xml = new TextDecoder().decode(body);
  const entries = elements(xml, "Object").map((object) => {
    const key = element(object, "Key");
    if (key === undefined) throw malformed();
    return { key, etag: element(object, "ETag") };
  });
  if (entries.length === 0 || entries.length > 1000) throw malformed();
  return { quiet: element(xml, "Quiet") === "true", entries };
}

/** One part named in `CompleteMultipartUpload`. */
export interface PartReference {
  readonly number: number;
  readonly etag: string;
}

/** Reads the body of `CompleteMultipartUpload`; throws `MalformedXML` for anything else. */
export function parseParts(body: Uint8Array): PartReference[] {
  const parts = elements(new TextDecoder().decode(body), "Part").map((part) => {
    const number = Number(element(part, "PartNumber"));
    const etag = element(part, "ETag");
    if (!Number.isInteger(number) || etag === undefined) throw malformed();
    return { number, etag };
  });
  if (parts.length === 0) throw malformed();
  return parts;
}

function elements(xml: string, name: string): string[] {
  const pattern = new RegExp(`<${name}(?:\\s[^>]*)?>([\\s\\S]*?)</${name}\\s*>`, "g");
  return [...xml.matchAll(pattern)].map((match) => match[1]);
}

function element(xml: string, name: string): string | undefined {
  const content = elements(xml, name)[0];
  return content === undefined ? undefined : unescapeXml(content);
}

const ENTITIES: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
};

function unescapeXml(value: string): string {
  return value.replace(/&(#x[0-9a-f]+|#[0-9]+|[a-z]+);/gi, (whole, name: string) => {
    if (!name.startsWith("#")) return ENTITIES[name] ?? whole;
    const code = /^#x/i.test(name) ? parseInt(name.slice(2), 16) : Number(name.slice(1));
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}

function malformed(): S3Error {
  return new S3Error(
    "MalformedXML",
    "The XML you provided was not well-formed or did not validate against our published schema",
  );
}
