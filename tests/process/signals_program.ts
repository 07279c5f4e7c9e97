/** Prints the signals it gets; the third one is the last that it withstands. */
import { onSignals } from "../../lib/edge/os_signals.ts";

if (import.meta.main) {
  let count = 0;
  const signals = onSignals((name) => {
    if (++count === 3) signals[Symbol.dispose]();
    console.log(name);
  });
  setInterval(() => {}, 1000);
  console.log("ready");
}
