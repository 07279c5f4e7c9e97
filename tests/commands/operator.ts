/** A person at a terminal, in front of a bucket in memory: runs command lines and keeps what they say. */
import assert from "node:assert/strict";
import type { ClaimContext } from "../../lib/claim_context.ts";
import type { CommandPorts } from "../../lib/commands/command.ts";
import { runCommand } from "../../lib/commands/run.ts";
import { QueueKeys } from "../../lib/core/keys.ts";
import { leaseTiming } from "../../lib/core/lease_timing.ts";
import { StoreError } from "../../lib/core/store_error.ts";
import { SupervisorError } from "../../lib/core/supervisor_error.ts";
import type { Clock, Entropy, Store, Terminal } from "../../lib/ports.ts";
import { parseCommandLine } from "../../lib/usage.ts";
import { Vitals } from "../../lib/vitals.ts";
import { MemoryBucket } from "../../scripts/s3/bucket.ts";
import { MemoryStore } from "../sim/memory_store.ts";

export const KEYS = new QueueKeys("fleet", "");
export const TTL_MS = 120_000;
const GOLDEN_RATIO = (Math.sqrt(5) - 1) / 2;
const START_MS = Date.UTC(2031, 4, 1);

export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Time that passes when somebody sleeps, at once. */
export class SleepingClock implements Clock {
  nowMs = START_MS;
  /** Called at every sleep, with how many there were before. */
  onSleep: (count: number) => void | Promise<void> = () => {};
  #sleeps = 0;

  now(): number {
    return this.nowMs;
  }

  monotonic(): number {
    return this.nowMs - START_MS;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return;
    this.nowMs += Math.max(0, ms);
    await this.onSleep(this.#sleeps++);
    // Others have a turn, as they would have during a real wait.
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

export interface OperatorOptions {
  /** What stands between the commands and the bucket. */
  readonly wrap?: (store: MemoryStore) => Store;
  readonly bucket?: MemoryBucket;
  readonly environment?: Readonly<Record<string, string>>;
  readonly supervisorFault?: string;
  readonly credentialsFault?: string;
  readonly terminal?: Partial<Terminal>;
}

export class Operator {
  readonly clock = new SleepingClock();
  readonly bucket: MemoryBucket;
  readonly store: MemoryStore;
  readonly interrupt = new AbortController();
  readonly #options: OperatorOptions;
  #draws = 0;
  #nonces = 0;

  constructor(options: OperatorOptions = {}) {
    this.#options = options;
    this.bucket = options.bucket ?? new MemoryBucket({ now: () => this.clock.nowMs });
    this.store = new MemoryStore(this.bucket);
  }

  get entropy(): Entropy {
    return {
      // Spread evenly over the range, the same in every run.
      random: () => (++this.#draws * GOLDEN_RATIO) % 1,
      nonce: () => `nonce-${++this.#nonces}`,
    };
  }

  /** Runs a command line with the given standard input. */
  async run(args: readonly string[], input: string | Uint8Array = ""): Promise<Said> {
    const command = parseCommandLine(args);
    if (command.kind === "usage-error") return { code: 64, out: "", err: command.message };
    assert.equal(command.kind, "command");
    const said = { out: "", err: "" };
    const bytes = typeof input === "string" ? new TextEncoder().encode(input) : input;
    const options = this.#options;
    const ports: CommandPorts = {
      terminal: {
        outputIsTerminal: false,
        notesAreTerminal: false,
        inputIsTerminal: false,
        color: false,
        size: () => undefined,
        print: (text) => Promise.resolve(void (said.out += text)),
        note: (text) => Promise.resolve(void (said.err += text)),
        input: () => new Blob([bytes.slice()]).stream(),
        ...options.terminal,
      },
      clock: this.clock,
      entropy: this.entropy,
      environment: { CELLOS_FLEET_BUCKET: "cells", USER: "mo", ...options.environment },
      openStore: () =>
        Object.assign(options.wrap?.(this.store) ?? this.store, { [Symbol.dispose]() {} }),
      describeCredentials: () =>
        options.credentialsFault === undefined
          ? Promise.resolve("environment variables")
          : Promise.reject(new StoreError("permanent", options.credentialsFault)),
      checkSupervisor: () =>
        options.supervisorFault === undefined
          ? Promise.resolve()
          : Promise.reject(new SupervisorError(options.supervisorFault)),
      hostName: () => Promise.resolve("desk"),
      interrupted: this.interrupt.signal,
    };
    const code = await runCommand(command.run, ports, command.hint);
    return { code, ...said };
  }

  /** An agent's view of the same bucket. */
  agent(node: string): ClaimContext {
    return {
      store: this.store,
      clock: this.clock,
      entropy: this.entropy,
      log: { emit() {} },
      keys: KEYS,
      timing: leaseTiming(TTL_MS, 10_000),
      node,
      poolId: "",
      maxAttempts: 3,
      maxSpecBytes: 1024 * 1024,
      conditionalDelete: true,
      vitals: new Vitals(this.clock, 1),
      giveUp: new AbortController().signal,
      throttled() {},
    };
  }

  put(key: string, body: string, metadata: Record<string, string> = {}): void {
    this.bucket.put(key, new TextEncoder().encode(body), metadata);
  }

  body(key: string): string | undefined {
    const object = this.bucket.get(key);
    return object === undefined ? undefined : new TextDecoder().decode(object.body);
  }

  /** All keys, without the prefix of the queue. */
  keys(): string[] {
    const keys: string[] = [];
    let page;
    do {
      page = this.bucket.list({ prefix: "", startAfter: page?.objects.at(-1)?.key });
      keys.push(...page.objects.map(({ key }) => key.slice("fleet/".length)));
    } while (page.truncated);
    return keys;
  }
}

/** A store that calls `before` ahead of each request, and `after` behind it. */
export function watched(
  store: Store,
  before: (index: number, operation: string, key: string) => void | Promise<void>,
  after: (index: number) => void | Promise<void> = () => {},
): Store {
  let requests = 0;
  return new Proxy(store, {
    get(target, name, receiver) {
      const method = Reflect.get(target, name, receiver);
      if (typeof method !== "function" || typeof name !== "string") return method;
      return async (...args: unknown[]) => {
        const index = requests++;
        const [first] = args as [string | { prefix: string }];
        await before(index, String(name), typeof first === "string" ? first : first.prefix);
        const result = await method.apply(target, args);
        await after(index);
        return result;
      };
    },
  });
}

/**
 * Tries a race at the first request, the second, and so on, until `attempt` no longer calls
 * `reached`: there were not so many requests. Returns how many there were.
 */
export async function atEveryMoment(
  attempt: (moment: number, reached: () => void) => Promise<void>,
): Promise<number> {
  for (let moment = 0;; moment++) {
    let reached = false;
    await attempt(moment, () => reached = true);
    if (!reached) return moment;
  }
}
