/** People, and what they do to the bucket by hand, with the AWS CLI and no regard for agents. */
import { keyOf } from "./checks/evidence.ts";
import type { QueueKeys } from "../../lib/core/keys.ts";
import type { Author, History } from "./history.ts";
import type { PersonAct } from "./scenario.ts";
import type { Trace } from "./trace.ts";
import type { VirtualTime } from "./virtual_time.ts";

const PERSON: Author = { kind: "person" };

export class People {
  readonly #time: VirtualTime;
  readonly #history: History;
  readonly #keys: QueueKeys;
  readonly #trace: Trace;
  readonly #lastSubmitted = new Map<string, Uint8Array>();
  /** Ids whose lease was deleted by hand. */
  readonly meddled = new Set<string>();

  constructor(time: VirtualTime, history: History, keys: QueueKeys, trace: Trace) {
    this.#time = time;
    this.#history = history;
    this.#keys = keys;
    this.#trace = trace;
  }

  act(act: Exclude<PersonAct, { kind: "command" }>): void {
    const { id } = act;
    this.#trace.add("person", `${act.kind} ${id}`);
    switch (act.kind) {
      case "submit":
        return this.#submit(id, new TextEncoder().encode(act.spec));
      case "resubmit": {
        const body = this.#lastSubmitted.get(id);
        // The bytes are the same, the object is not.
        if (body !== undefined) this.#submit(id, body.slice());
        return;
      }
      case "cancel":
        return this.#delete(this.#keys.pending(id));
      case "delete-lease":
        return this.#deleteLease(id);
      case "put-claimed":
        return this.#put(this.#keys.claimed(id), new TextEncoder().encode(act.spec));
      case "retry-failed":
        return this.#retryFailed(id, act.deleteAfterMs);
    }
  }

  #submit(id: string, body: Uint8Array): void {
    this.#lastSubmitted.set(id, body);
    this.#put(this.#keys.pending(id), body);
  }

  #retryFailed(id: string, deleteAfterMs: number): void {
    const failed = keyOf(this.#keys, "failed", id);
    if (this.#history.get(failed) === undefined) return;
    this.#history.as(PERSON, (bucket) => bucket.copy(failed, this.#keys.pending(id)));
    this.#time.after(deleteAfterMs, () => this.#delete(failed));
  }

  #deleteLease(id: string): void {
    if (this.#history.get(this.#keys.lease(id)) === undefined) return;
    this.meddled.add(id);
    this.#delete(this.#keys.lease(id));
  }

  #put(key: string, body: Uint8Array): void {
    this.#history.as(PERSON, (bucket) => bucket.put(key, body));
  }

  #delete(key: string): void {
    this.#history.as(PERSON, (bucket) => bucket.delete(key));
  }
}
