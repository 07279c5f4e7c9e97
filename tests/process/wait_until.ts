/** Far longer than anything here takes, also on a machine that is busy with other work. */
const DEADLINE_MS = 90_000;
const LOOK_INTERVAL_MS = 20;

/** Waits until the condition holds; rejects with `what` when it does not for a long time. */
export async function waitUntil(
  what: string,
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadlineMs = performance.now() + DEADLINE_MS;
  while (!await condition()) {
    if (performance.now() > deadlineMs) throw new Error(`Waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_INTERVAL_MS));
  }
}
