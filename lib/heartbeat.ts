import { encodeNodeRecord, NODE_SCHEMA } from "./core/node_record.ts";
import { StoreError } from "./core/store_error.ts";
import type { AgentContext } from "./claim_context.ts";

/** What the heartbeat says of the node beside its vital signs. */
export interface NodeFacts {
  readonly version: string;
  readonly bucket: string;
  readonly prefix: string;
  readonly queueName: string;
  readonly heartbeatIntervalMs: number;
}

/**
 * Beats until `stop`, at a steady cadence whatever the cells and the bucket do: one log line each
 * time, and the node record beside it. A record that is slow to store delays no beat; the next one
 * is left out instead. The first record is stored as soon as `started` resolves.
 */
export async function heartbeatLoop(
  context: AgentContext,
  facts: NodeFacts,
  started: Promise<void>,
  stop: AbortSignal,
): Promise<void> {
  const { clock, vitals } = context;
  const startedAt = new Date(clock.now()).toISOString();
  const intervalMs = facts.heartbeatIntervalMs;
  let storing: Promise<void> | undefined;
  const store = () => {
    storing ??= storeRecord(context, facts, startedAt).finally(() => storing = undefined);
  };
  void started.then(store);
  let nextMs = clock.monotonic();
  while (!stop.aborted) {
    beat(context, facts);
    vitals.expect("heartbeat", intervalMs * 2 + 10_000);
    // Before the bucket is known to be usable, its failures are reported by whoever tries it.
    if (vitals.started) store();
    // From beat to beat, not from end to start; beats missed while the process slept are not made up.
    nextMs = Math.max(nextMs + intervalMs, clock.monotonic());
    await clock.sleep(nextMs - clock.monotonic(), stop);
  }
  vitals.rest("heartbeat");
  await storing;
  if (vitals.started) await removeRecord(context);
}

function beat({ log, poolId, vitals }: AgentContext, facts: NodeFacts): void {
  const { bucket, prefix, queueName } = facts;
  log.emit({ name: "heartbeat", bucket, prefix, queueName, poolId, ...vitals.signs() });
}

async function storeRecord(
  { store, keys, clock, log, node, poolId, vitals }: AgentContext,
  { version, heartbeatIntervalMs }: NodeFacts,
  startedAt: string,
): Promise<void> {
  const { state, inFlight, slots, lastPollAgeMs, totals } = vitals.signs();
  const record = encodeNodeRecord({
    schema: NODE_SCHEMA,
    node,
    version,
    poolId: poolId === "" ? undefined : poolId,
    state,
    inFlight,
    slots,
    lastPollAgeMs,
    totals: { ...totals },
    startedAt,
    at: new Date(clock.now()).toISOString(),
    heartbeatIntervalMs,
  });
  try {
    await store.put(keys.node(node), record, {});
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    log.emit({ name: "node-record-failed", cause: error.message });
  }
}

/** A node that has left does not look dead. Where this fails, the record's age tells. */
async function removeRecord({ store, keys, log, node }: AgentContext): Promise<void> {
  try {
    const removed = await store.delete(keys.node(node), undefined);
    if (removed.outcome === "unknown") {
      log.emit({ name: "node-record-failed", cause: removed.cause });
    }
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    log.emit({ name: "node-record-failed", cause: error.message });
  }
}
