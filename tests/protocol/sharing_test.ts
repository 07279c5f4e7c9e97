import assert from "node:assert/strict";
import { Fleet, type Request } from "./fleet.ts";

const creates = (fleet: Fleet) =>
  fleet.requests.filter(({ operation, key }) => operation === "create" && key.endsWith(".lease"));

const listsNodes = ({ operation, key }: Request) =>
  operation === "list" && key.startsWith("fleet/nodes/");

/** Sixteen idle nodes, and a thousand specs all at once; cells end at once. */
function crowd(): Fleet {
  const fleet = new Fleet();
  for (let number = 1; number <= 16; number++) {
    fleet.at(number * 50, () => fleet.node(`node-${number}`, { exitWhenIdleMs: 60_000 }));
  }
  fleet.at(20_000, () => {
    for (let number = 0; number < 1_000; number++) fleet.submit(`s${number}`);
  });
  return fleet;
}

Deno.test("sixteen nodes on a thousand specs: each is run once, and hardly a claim is refused", async () => {
  const fleet = crowd();
  await fleet.run();
  assert.equal(fleet.starts.length, 1_000);
  assert.equal(new Set(fleet.starts.map(({ specId }) => specId)).size, 1_000);
  const refused = creates(fleet).length - 1_000;
  assert.ok(refused < 50, `${refused} were refused`);
});

Deno.test("where nodes may not be listed, all specs are run all the same, and it is said once", async () => {
  const fleet = crowd();
  fleet.fault = (request) => listsNodes(request) ? "denied" : undefined;
  await fleet.run();
  assert.equal(fleet.starts.length, 1_000);
  const refused = creates(fleet).length - 1_000;
  assert.ok(refused > 50, `only ${refused} were refused`);
  const said = fleet.events("peers-unlisted").map(({ node }) => node);
  assert.equal(said.length, 16);
  assert.equal(new Set(said).size, 16);
  assert.deepEqual(fleet.events("bucket-failing"), []);
});

Deno.test("nodes are not listed for an empty queue or a single spec, and then twice a minute at most", async () => {
  const fleet = new Fleet();
  fleet.cell = () => ({ durationMs: 3_000 });
  fleet.at(60_000, () => fleet.submit("alone"));
  fleet.at(120_000, () => {
    for (let number = 0; number < 60; number++) fleet.submit(`s${number}`);
  });
  fleet.node("node-1", { exitWhenIdleMs: 90_000 });
  await fleet.run();
  assert.equal(fleet.starts.length, 61);
  const lists = fleet.requests.filter(listsNodes);
  assert.ok(lists[0].atMs > 120_000);
  lists.slice(1).forEach(({ atMs }, index) => assert.ok(atMs - lists[index].atMs >= 30_000));
  assert.ok(lists.length >= 5 && lists.length <= 7, String(lists.length));
});

Deno.test("a spec that arrives at an idle fleet goes to whoever sees it first", async () => {
  const fleet = new Fleet();
  for (let number = 1; number <= 8; number++) {
    fleet.at(number * 600, () => fleet.node(`node-${number}`, { exitWhenIdleMs: 300_000 }));
  }
  // So that the nodes know of each other.
  fleet.at(20_000, () => {
    for (let number = 0; number < 16; number++) fleet.submit(`first-${number}`);
  });
  for (let number = 0; number < 40; number++) {
    fleet.at(60_000 + number * 5_300, () => fleet.submit(`s${number}`));
  }
  await fleet.run();
  for (let number = 0; number < 40; number++) {
    const submittedMs = 60_000 + number * 5_300;
    const poll = fleet.events("poll-finished").find(({ atMs, listed }) =>
      listed > 0 && atMs > submittedMs
    );
    const start = fleet.starts.find(({ specId }) => specId === `s${number}`);
    assert.equal(start?.node, poll?.node);
    assert.ok(start!.startedMs - poll!.atMs < 100);
  }
});

Deno.test("what is in the share of a node that is busy for long is run by the others, about in turn", async () => {
  const fleet = new Fleet();
  fleet.cell = ({ specId }) => ({ durationMs: specId === "long" ? 7_200_000 : 5_000 });
  fleet.submit("long");
  fleet.node("node-1", { exitWhenIdleMs: 60_000 });
  fleet.at(10_000, () => fleet.node("node-2", { exitWhenIdleMs: 60_000 }));
  const submittedMs = new Map<string, number>();
  for (let number = 0; number < 300; number++) {
    const ms = 20_000 + number * 1_000;
    submittedMs.set(`s${number}`, ms);
    fleet.at(ms, () => fleet.submit(`s${number}`));
  }
  await fleet.run();
  const order = fleet.starts.filter(({ specId }) => specId !== "long");
  assert.equal(order.length, 300);
  assert.ok(order.every(({ node }) => node === "node-2"));
  let latestMs = 0;
  for (const { specId } of order) {
    const ms = submittedMs.get(specId)!;
    // A minute, and what was at hand from the poll before it was overdue.
    assert.ok(latestMs - ms <= 90_000, `${specId} came ${latestMs - ms} ms late`);
    latestMs = Math.max(latestMs, ms);
  }
});

Deno.test("a node that was killed leaves its share to the others, at once", async () => {
  const fleet = new Fleet();
  fleet.cell = () => ({ durationMs: 1_000 });
  const names = ["node-1", "node-2", "node-3"];
  for (const name of names) fleet.node(name, { exitWhenIdleMs: 60_000 });
  fleet.at(20_000, () => fleet.named("node-3").kill());
  fleet.at(30_000, () => {
    for (let number = 0; number < 90; number++) fleet.submit(`s${number}`);
  });
  await fleet.run();
  assert.equal(fleet.starts.length, 90);
  const lastMs = fleet.starts.at(-1)!.startedMs;
  // Two nodes need 45 s for 90 specs, and a little for claims and polls.
  assert.ok(lastMs < 30_000 + 60_000, String(lastMs));
});
