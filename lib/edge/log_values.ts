/**
 * Makes whatever an event carries fit for a log line: plain JSON values, bounded, without
 * credentials and without an exception, whatever the value is.
 */

/** Stands where a credential was. */
const REDACTED = "[redacted]";

/** Names of fields whose values never reach the log. An access key's id is no secret. */
const SECRET_NAME =
  /authorization|secret|token|passw(or)?d|passphrase|credential|cookie|(private|api|signing|access)_?key(?!_?id)/i;

/** Replacing shorter ones would shred ordinary text, and no service issues such secrets. */
const LEAST_SECRET_LENGTH = 8;

/** Characters of one text. Collectors cut or refuse longer lines: journald at 48 KiB by default. */
const MAX_TEXT_LENGTH = 32_768;
const MAX_DEPTH = 6;
const MAX_ENTRIES = 1_000;

/** Turns values into loggable ones; knows the credentials that must not appear. */
export class LogValues {
  readonly #secrets: readonly string[];

  /** `secrets`: values to replace wherever they occur in a text. Short ones are left alone. */
  constructor(secrets: readonly string[]) {
    // The longest first, or one that is part of another would leave the rest of it standing.
    this.#secrets = secrets
      .filter((secret) => secret.length >= LEAST_SECRET_LENGTH)
      .toSorted((a, b) => b.length - a.length);
  }

  /** The text without credentials, well-formed, and cut where it is too long. */
  text(text: string): string {
    let clean = text;
    for (const secret of this.#secrets) clean = clean.replaceAll(secret, REDACTED);
    if (clean.length > MAX_TEXT_LENGTH) {
      const left = clean.length - MAX_TEXT_LENGTH;
      clean = `${clean.slice(0, MAX_TEXT_LENGTH)}… (${left} more characters)`;
    }
    return clean.toWellFormed();
  }

  /** The fields as plain JSON values; undefined ones are left out. Never throws. */
  fields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
    return this.#entries(Object.entries(fields), new Set());
  }

  #entries(entries: Iterable<[unknown, unknown]>, above: ReadonlySet<unknown>) {
    const plain = new Map<string, unknown>();
    for (const [key, value] of entries) {
      const name = this.text(String(key));
      if (plain.size >= MAX_ENTRIES || value === undefined) continue;
      plain.set(name, SECRET_NAME.test(name) ? REDACTED : this.#safely(value, above));
    }
    return Object.fromEntries(plain);
  }

  #safely(value: unknown, above: ReadonlySet<unknown>): unknown {
    try {
      return this.#plain(value, above);
    } catch (error) {
      return this.text(`[unreadable: ${error instanceof Error ? error.message : "threw"}]`);
    }
  }

  #plain(value: unknown, above: ReadonlySet<unknown>): unknown {
    if (typeof value === "string") return this.text(value);
    if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
    if (typeof value === "boolean" || value === null) return value;
    if (typeof value !== "object") return this.text(String(value));
    if (above.has(value)) return "[circular]";
    if (above.size >= MAX_DEPTH) return "[too deep]";
    const inside = new Set(above).add(value);
    if (value instanceof Error) return this.text(errorText(value));
    if (value instanceof Uint8Array) return this.text(new TextDecoder().decode(value));
    if (Array.isArray(value) || value instanceof Set) {
      return [...value].slice(0, MAX_ENTRIES).map((item) => this.#safely(item, inside));
    }
    if (value instanceof Map) return this.#entries(value, inside);
    if ("toJSON" in value && typeof value.toJSON === "function") {
      return this.#plain(value.toJSON(), inside);
    }
    return this.#entries(Object.entries(value), inside);
  }
}

/** One line: what happened, and what it was caused by. */
function errorText(error: Error, depth = 0): string {
  const name = error.name === "Error" ? "" : `${error.name}: `;
  const parts = [name + error.message];
  if (depth < MAX_DEPTH) {
    // A failed connection to a host of several addresses says nothing itself, only its parts do.
    const causes = error instanceof AggregateError ? error.errors : [error.cause];
    for (const cause of causes) {
      if (cause instanceof Error) parts.push(`(caused by ${errorText(cause, depth + 1)})`);
      else if (typeof cause === "string") parts.push(`(caused by ${cause})`);
    }
  }
  return parts.join(" ");
}
