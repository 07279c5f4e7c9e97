/** Whatever an agent goes through, its credentials are in nothing that it writes. */
import assert from "node:assert/strict";
import { redactTail } from "../../lib/edge/redacted_cells.ts";
import { type Fleet, scenarios } from "./fleet.ts";
import type { FleetAgent } from "./fleet_agent.ts";
import { waitUntil } from "./wait_until.ts";

const SECRETS = {
  AWS_SECRET_ACCESS_KEY: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYzEXAMPLEKEY",
  AWS_SESSION_TOKEN: "IQoJb3JpZ2luX2VjEXAMPLETOKEN/with+signs==",
  /** Not the agent's business, and so nothing to be told of. */
  DATABASE_PASSWORD: "correct-horse-battery-staple",
};

/** Everything that an agent has written, the bucket's objects with their metadata included. */
async function written(fleet: Fleet, agents: readonly FleetAgent[]): Promise<string> {
  const parts: string[] = [];
  for (const agent of agents) {
    parts.push(JSON.stringify(agent.lines), agent.stderr);
    const [line] = agent.logged("serving metrics and health");
    if (line === undefined) continue;
    for (const path of ["/metrics", "/status", "/livez", "/readyz", "/nothing"]) {
      const response = await fetch(`http://${line.fields.address}${path}`).catch(() => undefined);
      if (response === undefined) continue;
      parts.push(JSON.stringify([...response.headers]), await response.text());
    }
  }
  for (const key of fleet.keys("")) {
    const object = fleet.bucket.get(key);
    if (object === undefined) continue;
    parts.push(key, JSON.stringify(object.metadata), new TextDecoder().decode(object.body));
  }
  return parts.join("\n");
}

function assertNoSecret(text: string, secrets: Readonly<Record<string, string>> = SECRETS): void {
  for (const [name, secret] of Object.entries(secrets)) {
    for (const form of [secret, encodeURIComponent(secret), btoa(secret)]) {
      const at = text.indexOf(form);
      const where = text.slice(Math.max(0, at - 200), at);
      assert.equal(at, -1, `${name} was written after …${where}`);
    }
  }
}

async function workAndTrouble(fleet: Fleet): Promise<void> {
  const environment = { ...SECRETS };
  const settings = { HTTP_ADDR: "127.0.0.1:0" };
  fleet.submit("good", { run: "exit 0" });
  fleet.submit("bad", { run: "exit 3" });
  fleet.submit("talkative", {
    run: "echo key $AWS_SECRET_ACCESS_KEY; echo token $AWS_SESSION_TOKEN >&2; exit 1",
  });
  const agent = fleet.agent("a", settings, { environment });
  await fleet.untilFiled("good");
  await fleet.untilFiled("bad", "failed");
  const { stdout, stderr } = await fleet.untilFiled("talkative", "failed");
  assert.deepEqual([stdout.tail, stderr.tail], ["key [redacted]\n", "token [redacted]\n"]);
  assert.equal(agent.logged("key [redacted]").length, 1);
  await agent.untilBeats(1);
  const port = fleet.server.port;
  await fleet.server.close();
  await agent.untilLogged(/^bucket not usable/);
  fleet.startServer(port);
  const faulty = fleet.agent("b", { SUPERVISOR: fleet.path("missing") }, { environment });
  fleet.submit("waits", { run: "exit 0" });
  await fleet.untilFiled("waits");
  assertNoSecret(await written(fleet, [agent, faulty]));
  for (const one of [agent, faulty]) one.signal("SIGTERM");
  await Promise.all([agent.ended, faulty.ended]);
  assertNoSecret(await written(fleet, [agent, faulty]));
  fleet.judge();
}

async function badCredentials(fleet: Fleet): Promise<void> {
  const agent = fleet.agent("a", {}, {
    environment: { ...SECRETS, AWS_ACCESS_KEY_ID: "AKIADENIED" },
  });
  assert.equal(await agent.exitCode(), 69);
  assert.ok(agent.lines.some(({ level }) => level === "ERROR"));
  assertNoSecret(await written(fleet, [agent]));
}

/** A header cannot hold a line end, and the error of whoever finds that out may quote the header. */
async function unsendableToken(fleet: Fleet): Promise<void> {
  const secrets = { ...SECRETS, AWS_SESSION_TOKEN: "first-line-of-token\nsecond-line-of-token" };
  const agent = fleet.agent("a", { HTTP_ADDR: "127.0.0.1:0" }, { environment: secrets });
  await waitUntil("the agent says that it cannot go on", () => {
    return agent.lines.some(({ level }) => level === "ERROR" || level === "WARN");
  });
  const parts = Object.fromEntries(
    secrets.AWS_SESSION_TOKEN.split("\n").map((part, index) => [`line ${index}`, part]),
  );
  assertNoSecret(await written(fleet, [agent]), { ...secrets, ...parts });
}

scenarios("the credentials of an agent are in nothing that it writes", [
  {
    name: "through success, failure, cells that print them, an outage and a missing supervisor, " +
      "at log level debug",
    run: workAndTrouble,
  },
  {
    name: "when the bucket refuses them",
    server: { denyAccessKeys: ["AKIADENIED"] },
    run: badCredentials,
  },
  { name: "when they cannot be sent", run: unsendableToken },
]);

Deno.test("a credential in a tail is replaced, also where the tail begins in its middle", () => {
  const secret = SECRETS.AWS_SECRET_ACCESS_KEY;
  const bytes = (text: string) => new TextEncoder().encode(text);
  const text = (tail: Uint8Array) => new TextDecoder().decode(redactTail(tail, [secret, "short"]));
  assert.equal(text(bytes(`${secret}${secret} é short`)), "[redacted][redacted] é short");
  for (let cut = 1; cut <= secret.length - 8; cut++) {
    assert.equal(text(bytes(`${secret.slice(cut)}\nrest`)), "[redacted]\nrest", String(cut));
  }
  assert.equal(text(bytes(`${secret.slice(-7)} rest`)), `${secret.slice(-7)} rest`);
  const binary = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  assert.equal(redactTail(binary, [secret]), binary);
});
