/** Faults on demand: rules that pick requests, and what then goes wrong with them. */
import { FAULT_STATUSES, type FaultStatus } from "./s3_error.ts";

/** Which requests a rule is for; everything stated must hold. */
export interface FaultMatch {
  /** `GET`, `PUT`, … */
  readonly method?: string;
  /** Name in the S3 API, such as `PutObject`. */
  readonly operation?: string;
  readonly keyContains?: string;
  /** Whether the request has `If-Match` or `If-None-Match`. */
  readonly conditional?: boolean;
}

/** What goes wrong. */
export type FaultAction =
  /** Wait before carrying the request out. The client may be gone by then; it is done all the same. */
  | { readonly action: "slow"; readonly delayMs: number }
  /** Answer with this error: instead of carrying the request out, or (`stored`) after doing so. */
  | { readonly action: "status"; readonly status: FaultStatus; readonly stored?: boolean }
  /** Carry the request out, then cut the connection without an answer. */
  | { readonly action: "drop-reply" }
  /** Cut the connection and do nothing. */
  | { readonly action: "lose-request" }
  /** Keep the connection open and never answer: without carrying the request out, or after. */
  | { readonly action: "hang"; readonly stored?: boolean };

export type FaultRule = FaultAction & {
  readonly match?: FaultMatch;
  /** How many requests it strikes; without limit when absent. */
  readonly times?: number;
  /** Chance to strike a request that matches, from 0 to 1; 1 when absent. */
  readonly probability?: number;
};

/** What a rule looks at. */
export interface FaultTarget {
  readonly method: string;
  readonly operation: string;
  readonly key: string;
  readonly ifMatch: string | undefined;
  readonly ifNoneMatch: string | undefined;
}

/** What happens to one request: how long it waits first, and what goes wrong besides. */
export interface Verdict {
  readonly delayMs: number;
  readonly fault: Exclude<FaultAction, { action: "slow" }> | undefined;
}

const NO_MATCH: FaultMatch = {};

/** The rules in force. Delays of all rules that match add up; of the rest, the first strikes. */
export class Faults {
  /** Every request waits this long. */
  delayMs = 0;
  #rules: { readonly rule: FaultRule; left: number }[] = [];

  /** `random`: uniform in [0, 1), for rules with a probability. */
  constructor(private readonly random: () => number) {}

  /** Adds a rule behind those in force. Returns a function that takes it back. */
  add(rule: FaultRule): () => void {
    const entry = { rule, left: rule.times ?? Infinity };
    this.#rules.push(entry);
    return () => {
      this.#rules = this.#rules.filter((other) => other !== entry);
    };
  }

  /** Takes all rules and the general delay back. */
  clear(): void {
    this.#rules = [];
    this.delayMs = 0;
  }

  /** The rules that still strike. */
  get rules(): readonly FaultRule[] {
    return this.#rules.map(({ rule, left }) => left === Infinity ? rule : { ...rule, times: left });
  }

  /** Decides on one request, and uses up the rules that strike it. */
  verdict(target: FaultTarget): Verdict {
    let delayMs = this.delayMs;
    if (this.#rules.length === 0) return { delayMs, fault: undefined };
    let fault: Verdict["fault"];
    for (const entry of this.#rules) {
      const { rule } = entry;
      if (rule.action !== "slow" && fault !== undefined) continue;
      if (!matches(rule.match ?? NO_MATCH, target)) continue;
      if (rule.probability !== undefined && this.random() >= rule.probability) continue;
      entry.left--;
      if (rule.action === "slow") delayMs += rule.delayMs;
      else fault = rule;
    }
    this.#rules = this.#rules.filter(({ left }) => left > 0);
    return { delayMs, fault };
  }
}

function matches(match: FaultMatch, target: FaultTarget): boolean {
  const conditional = target.ifMatch !== undefined || target.ifNoneMatch !== undefined;
  return (match.method === undefined || match.method === target.method) &&
    (match.operation === undefined || match.operation === target.operation) &&
    (match.keyContains === undefined || target.key.includes(match.keyContains)) &&
    (match.conditional === undefined || match.conditional === conditional);
}

/** A description of faults that cannot be understood; the message says what is wrong with it. */
export class FaultSyntaxError extends Error {}

/** Checks a rule that came as JSON. Throws `FaultSyntaxError`. */
export function parseFaultRule(json: unknown): FaultRule {
  const rule = record(json, "A fault rule");
  refuseUnknown(rule, ["match", "action", "delayMs", "status", "stored", "times", "probability"]);
  checkMatch(rule.match);
  check(rule, "times", "a whole number from 1", (value) => Number.isInteger(value) && value > 0);
  check(rule, "probability", "a number from 0 to 1", (value) => value >= 0 && value <= 1);
  switch (rule.action) {
    case "slow":
      if (rule.delayMs === undefined) throw new FaultSyntaxError("A slow rule needs delayMs");
      check(rule, "delayMs", "a number of milliseconds", (value) => value >= 0);
      break;
    case "status":
      if (!FAULT_STATUSES.includes(rule.status as FaultStatus)) {
        throw new FaultSyntaxError(
          `Unknown fault status ${JSON.stringify(rule.status)}: must be ${
            FAULT_STATUSES.join(", ")
          }`,
        );
      }
      break;
    case "drop-reply":
    case "lose-request":
    case "hang":
      break;
    default:
      throw new FaultSyntaxError(
        `Unknown fault action ${JSON.stringify(rule.action)}: must be slow, status, drop-reply, ` +
          "lose-request or hang",
      );
  }
  return rule as unknown as FaultRule;
}

/** The object that `json` is, or `FaultSyntaxError`. */
export function record(json: unknown, what: string): Record<string, unknown> {
  if (typeof json === "object" && json !== null && !Array.isArray(json)) {
    return json as Record<string, unknown>;
  }
  throw new FaultSyntaxError(`${what} must be an object: ${JSON.stringify(json)}`);
}

/** Throws `FaultSyntaxError` for a field that means nothing: most likely a slip of the pen. */
export function refuseUnknown(fields: Record<string, unknown>, known: readonly string[]): void {
  for (const name of Object.keys(fields)) {
    if (!known.includes(name)) {
      throw new FaultSyntaxError(`Unknown field ${name}: must be one of ${known.join(", ")}`);
    }
  }
}

function checkMatch(json: unknown): void {
  if (json === undefined) return;
  const match = record(json, "A fault's match");
  refuseUnknown(match, ["method", "operation", "keyContains", "conditional"]);
  for (const [name, value] of Object.entries(match)) {
    const [kind, wanted] = [typeof value as string, name === "conditional" ? "boolean" : "string"];
    if (kind !== wanted) {
      throw new FaultSyntaxError(`${name} must be a ${wanted}: ${JSON.stringify(value)}`);
    }
  }
}

function check(
  fields: Record<string, unknown>,
  name: string,
  wanted: string,
  holds: (value: number) => boolean,
): void {
  const value = fields[name];
  if (value === undefined || (typeof value === "number" && holds(value))) return;
  throw new FaultSyntaxError(`${name} must be ${wanted}: ${JSON.stringify(value)}`);
}
