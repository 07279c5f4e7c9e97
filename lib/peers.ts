/** The nodes that work on the same queue, as far as their node records tell. */
import { StoreError } from "./core/store_error.ts";
import type { ClaimContext } from "./claim_context.ts";

/** The nodes are listed no sooner than this after the last time. */
export const PEERS_REFRESH_MS = 30_000;
/**
 * A record this old is a node's that has left without a word. A good deal longer than heartbeats lie
 * apart, since a node that is missed here is worked against, and one too many merely leaves its share.
 */
const SILENT_MS = 900_000;

export class Peers {
  readonly #context: ClaimContext;
  #names: readonly string[] = [];
  #listedMs = -Infinity;
  #failing = false;

  constructor(context: ClaimContext) {
    this.#context = context;
  }

  /**
   * The names of the live nodes, this one perhaps not among them; the first 1,000 of more. As they
   * were at the last refresh.
   */
  get names(): readonly string[] {
    return this.#names;
  }

  /** Lists them again after half a minute. Where that fails the names stay as they are. */
  async refresh(): Promise<void> {
    const { clock, log } = this.#context;
    if (clock.monotonic() - this.#listedMs < PEERS_REFRESH_MS) return;
    try {
      this.#names = await this.#list();
      this.#failing = false;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (!this.#failing) log.emit({ name: "peers-unlisted", cause: error.message });
      this.#failing = true;
    }
    this.#listedMs = clock.monotonic();
  }

  async #list(): Promise<string[]> {
    const { store, keys } = this.#context;
    const page = await store.list({ prefix: keys.folder("nodes") });
    // Of the store's clock, so that no two clocks are compared.
    const nowMs = page.objects.reduce(
      (ms, { lastModifiedMs }) => Math.max(ms, lastModifiedMs),
      page.servedAtMs ?? -Infinity,
    );
    return page.objects
      .filter(({ lastModifiedMs }) => nowMs - lastModifiedMs < SILENT_MS)
      .map(({ key }) => keys.specId("nodes", key))
      .filter((name) => name !== undefined);
  }
}
