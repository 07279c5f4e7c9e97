/** The operating system's requests to stop. */

export type StopSignal = "SIGTERM" | "SIGINT";

const STOP_SIGNALS: readonly StopSignal[] = ["SIGTERM", "SIGINT"];

/**
 * Calls the handler for every SIGTERM and SIGINT, and so keeps them from ending the process, until
 * the returned value is disposed of. From then on they end it again.
 */
export function onSignals(handler: (name: StopSignal) => void): Disposable {
  const listeners = STOP_SIGNALS.map((name) => ({ name, listener: () => handler(name) }));
  for (const { name, listener } of listeners) Deno.addSignalListener(name, listener);
  return {
    [Symbol.dispose]() {
      for (const { name, listener } of listeners) Deno.removeSignalListener(name, listener);
    },
  };
}
