// The live page: creates the client and the parts of the page, and connects them.

import { get } from './api.js';
import { Blocks } from './blocks.js';
import { Chart } from './chart.js';
import { byId, setText } from './dom.js';
import { Connection } from './connection.js';
import { Console } from './console.js';
import { Integrity } from './integrity.js';
import { Prices } from './prices.js';
import { Live } from './live.js';
import { showSnippets } from './connect.js';

const CHANNELS = ['new-block', 'heartbeat'];
const LOAD_AGAIN_MS = 5000;

const url = `${location.protocol === 'https:' ? 'wss:' : 'ws:'}//${location.host}/realtime`;
const client = new Live(url);
const connection = new Connection(client);
const prices = new Prices(client);
const chart = new Chart(client);
const blocks = new Blocks(client);
const console_ = new Console(url);
new Integrity(client);
showSnippets();

let again = null;
const loaded = { prices: false, blocks: false };

blocks.onFacts = (facts) => connection.facts(facts);
console_.onToken = (token) => {
  if (client.state.phase === 'refused') client.authenticate(token);
};
client.addEventListener('update', ({ detail }) => {
  if (detail.event !== 'heartbeat') return;
  connection.facts({ head: headOf(detail.data?.head) });
  connection.nodes(detail.data?.chains);
});
client.addEventListener('state', ({ detail }) => {
  if (detail.phase === 'live') load();
});

client.subscribe(CHANNELS);
client.start();
load();

/** Loads what the stream does not send. Failures are retried after 5 s, and at the next connection. */
async function load() {
  const parts = [loadStatus()];
  if (!loaded.prices) parts.push(loadPrices());
  if (!loaded.blocks) parts.push(loadBlocks());
  await Promise.all(parts);
  clearTimeout(again);
  if (!loaded.prices || !loaded.blocks) again = setTimeout(load, LOAD_AGAIN_MS);
}

async function loadPrices() {
  loaded.prices = true;
  try {
    await prices.load();
    console_.suggest(prices.channels);
    chart.offer(prices.symbols);
    if (prices.channels.length > 0) showSnippets(prices.channels[0]);
  } catch {
    loaded.prices = false; // the card area shows the error
  }
}

async function loadBlocks() {
  loaded.blocks = true;
  try {
    await blocks.load();
  } catch {
    loaded.blocks = false; // live blocks still arrive
  }
}

async function loadStatus() {
  try {
    const status = await get('/status');
    const chain = status.chains?.[0] ?? {};
    connection.facts({ chainId: chain.chainId ?? chain.chain_id ?? chain.id, head: headOf(chain.head) });
    blocks.finalize(headOf(chain.finalized));
    if (status.version) setText(byId('version'), status.version);
  } catch {
    // the stream fills the status line later
  }
}

/** The number of a block, from a number or a block object. */
function headOf(value) {
  const number = typeof value === 'object' && value !== null ? value.number : value;
  return number === null || number === undefined ? undefined : Number(number);
}
