/**
 * Faults and figures by HTTP, for scripts that run in another process than the server:
 *
 *     GET    /_faults   what is in force
 *     PUT    /_faults   {"rules": […], "delayMs": 5, "conditions": {"create": false}}: from now on this,
 *                       and what is not stated as it was at the start
 *     DELETE /_faults   as it was at the start
 *     GET    /_stats    requests by operation and status, and the most at once
 *     DELETE /_stats    counts from zero again
 *
 * No bucket can have these names. Such requests are not counted and meet no fault.
 */
import type { HonouredConditions } from "./bucket.ts";
import {
  type FaultRule,
  type Faults,
  FaultSyntaxError,
  parseFaultRule,
  record,
  refuseUnknown,
} from "./faults.ts";
import type { HttpRequest, HttpResponse } from "./http_connection.ts";
import type { StatisticsCounter } from "./statistics.ts";

export class Control {
  readonly #delayMsAtStart: number;
  readonly #conditionsAtStart: HonouredConditions;

  constructor(
    private readonly faults: Faults,
    private readonly conditions: HonouredConditions,
    private readonly statistics: StatisticsCounter,
  ) {
    this.#delayMsAtStart = faults.delayMs;
    this.#conditionsAtStart = { ...conditions };
  }

  /** The answer to a control request; undefined when it is none. */
  answer(request: HttpRequest): HttpResponse | undefined {
    switch (`${request.method} ${request.target}`) {
      case "PUT /_faults":
        return this.#replaceFaults(request.body);
      case "DELETE /_faults":
        this.#apply([], this.#delayMsAtStart, {});
        return { status: 204, headers: {} };
      case "GET /_faults": {
        const { rules, delayMs } = this.faults;
        return json(200, { rules, delayMs, conditions: this.conditions });
      }
      case "GET /_stats":
        return json(200, this.statistics.snapshot());
      case "DELETE /_stats":
        this.statistics.reset();
        return { status: 204, headers: {} };
    }
  }

  #replaceFaults(body: Uint8Array): HttpResponse {
    try {
      const settings = record(parseJson(body), "The faults");
      refuseUnknown(settings, ["rules", "delayMs", "conditions"]);
      const rules = settings.rules ?? [];
      if (!Array.isArray(rules)) throw new FaultSyntaxError("rules must be an array");
      const delayMs = settings.delayMs ?? this.#delayMsAtStart;
      if (typeof delayMs !== "number" || !(delayMs >= 0)) {
        throw new FaultSyntaxError(`delayMs must be a number of milliseconds: ${delayMs}`);
      }
      this.#apply(rules.map(parseFaultRule), delayMs, parseConditions(settings.conditions ?? {}));
      return { status: 204, headers: {} };
    } catch (error) {
      if (error instanceof FaultSyntaxError) return json(400, { error: error.message });
      throw error;
    }
  }

  #apply(rules: readonly FaultRule[], delayMs: number, conditions: Partial<HonouredConditions>) {
    this.faults.clear();
    this.faults.delayMs = delayMs;
    for (const rule of rules) this.faults.add(rule);
    Object.assign(this.conditions, this.#conditionsAtStart, conditions);
  }
}

function parseConditions(value: unknown): Partial<HonouredConditions> {
  const conditions = record(value, "conditions");
  refuseUnknown(conditions, ["create", "replace", "delete"]);
  for (const [name, honoured] of Object.entries(conditions)) {
    if (typeof honoured !== "boolean") throw new FaultSyntaxError(`${name} must be a boolean`);
  }
  return conditions;
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    throw new FaultSyntaxError("The body is not JSON");
  }
}

function json(status: number, value: unknown): HttpResponse {
  return {
    status,
    headers: { "content-type": "application/json" },
    body: JSON.stringify(value, null, 2) + "\n",
  };
}
