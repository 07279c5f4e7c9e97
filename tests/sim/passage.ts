/** What becomes of single requests on their way to the store and back, drawn by seed. */
import type { Random } from "./random.ts";
import type { RequestFaults } from "./scenario.ts";

export type ErrorStatus = 409 | 429 | 500 | 503;

/** One request's way. Times are true milliseconds from sending. */
export interface Passage {
  /** The name of the fault, for the trace and the count. */
  readonly fault: string | undefined;
  /** When it takes effect: not at all, once, or twice (then the last one is answered). */
  readonly effectsAtMs: readonly number[];
  readonly reply:
    /** The store's own answer to the last effect. */
    | { readonly kind: "answer"; readonly atMs: number }
    | { readonly kind: "error"; readonly atMs: number; readonly status: ErrorStatus }
    /** The credentials are refused; surely without effect. */
    | { readonly kind: "denied"; readonly atMs: number }
    | { readonly kind: "broken"; readonly atMs: number }
    /** Nothing is heard. */
    | { readonly kind: "silence" };
  /** Whether it takes effect though the host it comes from has lost its power on the way. */
  readonly outlivesHost: boolean;
}

export interface PassageBounds {
  /** After which the client gives up. */
  readonly timeoutMs: number;
  /** Within which a request that was given up lands, or never. */
  readonly landingMs: number;
  readonly latencyMs: number;
}

/** A way without faults. */
export function clearPassage(random: Random, { latencyMs }: PassageBounds): Passage {
  const effectAtMs = latencyMs * random.between(0.05, 0.5);
  const atMs = effectAtMs + latencyMs * random.between(0.05, 0.5);
  return {
    fault: undefined,
    effectsAtMs: [effectAtMs],
    reply: { kind: "answer", atMs },
    outlivesHost: random.chance(0.5),
  };
}

/** A way on which something may go wrong, with the probabilities given. */
export function drawPassage(
  random: Random,
  bounds: PassageBounds,
  faults: RequestFaults,
): Passage {
  const clear = clearPassage(random, bounds);
  const [effectAtMs] = clear.effectsAtMs;
  const { timeoutMs, landingMs, latencyMs } = bounds;
  let draw = random.next();
  const falls = (probability: number) => (draw -= probability) < 0;
  const breaks = () =>
    random.chance(faults.brokenQuickly)
      ? { kind: "broken", atMs: effectAtMs + random.between(0, latencyMs) } as const
      : { kind: "silence" } as const;
  if (falls(faults.lost)) return { ...clear, fault: "lost", effectsAtMs: [], reply: breaks() };
  if (falls(faults.replyLost)) return { ...clear, fault: "reply lost", reply: breaks() };
  if (falls(faults.late)) {
    const reply = breaks();
    const givenUpMs = reply.kind === "broken" ? Math.min(reply.atMs, timeoutMs) : timeoutMs;
    const lateMs = givenUpMs + landingMs * (1 - random.next() ** 2);
    return { ...clear, fault: "late", effectsAtMs: [lateMs], reply };
  }
  if (falls(faults.twice)) {
    // As by a proxy that lost its own connection to the store, and sends the request again.
    const againAtMs = effectAtMs + random.next() ** 3 * timeoutMs * 0.9;
    const reply = { kind: "answer", atMs: againAtMs + latencyMs * random.next() } as const;
    return { ...clear, fault: "twice", effectsAtMs: [effectAtMs, againAtMs], reply };
  }
  if (falls(faults.answeredWithError)) {
    const done = random.chance(0.4);
    const status = random.pick([409, 429, 500, 503] as const);
    return {
      ...clear,
      fault: `${status} ${done ? "with" : "without"} effect`,
      effectsAtMs: done ? [effectAtMs] : [],
      reply: { kind: "error", atMs: clearEnd(clear), status },
    };
  }
  if (falls(faults.slow)) {
    const atMs = timeoutMs * random.between(0.1, 2);
    // What is answered later than the client waits is bound to have landed in time all the same.
    const effectsAtMs = [Math.min(atMs * random.next(), timeoutMs + landingMs)];
    return { ...clear, fault: "slow", effectsAtMs, reply: { kind: "answer", atMs } };
  }
  return clear;
}

/** A way while the store is out of reach. */
export function cutOffPassage(
  random: Random,
  bounds: PassageBounds,
  manner: "silent" | "broken" | "throttled" | "denied",
): Passage {
  const atMs = bounds.latencyMs * random.between(0.1, 1);
  const reply = {
    silent: { kind: "silence" },
    broken: { kind: "broken", atMs },
    throttled: { kind: "error", atMs, status: 503 },
    denied: { kind: "denied", atMs },
  } as const;
  return {
    fault: `cut off (${manner})`,
    effectsAtMs: [],
    reply: reply[manner],
    outlivesHost: false,
  };
}

function clearEnd(clear: Passage): number {
  return clear.reply.kind === "answer" ? clear.reply.atMs : 0;
}
