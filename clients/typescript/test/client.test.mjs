// The client against the real server: what applications see of it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { WebSocket } from "ws";
import { dist } from "./packed.mjs";
import { World, until } from "./support/world.mjs";

const { createClient, lossless } = await import(dist("index.js"));

let world;
before(async () => (world = await World.start()));
after(() => world?.stop());

/** Runs with a client that is closed afterwards. */
async function using(options, run) {
  const client = createClient(world.url, { webSocket: WebSocket, ...options });
  try {
    await run(client);
  } finally {
    client.close();
  }
}

const subscriptions = async (client) => (await client.request("subscriptions")).channels.map(({ channel }) => channel);

test("subscribers of one channel share a subscription, and late ones get the state", () =>
  using({}, async (client) => {
    const [first, second, third] = [[], [], []];
    client.subscribe("price:ETH", (update) => first.push(update));
    const end = client.subscribe("PRICE:eth", (update) => second.push(update));
    await until(() => first.length && second.length, "the price");
    assert.deepEqual(await subscriptions(client), ["price:ETH"]);
    client.subscribe("price:ETH", (update) => third.push(update));
    await until(() => third.length, "the state");
    assert.equal(third[0].snapshot, true);
    end();
    const { length } = second;
    await until(() => first.length > 1 && third.length > 1, "an update");
    assert.equal(second.length, length, "a subscription that ended gets nothing");
    assert.deepEqual(await subscriptions(client), ["price:ETH"]);
  }));

test("two names of one channel are one subscription", () =>
  using({}, async (client) => {
    const [short, long] = [[], []];
    client.subscribe("new-block", (update) => short.push(update));
    client.subscribe("new-block:31337", (update) => long.push(update));
    await until(() => short.length && long.length, "the newest block");
    await world.mine(2);
    const newest = await world.newest("new-block");
    await until(() => short.at(-1).seq >= newest && long.at(-1).seq >= newest, "both to be current");
    const rising = (list) => list.filter(({ snapshot }) => !snapshot).every(({ seq }, index, all) => index === 0 || seq === all[index - 1].seq + 1);
    assert.ok(rising(short) && rising(long));
  }));

test("a late subscriber with a position gets what it missed, and the others nothing twice", () =>
  using({}, async (client) => {
    const [first, second] = [[], []];
    client.subscribe("new-block", (update) => first.push(update.seq));
    await until(() => first.length, "the newest block");
    await world.mine(3);
    await until(() => first.length > 3, "the blocks");
    const since = first[0] - 2;
    client.subscribe("new-block", { since, epoch: client.epoch }, (update) => second.push(update.seq));
    await until(() => second.at(-1) >= first.at(-1), "the missed blocks");
    assert.deepEqual(second, second.map((_, index) => since + 1 + index));
    assert.deepEqual(first, first.map((_, index) => first[0] + index));
  }));

test("a refused channel calls onError and leaves the others alone", () =>
  using({}, async (client) => {
    const failures = [];
    const prices = [];
    client.subscribe("price:NOPE", { onError: (failure) => failures.push(failure.code) }, () => {});
    client.subscribe("price:ETH", (update) => prices.push(update));
    await until(() => failures.length && prices.length, "both answers");
    assert.deepEqual(failures, ["UNKNOWN_CHANNEL"]);
  }));

test("what a callback throws stops no other", async () => {
  const thrown = [];
  const collect = (error) => thrown.push(error.message);
  const others = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", collect);
  try {
    await using({}, async (client) => {
      const seen = [];
      client.subscribe("new-block", () => {
        throw new Error("of the application");
      });
      client.subscribe("new-block", (update) => seen.push(update));
      await until(() => seen.length, "the other subscriber");
    });
    assert.ok(thrown.includes("of the application"));
  } finally {
    process.off("uncaughtException", collect);
    for (const listener of others) process.on("uncaughtException", listener);
  }
});

test("a stream ends with its signal and with its client", () =>
  using({}, async (client) => {
    const abort = new AbortController();
    const read = async (signal) => {
      for await (const item of client.stream("new-block", { from: "start", signal })) assert.ok(item.seq > 0);
    };
    const [aborted, closed] = [read(abort.signal), read(undefined)];
    await until(async () => (await subscriptions(client)).length, "the stream");
    abort.abort();
    await aborted;
    client.close();
    await closed;
  }));

test("a stream whose consumer is slow reads what its buffer did not hold from REST", () =>
  using({}, async (client) => {
    const seqs = [];
    let isSlow = true;
    const read = async () => {
      for await (const item of client.stream("new-block", { from: "start", buffer: 2 })) {
        seqs.push(item.seq);
        if (isSlow) await until(() => !isSlow, "the consumer");
      }
    };
    const ended = read();
    await until(() => seqs.length, "the first update");
    isSlow = false;
    const current = async () => seqs.at(-1) >= (await world.newest("new-block"));
    await until(current, "the stream to be live");
    isSlow = true;
    await world.mine(8);
    isSlow = false;
    await until(current, "the stream to be live again");
    assert.deepEqual(seqs, seqs.map((_, index) => index + 1));
    client.close();
    await ended;
  }));

test("lossless prices come with all digits over REST too", () =>
  using({ lossless }, async (client) => {
    for await (const item of client.stream("price:ETH", { from: "start" })) {
      assert.equal(Number(item.data.priceText), item.data.price);
      break;
    }
    assert.equal(typeof (await client.get("/prices/ETH")).price, "number");
  }));

test("a JWT is renewed before it expires, and a session without one stays", async () => {
  let asked = 0;
  const token = () => world.token("alice", (asked += 1) === 1 ? 31 : 3600);
  await using({ token }, async (client) => {
    const users = [];
    client.on("connected", ({ user }) => users.push(user.sub));
    client.subscribe("user:alice", () => {});
    await until(() => asked > 1, "the renewal");
    assert.deepEqual(await subscriptions(client), ["user:alice"]);
    assert.deepEqual(users, ["alice"]);
  });
});

test("a JWT that the server refuses twice ends the attempts until connect", async () => {
  let isValid = false;
  await using({ token: () => (isValid ? world.token("alice", 60) : "nonsense") }, async (client) => {
    client.subscribe("user:alice", () => {});
    await until(() => client.state.phase === "refused", "the refusal");
    assert.equal(client.state.code, 4401);
    assert.match(client.state.reason, /JWT/);
    await assert.rejects(client.presence("room:lobby"), { code: "DISCONNECTED" });
    isValid = true;
    client.connect();
    await until(async () => client.state.phase === "live" && (await subscriptions(client)).length, "the connection");
  });
});

test("a failed read has the code and the status of the server", () =>
  using({}, (client) => assert.rejects(client.get("/blocks?limit=0"), { name: "ChaincastError", status: 400, code: "BAD_REQUEST" })));

test("a server under a path is found", () => {
  const opened = [];
  class Recorder {
    constructor(url) {
      opened.push(String(url));
    }
    close() {}
  }
  for (const url of ["http://host:3000", "https://host/", "wss://host/chain/realtime", "https://host/chain/?x=1#y"]) {
    const client = createClient(url, { webSocket: Recorder });
    client.connect();
    client.close();
  }
  assert.deepEqual(opened, ["ws://host:3000/realtime", "wss://host/realtime", "wss://host/chain/realtime", "wss://host/chain/realtime"]);
});
