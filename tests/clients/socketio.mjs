// Drives the real socket.io-client against a server and prints what happens, one JSON object a line.
//
//   node tests/clients/socketio.mjs URL SCENARIO [--token JWT] [--channel price:ETH] [--since N] [--epoch ID] [--mode all]
//
// Every line has `step`; an event of the server is {"step": EVENT, "data": …}. Ends with 0 when the scenario went
// as it should, with 1 and {"step":"failed"} when it did not.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const [url, scenario, ...rest] = process.argv.slice(2);
const options = {};
for (let i = 0; i < rest.length; i += 2) options[rest[i].replace(/^--/, "")] = rest[i + 1];
const channel = options.channel ?? "price:ETH";
const patience = Number(options.patience ?? 110_000);

const say = (step, fields = {}) => console.log(JSON.stringify({ step, ...fields }));

/** A socket whose every event is printed and remembered. */
function open(namespace, clientOptions) {
  const socket = io(url + namespace, { forceNew: true, reconnection: false, timeout: patience, ...clientOptions });
  socket.seen = [];
  socket.watchers = [];
  const note = (event, data) => {
    socket.seen.push({ event, data });
    say(event, { data });
    for (const watcher of [...socket.watchers]) watcher();
  };
  socket.onAny((event, data) => note(event, data));
  socket.on("connect", () => note("connect", { id: socket.id, transport: socket.io.engine.transport.name }));
  socket.on("connect_error", (error) => note("connect_error", { message: error.message, data: error.data }));
  socket.on("disconnect", (reason) => note("disconnect", { reason }));
  socket.io.on("open", () => socket.io.engine.on("upgrade", (transport) => note("upgrade", { transport: transport.name })));
  return socket;
}

/** The first event that was or will be seen and that fits. */
function seen(socket, event, fits = () => true) {
  return new Promise((resolve, reject) => {
    let timer;
    const look = () => {
      const found = socket.seen.find((entry) => entry.event === event && fits(entry.data));
      if (!found) return;
      clearTimeout(timer);
      socket.watchers = socket.watchers.filter((watcher) => watcher !== look);
      resolve(found.data);
    };
    timer = setTimeout(() => reject(new Error(`no ${event} within ${patience} ms`)), patience);
    socket.watchers.push(look);
    look();
  });
}

const ask = (socket, event, ...args) => socket.timeout(patience).emitWithAck(event, ...args);
const check = (good, what) => {
  if (!good) throw new Error(what);
};
const auth = options.token === undefined ? {} : { token: options.token };

/** Connect, be greeted, subscribe, get what was asked for and blocks without asking, ping, leave. */
async function tour(transports, expectUpgrade) {
  const socket = open("/realtime", { auth, ...(transports && { transports }) });
  const connect = await seen(socket, "connect");
  const connected = await seen(socket, "connected");
  check(connected.clientId === connect.id, "clientId is not the socket's id");
  check(socket.io.engine.id !== connect.id, "the transport's secret id is the public one");
  check(options.token === undefined || connected.user?.sub, "the token's user is not named");

  const ack = await ask(socket, "subscribe", { channel });
  say("subscribed", { data: ack });
  check(ack.success === true && ack.channel === channel, "subscribe was not acknowledged");
  const price = await seen(socket, "price-update");
  check(price.token && typeof price.price === "number" && typeof price.timestamp === "number", "price-update lacks a field");
  check(price.channel === channel && Number.isInteger(price.seq), "price-update lacks its position");
  await seen(socket, "price-update", (data) => data.snapshot !== true);
  const block = await seen(socket, "new-block");
  check(Number.isInteger(block.number) && block.hash && block.timestamp, "new-block lacks a field");
  await seen(socket, "new-block", (data) => data.snapshot !== true);
  if (expectUpgrade) await seen(socket, "upgrade", (data) => data.transport === "websocket");

  const pong = await ask(socket, "ping");
  say("pinged", { data: pong });
  check(typeof pong.timestamp === "number", "the ack of ping has no timestamp");
  await seen(socket, "pong");
  const channels = await ask(socket, "subscriptions");
  say("subscriptions", { data: channels });
  check(channels.success === true, "subscriptions was refused");
  await followChains(socket);
  const refused = await ask(socket, "subscribe", "nope");
  say("refused", { data: refused });
  check(refused.success === false && refused.error.code === "UNKNOWN_CHANNEL", "an unknown channel was not refused");
  socket.emit("dance");
  check((await seen(socket, "error")).code === "UNKNOWN_EVENT", "an unknown event was not refused");
  const binary = await ask(socket, "subscribe", Buffer.from([1, 2, 3]));
  check(binary.success === false && binary.error.code === "BAD_REQUEST", "a binary event was not refused");
  const left = await ask(socket, "unsubscribe", { channel });
  check(left.success === true, "unsubscribe was refused");
  gapless(socket);
  say("transport", { data: socket.io.engine.transport.name });
  socket.disconnect();
}

/** Takes heartbeats until every chain is ok, with a head and both ages; what each of them has is checked. */
async function followChains(socket) {
  const joined = await ask(socket, "subscribe", "heartbeat");
  check(joined.success === true && joined.channel === "heartbeat", "heartbeat was refused");
  // Null: the database could not be read in time for this one.
  const beat = await seen(socket, "heartbeat", ({ chains }) => chains !== null && (!good(chains) || chains.every(isWell)));
  say("chains", { data: beat.chains });
  const wrong = socket.seen.find(({ event, data }) => event === "heartbeat" && data.chains !== null && !good(data.chains));
  check(!wrong, `a heartbeat's chains: ${JSON.stringify(wrong?.data)}`);
  check((await ask(socket, "unsubscribe", "heartbeat")).success === true, "unsubscribe was refused");
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
  basic: () => tour(undefined, true),
  "polling-only": () => tour(["polling"], false),
  "websocket-only": () => tour(["websocket"], false),

  async "bad-token"() {
    const socket = open("/realtime", { auth: { token: options.token ?? "not.a.token" } });
    const error = await seen(socket, "connect_error");
    check(["UNAUTHORIZED", "TOKEN_EXPIRED"].includes(error.data?.code), "the refusal has no code");
    check(error.message.length > 0 && !socket.connected, "the refusal says nothing");
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
    check(socket.io.engine.id === engine, "it came back on another connection");
    const ack = await ask(socket, "subscriptions");
    say("rejoined", { data: ack });
    socket.disconnect();
  },

  async resume() {
    const socket = open("/realtime", { auth: { ...auth, autoSubscribe: false } });
    const { epoch } = await seen(socket, "connected");
    const since = Number(options.since ?? 0);
    const ack = await ask(socket, "subscribe", { channel, since, epoch: options.epoch ?? epoch });
    say("subscribed", { data: ack });
    check(ack.success === true, "subscribe was refused");
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

  /** Prints every event until standard input ends; comes back by itself and resumes where it was. */
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
        say("subscribed", { data: await ask(socket, "subscribe", request) });
      } catch (error) {
        say("unanswered", { message: error.message }); // the connection went meanwhile; it will be asked again
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
  say("done");
  process.exit(0);
} catch (error) {
  say("failed", { message: error.message });
  process.exit(1);
}
