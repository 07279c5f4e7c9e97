/** The endpoint of a whole agent: what it says while things happen to that agent. */
import assert from "node:assert/strict";
import { type Fleet, scenarios } from "../process/fleet.ts";
import type { FleetAgent } from "../process/fleet_agent.ts";
import { waitUntil } from "../process/wait_until.ts";

const HTTP = { HTTP_ADDR: "127.0.0.1:0" };

interface Answer {
  readonly status: number;
  readonly body: string;
}

async function addressOf(agent: FleetAgent): Promise<string> {
  const [line] = await agent.untilLogged("serving metrics and health");
  return String(line.fields.address);
}

async function get(agent: FleetAgent, path: string): Promise<Answer> {
  const response = await fetch(`http://${await addressOf(agent)}${path}`);
  return { status: response.status, body: await response.text() };
}

async function untilAnswer(agent: FleetAgent, path: string, expected: Answer): Promise<void> {
  let last: Answer | undefined;
  await waitUntil(`${path} answers ${JSON.stringify(expected)}`, async () => {
    last = await get(agent, path);
    return last.status === expected.status && last.body === expected.body;
  }).catch((error) => {
    throw new Error(`${error.message}; last: ${JSON.stringify(last)}`);
  });
}

/** The samples of a scrape, by name and labels as they are written. */
async function scrape(agent: FleetAgent): Promise<Map<string, number>> {
  const { status, body } = await get(agent, "/metrics");
  assert.equal(status, 200);
  const samples = body.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(samples.map((line) => {
    const space = line.lastIndexOf(" ");
    return [line.slice("cellos_fleet_".length, space), Number(line.slice(space + 1))];
  }));
}

async function countedWork(fleet: Fleet): Promise<void> {
  fleet.submit("good", { run: "exit 0" });
  fleet.submit("bad", { run: "exit 3" });
  fleet.submit("elsewhere", { run: "exit 0", poolId: "other" });
  const agent = fleet.agent("a", { ...HTTP, POOL_ID: "mine" });
  await fleet.untilFiled("good");
  await fleet.untilFiled("bad", "failed");
  await waitUntil("the last poll saw the other pool's spec only", async () => {
    return (await scrape(agent)).get("pending_listed") === 1;
  });
  const samples = await scrape(agent);
  const expected = {
    'claims_total{outcome="claimed"}': 2,
    'claims_total{outcome="refused"}': 0,
    'specs_total{outcome="completed",reason="exit"}': 1,
    'specs_total{outcome="failed",reason="exit"}': 1,
    'specs_total{outcome="failed",reason="lost"}': 0,
    cell_duration_seconds_count: 2,
    queue_wait_seconds_count: 2,
    cells_running: 0,
    slots: 1,
    slots_in_use: 0,
    self_fences_total: 0,
    specs_skipped_total: 1,
    pending_runnable: 0,
    stuck_loops: 0,
    'state{state="idle"}': 1,
    'state{state="busy"}': 0,
    'unknown_outcomes_total{operation="create"}': 0,
  };
  for (const [name, value] of Object.entries(expected)) {
    assert.equal(samples.get(name), value, name);
  }
  for (
    const name of [
      'lease_renewals_total{outcome="renewed"}',
      "pending_oldest_age_seconds",
      "last_poll_age_seconds",
      "poll_duration_seconds_count",
      "start_time_seconds",
      "resident_memory_bytes",
      's3_requests_total{operation="list",status="200"}',
      's3_requests_total{operation="create",status="412"}',
      's3_request_duration_seconds_count{operation="list"}',
    ]
  ) {
    assert.ok(Number.isFinite(samples.get(name)), name);
  }
  assert.ok(
    [...samples.keys()].some((name) => /^build_info\{version=".+",commit=".+"\}$/.test(name)),
  );
}

async function statusWhileRunning(fleet: Fleet): Promise<void> {
  fleet.submit("team/long", { run: "gate go" });
  const agent = fleet.agent("a", { ...HTTP, LEASE_TTL_MS: 30_000 });
  await fleet.untilRunning("team/long");
  const { body } = await get(agent, "/status");
  const { state, specs, slots } = JSON.parse(body);
  const lease = JSON.parse(
    new TextDecoder().decode(fleet.bucket.get("fleet/claimed/team/long.lease")!.body),
  );
  assert.deepEqual([state, slots, specs.length], ["busy", 1, 1]);
  const { leaseTrustLeftMs, ...spec } = specs[0];
  assert.deepEqual(spec, {
    specId: "team/long",
    attempt: 1,
    claim: lease.nonce,
    claimedAt: lease.claimedAt,
  });
  assert.ok(Number.isInteger(leaseTrustLeftMs) && leaseTrustLeftMs <= 28_500, leaseTrustLeftMs);
  assert.equal((await scrape(agent)).get("cells_running"), 1);

  agent.signal("SIGTERM");
  await untilAnswer(agent, "/readyz", {
    status: 503,
    body: "draining: no new work is accepted\n",
  });
  assert.equal((await get(agent, "/livez")).status, 200);
  fleet.open("go");
  assert.equal(await agent.exitCode(), 0);
  fleet.judgeRunOnce("team/long");
}

async function bucketAway(fleet: Fleet): Promise<void> {
  const port = fleet.server.port;
  await fleet.server.close();
  const agent = fleet.agent("a", HTTP);
  await agent.untilLogged(/^bucket not usable/);
  await untilAnswer(agent, "/readyz", {
    status: 503,
    body: "starting: the bucket has not been proven usable yet\n",
  });
  const samples = await scrape(agent);
  assert.ok(samples.get('bucket_failures_total{action="start"}')! >= 1);
  assert.equal(samples.has("last_poll_age_seconds"), false);

  const server = fleet.startServer(port);
  await untilAnswer(agent, "/readyz", { status: 200, body: "idle\n" });
  await server.close();
  await waitUntil("the agent backs off", async () => {
    const { status, body } = await get(agent, "/readyz");
    return status === 503 && body.startsWith("backing off: the bucket failed ");
  });
  assert.equal((await get(agent, "/livez")).status, 200);
  fleet.startServer(port);
  await untilAnswer(agent, "/readyz", { status: 200, body: "idle\n" });
}

async function noSupervisor(fleet: Fleet): Promise<void> {
  fleet.submit("waits", { run: "exit 0" });
  const agent = fleet.agent("a", { ...HTTP, SUPERVISOR: fleet.path("missing") });
  await waitUntil("the agent backs off", async () => {
    const { status, body } = await get(agent, "/readyz");
    return status === 503 && body.startsWith("backing off: the supervisor could not be started ");
  });
  assert.equal((await get(agent, "/livez")).status, 200);
  assert.ok((await scrape(agent)).get("supervisor_failures_total")! >= 1);
}

async function frozen(fleet: Fleet): Promise<void> {
  const agent = fleet.agent("a", HTTP);
  await untilAnswer(agent, "/readyz", { status: 200, body: "idle\n" });
  const address = await addressOf(agent);
  agent.signal("SIGSTOP");
  const asked = fetch(`http://${address}/livez`).then(async (response) => ({
    status: response.status,
    body: await response.text(),
  }));
  // Longer than the agent takes for ordinary load, and there is nothing to see meanwhile.
  await new Promise((resolve) => setTimeout(resolve, 8_000));
  agent.signal("SIGCONT");
  const { status, body } = await asked;
  assert.equal(status, 503);
  assert.match(body, /^stuck: .*event loop/);
  await waitUntil("a heartbeat says so", () => {
    return agent.logged("heartbeat").some(({ level, fields }) =>
      level === "ERROR" && fields.state === "stuck" &&
      String(fields.stuck_loops).includes("event loop")
    );
  });
  await untilAnswer(agent, "/livez", { status: 200, body: "every loop makes progress\n" });
}

async function portTaken(fleet: Fleet): Promise<void> {
  const taken = `127.0.0.1:${fleet.server.port}`;
  const agent = fleet.agent("a", { HTTP_ADDR: taken });
  assert.equal(await agent.exitCode(), 78);
  const [line] = agent.logged(/^Could not listen on CELLOS_FLEET_HTTP_ADDR /);
  assert.equal(line.level, "ERROR");
  assert.ok(line.fields.message.includes(taken), line.fields.message);
  assert.equal(agent.stderr, "");
}

scenarios("the endpoint of an agent", [
  { name: "counts claims, outcomes, requests and polls in /metrics", run: countedWork },
  {
    name: "names in /status what runs, and is not ready but alive while it drains",
    run: statusWhileRunning,
  },
  {
    name: "is not ready while the bucket is away, at the start and later, and alive throughout",
    run: bucketAway,
  },
  { name: "is not ready while the supervisor cannot be started", run: noSupervisor },
  {
    name: "says that the agent was stuck after it stood still, and so does the heartbeat",
    run: frozen,
  },
  {
    name: "that is taken by another program ends the start with code 78, naming the variable",
    run: portTaken,
  },
]);
