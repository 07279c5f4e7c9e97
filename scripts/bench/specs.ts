/** The specs that the benchmark submits: a few hundred bytes each, as a small real one. */

export function specId(index: number): string {
  return `spec-${String(index).padStart(7, "0")}`;
}

export function specBody(id: string, poolId?: string): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({
    apiVersion: "cellos.io/v1",
    kind: "ExecutionCell",
    metadata: { name: id, labels: { purpose: "benchmark" } },
    spec: {
      ...(poolId === undefined ? {} : { placement: { poolId } }),
      command: ["/usr/bin/env", "true"],
      environment: { STAGE: "benchmark", REGION: "nowhere" },
      limits: { cpu: 1, memoryBytes: 268435456, seconds: 60 },
    },
  }));
}
