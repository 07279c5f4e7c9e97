/** Gives a runtime the transport that is sound on it; `s3_transport.ts` says why there are two. */
import { FetchTransport } from "./s3_fetch_transport.ts";
import { NodeTransport, type NodeTransportOptions } from "./s3_node_transport.ts";
import { hasSoundNodeHttp, type Transport } from "./s3_transport.ts";

/**
 * Opens a transport; it is the caller's to destroy. On runtimes that get `fetch`, the proxy is always
 * that of the process, and connections are always kept.
 */
export function openTransport(options: NodeTransportOptions): Transport {
  return hasSoundNodeHttp(Deno.version.deno)
    ? new NodeTransport(options)
    : new FetchTransport(options);
}
