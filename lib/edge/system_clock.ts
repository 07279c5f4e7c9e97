/** The host's clocks and its source of chance. */
import type { Clock, Entropy } from "../ports.ts";

/** Timers of a longer delay fire at once: the delay is kept as a signed 32-bit number. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * The host's clock. `monotonic()` is the runtime's own (`CLOCK_MONOTONIC` on Linux): it never goes
 * back and no time server moves it, but it stands still while the host is suspended.
 */
export function systemClock(): Clock {
  return {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    sleep,
  };
}

/** The host's cryptographic source for nonces (random UUIDs, RFC 9562), and the runtime's own for jitter. */
export function systemEntropy(): Entropy {
  return {
    random: () => Math.random(),
    nonce: () => crypto.randomUUID(),
  };
}

async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  const end = performance.now() + ms;
  for (let left = ms; left > 0 && !signal?.aborted; left = end - performance.now()) {
    await oneTimer(Math.min(left, MAX_TIMER_MS), signal);
  }
}

function oneTimer(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", wake);
      resolve();
    };
    // Rounded up: timers are of whole milliseconds, and a sleep must not end early.
    const timer = setTimeout(wake, Math.ceil(ms));
    signal?.addEventListener("abort", wake);
  });
}
