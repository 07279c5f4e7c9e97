/** What the demo submits, and where each spec has to end. */

export const POOL = "blue";
export const PREFIX = "fleet";

export interface DemoSpec {
  readonly id: string;
  readonly body: string;
  /** For the timeline. */
  readonly about: string;
  readonly end: SpecEnd;
}

export type SpecEnd =
  | { readonly folder: "pending" }
  | {
    readonly folder: "completed" | "failed";
    readonly exitCode: number;
    readonly attempt: number;
  };

/**
 * Its node is killed while it runs. It runs long enough for that on a busy machine, and once more
 * from the start on the other node.
 */
export const INTERRUPTED_ID = "backup";

const SUCCESS: SpecEnd = { folder: "completed", exitCode: 0, attempt: 1 };

export const SPECS: readonly DemoSpec[] = [
  {
    id: INTERRUPTED_ID,
    body: json({ sleep: 4 }),
    about: "succeeds after 4 s",
    end: { ...SUCCESS, attempt: 2 },
  },
  { id: "hello", body: json({}), about: "succeeds at once", end: SUCCESS },
  {
    id: "resize",
    body: json({ placement: { poolId: POOL }, sleep: 1 }),
    about: `for pool ${POOL}, succeeds`,
    end: SUCCESS,
  },
  {
    id: "broken",
    body: json({ exit: 3 }),
    about: "fails with exit code 3",
    end: { folder: "failed", exitCode: 3, attempt: 1 },
  },
  {
    id: "elsewhere",
    body: json({ placement: { poolId: "green" } }),
    about: "for pool green, which has no node here",
    end: { folder: "pending" },
  },
  {
    id: "not-json",
    body: "this is not JSON\n",
    about: "not JSON: for the supervisor to refuse",
    end: { folder: "failed", exitCode: 65, attempt: 1 },
  },
  {
    id: "reports/2026/monthly",
    body: json({ sleep: 1 }),
    about: "an id with slashes, succeeds",
    end: SUCCESS,
  },
];

function json(spec: Record<string, unknown>): string {
  return `${JSON.stringify({ spec })}\n`;
}
