/** What the figures were measured on. */
import os from "node:os";

/** Processors, memory, kernel, runtime, and how busy the machine was, in one line. */
export function machine(): string {
  const cpus = os.cpus();
  const gigabytes = (os.totalmem() / 1e9).toFixed(0);
  const load = os.loadavg().map((value) => value.toFixed(1)).join(", ");
  return `${cpus.length} × ${cpus[0]?.model ?? "unknown processor"}, ${gigabytes} GB, ` +
    `${os.type()} ${os.release().split("-")[0]}, Deno ${Deno.version.deno}; ` +
    `load averages at the end: ${load}`;
}
