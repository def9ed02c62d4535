// Runs the real socket.io-client against a server and prints its events, one JSON object a line.
//
//   node tests/clients/socketio.mjs URL SCENARIO [--token JWT] [--channel price:ETH] [--since N] [--epoch ID] [--mode all]
//
// Every line has `step`; an event of the server is {"step": EVENT, "data": …}. Exit code 0 when the scenario
// succeeded; 1, with {"step":"failed"}, otherwise.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const [url, scenario, ...rest] = process.argv.slice(2);
const options = {};
for (let i = 0; i < rest.length; i += 2) options[rest[i].replace(/^--/, "")] = rest[i + 1];
const channel = options.channel ?? "price:ETH";
const timeoutMs = Number(options.timeout ?? 110_000);

const report = (step, fields = {}) => console.log(JSON.stringify({ step, ...fields }));

/** A socket that prints and records every event. */
function open(namespace, clientOptions) {
  const socket = io(url + namespace, { forceNew: true, reconnection: false, timeout: timeoutMs, ...clientOptions });
  socket.seen = [];
  socket.watchers = [];
  const note = (event, data) => {
    socket.seen.push({ event, data });
    report(event, { data });
    for (const watcher of [...socket.watchers]) watcher();
  };
  socket.onAny((event, data) => note(event, data));
  socket.on("connect", () => note("connect", { id: socket.id, transport: socket.io.engine.transport.name }));
  socket.on("connect_error", (error) => note("connect_error", { message: error.message, data: error.data }));
  socket.on("disconnect", (reason) => note("disconnect", { reason }));
  socket.io.on("open", () => socket.io.engine.on("upgrade", (transport) => note("upgrade", { transport: transport.name })));
  return socket;
}

/** The first matching event, received before or later. */
function seen(socket, event, matches = () => true) {
  return new Promise((resolve, reject) => {
    let timer;
    const checkSeen = () => {
      const found = socket.seen.find((entry) => entry.event === event && matches(entry.data));
      if (!found) return;
      clearTimeout(timer);
      socket.watchers = socket.watchers.filter((watcher) => watcher !== checkSeen);
      resolve(found.data);
    };
    timer = setTimeout(() => reject(new Error(`no ${event} within ${timeoutMs} ms`)), timeoutMs);
    socket.watchers.push(checkSeen);
    checkSeen();
  });
}

const emitRequest = (socket, event, ...args) => socket.timeout(timeoutMs).emitWithAck(event, ...args);
const check = (good, what) => {
  if (!good) throw new Error(what);
};
const auth = options.token === undefined ? {} : { token: options.token };

/** Connects, is greeted, subscribes, receives the subscribed channel and blocks by default, pings, disconnects. */
async function runAll(transports, expectUpgrade) {
  const socket = open("/realtime", { auth, ...(transports && { transports }) });
  const connect = await seen(socket, "connect");
  const connected = await seen(socket, "connected");
  check(connected.clientId === connect.id, "clientId is not the socket's id");
  check(socket.io.engine.id !== connect.id, "the transport's secret id is the public one");
  check(options.token === undefined || connected.user?.sub, "the token's user is not named");

  const ack = await emitRequest(socket, "subscribe", { channel });
  report("subscribed", { data: ack });
  check(ack.success === true && ack.channel === channel, "subscribe was not acknowledged");
  const price = await seen(socket, "price-update");
  check(price.token && typeof price.price === "number" && typeof price.timestamp === "number", "price-update lacks a field");
  check(price.channel === channel && Number.isInteger(price.seq), "price-update lacks its position");
  await seen(socket, "price-update", (data) => data.snapshot !== true);
  const block = await seen(socket, "new-block");
  check(Number.isInteger(block.number) && block.hash && block.timestamp, "new-block lacks a field");
  await seen(socket, "new-block", (data) => data.snapshot !== true);
  if (expectUpgrade) await seen(socket, "upgrade", (data) => data.transport === "websocket");

  const pong = await emitRequest(socket, "ping");
  report("pinged", { data: pong });
  check(typeof pong.timestamp === "number", "the ack of ping has no timestamp");
  await seen(socket, "pong");
  const channels = await emitRequest(socket, "subscriptions");
  report("subscriptions", { data: channels });
  check(channels.success === true, "subscriptions was rejected");
  await followChains(socket);
  const refused = await emitRequest(socket, "subscribe", "nope");
  report("refused", { data: refused });
  check(refused.success === false && refused.error.code === "UNKNOWN_CHANNEL", "an unknown channel was not rejected");
  socket.emit("dance");
  check((await seen(socket, "error")).code === "UNKNOWN_EVENT", "an unknown event was not rejected");
  const binary = await emitRequest(socket, "subscribe", Buffer.from([1, 2, 3]));
  check(binary.success === false && binary.error.code === "BAD_REQUEST", "a binary event was not rejected");
  const left = await emitRequest(socket, "unsubscribe", { channel });
  check(left.success === true, "unsubscribe was rejected");
  gapless(socket);
  report("transport", { data: socket.io.engine.transport.name });
  socket.disconnect();
}

/** Reads heartbeats until every chain is ok, with a head and both ages; checks each heartbeat. */
async function followChains(socket) {
  const joined = await emitRequest(socket, "subscribe", "heartbeat");
  check(joined.success === true && joined.channel === "heartbeat", "heartbeat was rejected");
  // Null: the database could not be read in time for this heartbeat.
  const beat = await seen(socket, "heartbeat", ({ chains }) => chains !== null && (!good(chains) || chains.every(isWell)));
  report("chains", { data: beat.chains });
  const wrong = socket.seen.find(({ event, data }) => event === "heartbeat" && data.chains !== null && !good(data.chains));
  check(!wrong, `a heartbeat's chains: ${JSON.stringify(wrong?.data)}`);
  check((await emitRequest(socket, "unsubscribe", "heartbeat")).success === true, "unsubscribe was rejected");
}

const CHAIN_KEYS = ["chainId", "head", "headAgeMs", "nodeAgeMs", "status"];
const good = (chains) =>
  Array.isArray(chains) &&
  chains.length > 0 &&
  chains.every(
    (chain) =>
      JSON.stringify(Object.keys(chain).sort()) === JSON.stringify(CHAIN_KEYS) &&
      Number.isInteger(chain.chainId) &&
      ["head", "headAgeMs", "nodeAgeMs"].every((key) => chain[key] === null || Number.isInteger(chain[key])) &&
      ["ok", "lagging", "down"].includes(chain.status),
  );
const isWell = (chain) => chain.status === "ok" && Number.isInteger(chain.head) && chain.headAgeMs !== null && chain.nodeAgeMs !== null;

/** Every block must follow the one before it. */
function gapless(socket) {
  let last;
  for (const { event, data } of socket.seen) {
    if (data?.channel !== "new-block") continue;
    if (last !== undefined && data.seq !== last + 1) throw new Error(`${event} ${data.seq} came after ${last}`);
    last = data.seq;
  }
}

const scenarios = {
  basic: () => runAll(undefined, true),
  "polling-only": () => runAll(["polling"], false),
  "websocket-only": () => runAll(["websocket"], false),

  async "bad-token"() {
    const socket = open("/realtime", { auth: { token: options.token ?? "not.a.token" } });
    const error = await seen(socket, "connect_error");
    check(["UNAUTHORIZED", "TOKEN_EXPIRED"].includes(error.data?.code), "the rejection has no code");
    check(error.message.length > 0 && !socket.connected, "the rejection has no message");
    const nameless = open("/realtime", { auth: { token: "" } });
    await seen(nameless, "connected", (data) => data.user === null);
    nameless.disconnect();
  },

  async "bad-namespace"() {
    for (const namespace of ["/", "/other"]) {
      const socket = open(namespace, {});
      const error = await seen(socket, "connect_error");
      check(error.message === "Invalid namespace", `${namespace}: ${error.message}`);
      socket.disconnect();
    }
  },

  /** Leaves the namespace and joins it again on the same connection. */
  async rejoin() {
    const socket = open("/realtime", { auth });
    await seen(socket, "connected");
    const other = socket.io.socket("/other"); // keeps the connection open meanwhile
    other.connect();
    const engine = socket.io.engine.id;
    socket.disconnect();
    socket.seen = [];
    socket.connect();
    await seen(socket, "connected");
    check(socket.io.engine.id === engine, "it rejoined on another connection");
    const ack = await emitRequest(socket, "subscriptions");
    report("rejoined", { data: ack });
    socket.disconnect();
  },

  /** Uses a room with another device of the same user, and gets an announcement that it did not subscribe to. */
  async rooms() {
    const [socket, device] = [open("/realtime", { auth }), open("/realtime", { auth })];
    const room = "room:open-1";
    for (const each of [socket, device]) {
      await seen(each, "connected");
      const joined = await emitRequest(each, "subscribe", { channel: room });
      check(joined.success === true && joined.channel === room, "the room was refused");
    }
    const quiet = { channel: room, type: "chat", payload: { text: "hi" }, key: "k1", echo: false };
    for (const message of [quiet, quiet]) {
      const ack = await emitRequest(socket, "publish", message);
      check(ack.success === true && ack.seq === 1, `the message was not stored once: ${JSON.stringify(ack)}`);
    }
    const loud = await emitRequest(socket, "publish", { channel: room, type: "chat", payload: null });
    check(loud.seq === 2, "the second message has no seq");
    await seen(socket, "room-message", (data) => data.seq === 2);
    check(!socket.seen.some(({ event, data }) => event === "room-message" && data.seq === 1), "there was an echo");
    const first = await seen(device, "room-message", (data) => data.seq === 1);
    check(first.from && first.payload.text === "hi" && first.channel === room, "the message lacks a field");
    check((await emitRequest(socket, "signal", { channel: room, type: "typing" })).success === true, "signal was refused");
    await seen(device, "room-signal", (data) => data.type === "typing" && data.seq === undefined);
    check(!socket.seen.some(({ event }) => event === "room-signal"), "the sender got its signal");
    const refused = await emitRequest(socket, "publish", { channel: "room:a b", type: "chat" });
    check(refused.success === false && refused.error.code === "UNKNOWN_CHANNEL", "a bad room was not refused");
    report("subscribed", { data: null });
    for (const each of [socket, device]) await seen(each, "announcement");
    socket.disconnect();
    device.disconnect();
  },

  /** Must not reconnect by itself when a moderator ends its session. */
  async disconnected() {
    const socket = open("/realtime", { auth, reconnection: true });
    await seen(socket, "connected");
    const { reason } = await new Promise((resolve) => socket.on("disconnect", (reason) => resolve({ reason })));
    report("disconnected", { data: reason });
    check(!socket.active, "it reconnects");
  },

  async resume() {
    const socket = open("/realtime", { auth: { ...auth, autoSubscribe: false } });
    const { epoch } = await seen(socket, "connected");
    const since = Number(options.since ?? 0);
    const ack = await emitRequest(socket, "subscribe", { channel, since, epoch: options.epoch ?? epoch });
    report("subscribed", { data: ack });
    check(ack.success === true, "subscribe was rejected");
    if (ack.recovered) {
      const have = () => socket.seen.filter(({ data }) => data?.channel === ack.channel).map(({ data }) => data.seq);
      if (ack.seq > since) await seen(socket, eventOf(channel), (data) => data.seq >= ack.seq);
      const wanted = Array.from({ length: ack.seq - since }, (_, i) => since + 1 + i);
      check(JSON.stringify(have().slice(0, wanted.length)) === JSON.stringify(wanted), `replayed ${have()}, not ${wanted}`);
    } else {
      await seen(socket, eventOf(channel), (data) => data.snapshot === true);
    }
    check(!socket.seen.some(({ data }) => data?.channel === "new-block") || channel === "new-block", "joined to new-block");
    socket.disconnect();
  },

  /** Prints every event until standard input ends; reconnects by itself and resumes at its position. */
  async follow() {
    const channels = channel.split(",");
    const wanted = options.channel ? channels : ["new-block"];
    const transports = options.transports?.split(",");
    const reconnection = { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 500 };
    const socket = open("/realtime", { auth: { ...auth, autoSubscribe: false }, ...reconnection, ...(transports && { transports }) });
    const positions = {};
    let epoch;
    socket.onAny((_, data) => {
      if (data?.channel && data.seq) positions[data.channel] = data.seq;
    });
    socket.on("connected", async (data) => {
      epoch ??= data.epoch;
      try {
        const request = { channels: wanted, epoch, ...(options.mode && { mode: options.mode }) };
        if (Object.keys(positions).length > 0) request.since = { ...positions };
        report("subscribed", { data: await emitRequest(socket, "subscribe", request) });
      } catch (error) {
        report("unanswered", { message: error.message }); // the connection was lost meanwhile; the next one requests it again
      }
    });
    await new Promise((resolve) => createInterface({ input: process.stdin }).on("close", resolve));
    socket.disconnect();
  },
};

const eventOf = (name) => (name.startsWith("price:") ? "price-update" : name.split(":")[0]);

try {
  const run = scenarios[scenario];
  if (!run) throw new Error(`no such scenario: ${scenario}; there are ${Object.keys(scenarios).join(", ")}`);
  await run();
  report("done");
  process.exit(0);
} catch (error) {
  report("failed", { message: error.message });
  process.exit(1);
}
