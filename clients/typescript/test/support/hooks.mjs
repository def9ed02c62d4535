// The tests of the hooks, bundled once for each version of React; react.test.mjs runs them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { JSDOM } from "jsdom";
import { WebSocket } from "ws";

const { window } = new JSDOM("<!doctype html><div id=root></div>");
const { document } = window;
for (const [name, value] of Object.entries({ window, document, navigator: window.navigator })) Object.defineProperty(globalThis, name, { value, configurable: true });
// jsdom refuses the signals of Node.js, and fetch those of jsdom.
const { addEventListener } = document;
document.addEventListener = (type, listener, options) => addEventListener.call(document, type, listener, options?.signal ? {} : options);

const { StrictMode, createElement: h, version } = await import("react");
const { createRoot } = await import("react-dom/client");
const { renderToString } = await import("react-dom/server");
const { createClient } = await import("chaincast");
const { ChaincastProvider, useBlocks, useCandles, useChannel, useConnection, usePrice, usePrices, useTransaction } = await import("chaincast/react");
const { until } = await import("./world.mjs");
const { CHAINCAST_URL: url, CHAINCAST_NODE: node } = process.env;

console.log(`React ${version}`);

const read = async (path) => (await fetch(`${url}/api/v1${path}`)).json();
const rpc = async (method, params = []) => {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  return (await (await fetch(node, { method: "POST", headers: { "content-type": "application/json" }, body })).json()).result;
};
const mine = () => rpc("evm_mine");
const subscriptions = async (client) => (await client.request("subscriptions")).channels.map(({ channel }) => channel);

/** Renders in StrictMode; `run` gets the client, the root and its text. */
async function rendered(element, run) {
  const client = createClient(url, { webSocket: WebSocket });
  const root = createRoot(document.getElementById("root"));
  const show = (child) => root.render(h(StrictMode, null, h(ChaincastProvider, { client }, child)));
  show(element);
  try {
    await run({ client, show, text: () => document.getElementById("root").textContent });
  } finally {
    root.unmount();
    client.close();
  }
}

test("usePrice shows the price, shares a subscription, and ends it with the last component", async () => {
  const Price = () => usePrice("ETH")?.price ?? "…";
  await rendered([h(Price, { key: 1 }), " ", h(Price, { key: 2 })], async ({ client, show, text }) => {
    await until(() => /^\d/.test(text()), "the price");
    const [one, two] = text().split(" ");
    assert.equal(one, two);
    const first = text();
    await until(() => text() !== first, "another price");
    assert.deepEqual(await subscriptions(client), ["price:ETH"]);
    show(h(Price));
    show("nothing");
    await until(async () => (await subscriptions(client)).length === 0, "the subscription to end");
    show(h(Price));
    await until(() => /^\d/.test(text()), "the price again");
  });
});

test("nothing renders without a change", async () => {
  let renders = 0;
  const values = new Set();
  const Price = () => {
    const price = usePrice("BTC");
    renders += 1;
    values.add(price);
    return price?.price ?? "…";
  };
  let updates = 0;
  await rendered(h(Price), async ({ client }) => {
    client.subscribe("price:BTC", () => (updates += 1));
    client.subscribe("heartbeat", () => {});
    await until(() => updates > 3, "updates");
    // StrictMode renders twice.
    assert.ok(renders <= 2 * values.size, `${renders} renders of ${values.size} values`);
  });
});

test("usePrices has several prices by name", async () => {
  const Prices = () => Object.keys(usePrices(["ETH", "BTC"])).sort().join();
  await rendered(h(Prices), ({ text }) => until(() => text() === "BTC,ETH", "both prices"));
});

test("useBlocks has the newest blocks, newest first, without a gap", async () => {
  let blocks = [];
  const Blocks = () => ((blocks = useBlocks(5)), blocks.length);
  await mine();
  await rendered(h(Blocks), async () => {
    await until(() => blocks.length === 5, "five blocks");
    const first = blocks[0].number;
    await mine();
    await until(() => blocks[0].number > first, "another block");
    assert.deepEqual(blocks.map(({ number }) => blocks[0].number - number), [0, 1, 2, 3, 4]);
    for (const [index, { parentHash }] of blocks.slice(0, 4).entries()) assert.equal(parentHash, blocks[index + 1].hash);
  });
});

test("useCandles joins history to the live candle", async () => {
  let candles = [];
  const Candles = () => ((candles = useCandles("ETH", "1m", 50)), candles.length);
  await rendered(h(Candles), async () => {
    await until(() => candles.length > 0, "candles");
    const { count } = candles.at(-1);
    await until(() => candles.at(-1).count > count || candles.at(-1).count === 1, "a live candle");
    const { data } = await read("/prices/ETH/candles?interval=1m&limit=50");
    assert.deepEqual(Object.keys(candles.at(-1)).sort(), Object.keys(data[0]).sort());
    assert.equal(candles[0].timestamp, data[0].timestamp);
  });
});

test("useTransaction follows a transaction", async () => {
  const [from] = await rpc("eth_accounts");
  const hash = await rpc("eth_sendTransaction", [{ from, to: from, value: "0x1" }]);
  const Transaction = () => useTransaction(hash)?.status ?? "…";
  await rendered(h(Transaction), ({ text }) => until(() => /included|confirmed|finalized/.test(text()), "the status"));
});

test("useChannel has the error of a channel that is refused", async () => {
  const Channel = () => useChannel("price:NOPE").error?.code ?? "…";
  await rendered(h(Channel), ({ text }) => until(() => text() === "UNKNOWN_CHANNEL", "the error"));
});

test("useConnection follows the connection", async () => {
  const Connection = () => useConnection().phase;
  await rendered(h(Connection), async ({ client, text }) => {
    await until(() => text() === "idle", "the first render");
    client.connect();
    await until(() => text() === "live", "the connection");
    client.close();
    await until(() => text() === "closed", "the end");
  });
});

test("a server renders without a connection", () => {
  const client = createClient(url, { webSocket: WebSocket });
  const Price = () => usePrice("ETH")?.price ?? "…";
  assert.equal(renderToString(h(ChaincastProvider, { client }, h(Price))), "…");
  assert.equal(client.state.phase, "idle");
});

test("a hook without a provider says what is missing", () => {
  const Price = () => usePrice("ETH")?.price ?? "…";
  assert.throws(() => renderToString(h(Price)), /ChaincastProvider/);
});
