// Random schedules of faults against the real server: every update arrives once and in order, or the test says what did not.
//
// Each schedule prints its seed; CHAINCAST_SEED=N repeats one, CHAINCAST_SCHEDULES=N draws as many.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { WebSocket } from "ws";
import { dist } from "./packed.mjs";
import { Proxy } from "./support/proxy.mjs";
import { World, until } from "./support/world.mjs";

const { createClient } = await import(dist("index.js"));
const { msgpack } = await import(dist("msgpack.js"));

const FAULTS_A_SCHEDULE = 6;
/** Short enough that a half-open connection is found within the test. */
const PINGS = { CHAINCAST__GATEWAY__PING_INTERVAL_MS: "1000", CHAINCAST__GATEWAY__PING_TIMEOUT_MS: "1000" };

let world;
before(async () => (world = await World.start()));
after(() => world?.stop());

/** mulberry32: a small generator with a seed. */
function generator(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Schedule {
  log = [];

  constructor(seed) {
    this.random = generator(seed);
  }

  pick(list) {
    return list[Math.floor(this.random() * list.length)];
  }

  async start() {
    this.gateway = await world.startGateway(0, PINGS);
    this.port = Number(new URL(this.gateway.url).port);
    this.proxy = await Proxy.start(this.port);
    this.lifetime = 3600;
  }

  token = () => {
    if (this.sourceFails) throw new Error("the source of JWTs fails");
    return world.token("alice", this.lifetime);
  };

  faults = {
    cut: async () => {
      this.proxy.cutAfter(1 + Math.floor(this.random() * 1500));
      await world.mine(3);
      this.proxy.cutAfter(Infinity);
    },
    reset: async () => this.proxy.reset(),
    silence: async () => {
      this.proxy.mode = "silent";
      await until(() => this.client.state.phase !== "live", "the half-open connection to be found");
      await world.mine(2);
      this.proxy.mode = "ok";
      this.proxy.reset();
    },
    slowness: async () => {
      this.proxy.mode = "slow";
      await world.mine(5);
      this.proxy.mode = "ok";
    },
    refusal: async () => {
      this.proxy.mode = "refusing";
      this.proxy.reset();
      await world.mine(2);
      this.proxy.mode = "ok";
    },
    restart: async () => {
      await this.gateway.end("SIGTERM");
      await world.mine(this.pick([0, 2]));
      this.gateway = await world.startGateway(this.port, PINGS);
    },
    crash: async () => {
      await this.gateway.end("SIGKILL");
      this.gateway = await world.startGateway(this.port, PINGS);
    },
    expiry: async () => {
      this.lifetime = 2;
      this.proxy.reset();
      await world.mine(3);
      this.lifetime = this.pick([-5, 3600]);
      if (this.lifetime < 0) {
        await world.mine(1);
        this.lifetime = 3600;
      }
    },
    source: async () => {
      this.sourceFails = true;
      this.proxy.reset();
      await world.mine(1);
      this.sourceFails = false;
    },
  };

  async run() {
    for (let index = 0; index < FAULTS_A_SCHEDULE; index += 1) {
      const fault = this.pick(Object.keys(this.faults));
      this.log.push(fault);
      await this.faults[fault]();
      await world.mine(this.pick([0, 1, 4]));
    }
    // Two JWTs in a row that the server refused end the attempts: the application has a new one.
    if (this.client.state.phase === "refused") this.client.connect();
  }

  async stop() {
    this.client.close();
    await this.proxy.stop();
    await this.gateway.end();
  }
}

const seeds = process.env.CHAINCAST_SEED
  ? [Number(process.env.CHAINCAST_SEED)]
  : Array.from({ length: Number(process.env.CHAINCAST_SCHEDULES ?? 3) }, () => Math.floor(Math.random() * 2 ** 31));

for (const seed of seeds) {
  test(`every update arrives once and in order, CHAINCAST_SEED=${seed}`, { timeout: 240_000 }, async () => {
    const schedule = new Schedule(seed);
    await schedule.start();
    const wire = schedule.pick([undefined, msgpack]);
    const client = createClient(schedule.proxy.url, { webSocket: WebSocket, token: schedule.token, msgpack: wire });
    schedule.client = client;
    const gaps = [];
    client.on("gap", (gap) => gaps.push(gap));
    const losses = [];
    client.on("problem", ({ code, message }) => code === "LOST" && losses.push(message));

    const streams = ["new-block", "price:ETH"].map((channel) => {
      const items = [];
      const read = async () => {
        for await (const item of client.stream(channel, { from: "start" })) items.push(item);
      };
      const stream = { channel, items, error: null };
      stream.ended = read().catch((error) => (stream.error = error));
      return stream;
    });
    const latest = [];
    client.subscribe("price:BTC", (update) => latest.push(update));
    const all = [];
    client.subscribe("price:LINK", { mode: "all" }, (update) => all.push(update));
    const heartbeats = [];
    client.subscribe("heartbeat", (update) => heartbeats.push(update));

    try {
      await schedule.run();
      const last = (list) => list.at(-1)?.seq ?? 0;
      const isCurrent = async (channel, list) => {
        for (const { error } of streams) if (error) throw error;
        return last(list) >= (await world.newest(channel));
      };
      const state = () => JSON.stringify({ state: client.state, log: schedule.log, gaps, last: last(streams[0].items) });
      for (const [channel, list] of [...streams.map(({ channel, items }) => [channel, items]), ["price:BTC", latest], ["price:LINK", all]]) {
        await until(() => isCurrent(channel, list), () => `${channel} to be current; ${state()}`);
      }
      assert.deepEqual(gaps, []);
      assert.deepEqual(losses, [], "losses that the server did not report");
      for (const { channel, items } of streams) {
        const stored = (await world.stored(channel)).filter(({ seq }) => seq <= last(items));
        const plain = items.map(({ prev, snapshot, ...item }) => item);
        assert.deepEqual(plain.map(({ seq }) => seq), stored.map(({ seq }) => seq), `seqs of ${channel}`);
        assert.deepEqual(plain, stored, `updates of ${channel}`);
      }
      assert.deepEqual(all.map(({ seq }) => seq), all.map((_, index) => all[0].seq + index), "price:LINK without a gap");
      for (const [index, { seq }] of latest.entries()) assert.ok(index === 0 || seq > latest[index - 1].seq, "price:BTC rises");
    } catch (error) {
      error.message = `seed ${seed}, faults ${schedule.log.join(" ")}: ${error.message}`;
      throw error;
    } finally {
      await schedule.stop();
    }
    await Promise.all(streams.map(({ ended }) => ended));
  });
}
