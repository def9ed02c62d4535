// A client of the native WebSocket protocol in MessagePack, with standard libraries, compared with one in JSON.
//
//   node tests/clients/msgpack.mjs URL [plain|deflate]
//
// Prints {"step":"subscribed"} when the server has to publish a price of ETH and a block. Exit code 0 when both clients
// received the same messages and every message was decoded; 1, with {"step":"failed"}, otherwise.
import { decode, encode } from "@msgpack/msgpack";
import WebSocket from "ws";

const [url, compression = "plain"] = process.argv.slice(2);
const deflate = compression === "deflate";
const timeoutMs = 110_000;

const report = (step, fields = {}) => console.log(JSON.stringify({ step, ...fields }));
const check = (good, what) => {
  if (!good) throw new Error(what);
};

/** JSON with amounts as strings, as in MessagePack. */
const exact = (text) => JSON.parse(text.replace(/"(price|confidence)":(-?[0-9.eE+-]+)/g, '"$1":"$2"'));

class Client {
  seen = [];
  watchers = new Set();
  ids = 0;

  constructor(protocol) {
    this.packs = protocol === "chaincast.v1.msgpack";
    // A threshold of 0 compresses even the shortest request.
    const perMessageDeflate = deflate && { threshold: 0 };
    this.socket = new WebSocket(url, [protocol], { perMessageDeflate });
    this.socket.on("message", (bytes, binary) => {
      this.seen.push(binary === this.packs ? (binary ? decode(bytes) : exact(bytes.toString())) : { event: "wrong opcode" });
      for (const watcher of this.watchers) watcher();
    });
    this.ended = new Promise((_, reject) => {
      this.socket.on("error", reject);
      this.socket.on("close", (code, reason) => reject(new Error(`closed: ${code} ${reason}`)));
    });
    this.ended.catch(() => {});
  }

  /** The first matching message, received before or later. */
  message(what, matches) {
    let watcher, timer;
    const found = new Promise((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`no ${what} within ${timeoutMs} ms: ${JSON.stringify(this.seen)}`)), timeoutMs);
      watcher = () => {
        const message = this.seen.find(matches);
        if (message) resolve(message);
      };
      this.watchers.add(watcher);
      watcher();
    });
    return Promise.race([found, this.ended]).finally(() => {
      clearTimeout(timer);
      this.watchers.delete(watcher);
    });
  }

  send(message) {
    this.socket.send(this.packs ? encode(message) : JSON.stringify(message));
  }

  /** Sends a request and returns its response. */
  request(event, data, id = ++this.ids) {
    this.send({ id, event, ...(data && { data }) });
    return this.message(`response to ${event}`, (message) => message.id === id);
  }

  live(event) {
    return this.seen.filter((message) => message.event === event && !message.snapshot);
  }
}

/** Compares the live messages of the event that both received, matched by seq. */
async function compare(packed, json, event) {
  let pairs = [];
  await packed.message(`${event} that JSON has, too`, () => {
    const bySeq = new Map(json.live(event).map((message) => [message.seq, message]));
    pairs = packed.live(event).map((message) => [message, bySeq.get(message.seq)]).filter(([, other]) => other);
    return pairs.length > 0;
  });
  for (const [message, other] of pairs) {
    const [one, two] = [JSON.stringify(message), JSON.stringify(other)];
    check(one === two, `msgpack has ${one}, JSON ${two}`);
  }
  return pairs[0][0];
}

async function run() {
  const [packed, json] = [new Client("chaincast.v1.msgpack"), new Client("chaincast.v1.json")];
  for (const client of [packed, json]) {
    const connected = await client.message("connected", (message) => message.event === "connected");
    check(connected.data.clientId && connected.data.epoch, "connected lacks a field");
    check(client.socket.protocol === (client.packs ? "chaincast.v1.msgpack" : "chaincast.v1.json"), "wrong subprotocol");
    check(client.socket.extensions.includes("permessage-deflate") === deflate, `extensions: ${client.socket.extensions}`);
    const answer = await client.request("subscribe", { channels: ["price:ETH", "new-block"] });
    check(answer.data.success, JSON.stringify(answer));
    const snapshot = await client.message("snapshot", (message) => message.event === "price-update" && message.snapshot);
    check(typeof snapshot.data.price === "string" && typeof snapshot.data.confidence === "string", "an amount is not a string");
  }
  report("subscribed");
  // A message may reach either client first, so an arrival at one rechecks the other.
  json.watchers.add(() => packed.watchers.forEach((watcher) => watcher()));
  const price = await compare(packed, json, "price-update");
  check(/^[0-9.]+$/.test(price.data.price) && Number.isInteger(price.data.timestamp), "a price has other types");
  const block = await compare(packed, json, "new-block");
  check(Number.isInteger(block.data.number) && typeof block.data.gasUsed === "string", "a block has other types");

  packed.seen = [];
  const resumed = await packed.request("subscribe", { channel: "new-block", since: block.seq - 1 }, "é");
  check(resumed.data.recovered === true, JSON.stringify(resumed));
  const again = await packed.message("replayed block", (message) => message.event === "new-block" && message.seq === block.seq);
  check(JSON.stringify(again) === JSON.stringify(block), `replayed as ${JSON.stringify(again)}`);
  const pong = await packed.request("ping", undefined, 1.5);
  check(pong.event === "pong" && Number.isInteger(pong.data.timestamp), JSON.stringify(pong));
  const unknown = await packed.request("dance");
  check(unknown.event === "error" && unknown.data.code === "UNKNOWN_EVENT", JSON.stringify(unknown));
  packed.socket.send('{"event":"ping"}');
  const refused = await packed.message("rejection of text", (message) => message.data?.code === "BAD_REQUEST");
  check(refused.event === "error", JSON.stringify(refused));
  const beat = await packed.request("subscribe", { channel: "heartbeat" });
  check(beat.data.success, JSON.stringify(beat));
  await packed.message("heartbeat", (message) => message.event === "heartbeat" && Number.isInteger(message.data.timestamp) && hasChains(message.data));
  check(!packed.seen.concat(json.seen).some((message) => message.event === "wrong opcode"), "a frame of the other kind");
  report("done");
}

run().then(
  () => process.exit(0),
  (error) => {
    report("failed", { message: String(error?.message ?? error) });
    process.exit(1);
  },
);

/** Whether a heartbeat has the status of each chain. */
function hasChains({ chains }) {
  return chains.length > 0 && chains.every(({ chainId, status }) => Number.isInteger(chainId) && ["ok", "lagging", "down"].includes(status));
}
