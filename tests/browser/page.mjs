// Tests the live page in a real Chromium against a running server.
//
//   node tests/browser/page.mjs URL [--screenshots DIR] [--deadline SECONDS]
//   node tests/browser/page.mjs URL --expect-reorg | --expect-reconnect   (both may be given, in this order)
//
// Without an --expect option it checks every part of the page. With one it opens the page, prints a line that
// starts with "ready: watching", and waits for the event that the caller then causes; "ok: …" reports it.
// Exit code 0 when every step passed, 1 otherwise. The browser is $CHROMIUM, or Debian's.
// Every wait is for a condition and has a deadline.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { launch } from './chromium.mjs';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    screenshots: { type: 'string' },
    deadline: { type: 'string', default: '30' },
    'expect-reorg': { type: 'boolean', default: false },
    'expect-reconnect': { type: 'boolean', default: false },
  },
});
const url = positionals[0];
const deadline = Number(options.deadline) * 1000;
if (!url || !URL.canParse(url) || !(deadline > 0)) {
  console.error('usage: node page.mjs URL [--screenshots DIR] [--deadline SECONDS] [--expect-reorg] [--expect-reconnect]');
  process.exit(2);
}
const origin = new URL(url).origin;
const DESKTOP = { width: 1280, height: 900 };
const PHONES = [{ width: 390, height: 844 }, { width: 360, height: 740 }];

/** Errors of the page, collected while it runs. */
const faults = [];
/** While the server is stopped, failed connections are expected in the console. */
let serverMayBeDown = false;

const browser = await launch();
let page = null;
try {
  page = await open(DESKTOP, 'light');
  if (options['expect-reorg'] || options['expect-reconnect']) {
    if (options['expect-reorg']) await expectReorg();
    if (options['expect-reconnect']) await expectReconnect();
  } else {
    await step('prices', checkPrices);
    await step('chart', checkChart);
    await step('blocks', checkBlocks);
    await step('console', checkConsole);
    await step('phone', checkPhones);
    await screenshots();
  }
  if (faults.length > 0) throw new Error(`the page had faults:\n  ${faults.join('\n  ')}`);
  console.log('ok: no console error, no request outside the origin');
  console.log('passed');
} catch (error) {
  process.exitCode = 1;
  console.error(`failed: ${error.message}`);
  for (const fault of faults) console.error(`  fault: ${fault}`);
  if (page) console.error(await describe(page));
  if (page && options.screenshots) await shot(page, 'failed');
} finally {
  await browser.close();
}

// ---- steps ----

async function step(name, run) {
  try {
    console.log(`ok: ${name}: ${await run()}`);
  } catch (error) {
    throw new Error(`${name}: ${error.message}`, { cause: error });
  }
}

async function checkPrices() {
  const tokens = (await fetchJson('/api/v1/tokens')).data.map((token) => token.symbol);
  if (tokens.length === 0) throw new Error('the server lists no token, so the page has no price to show');
  for (const symbol of tokens) await page.waitForSelector(`[data-card="${symbol}"]`);
  await page.waitForFunction((symbols) => symbols.some((symbol) => /\d/.test(document.querySelector(`[data-card="${symbol}"] [data-price]`).textContent)), tokens);
  const before = await cardTexts();
  console.log('ready: watching for a live price');
  const changed = await page.waitForFunction(
    (old) => [...document.querySelectorAll('[data-card]')].map((card) => [card.dataset.card, card.querySelector('[data-price]').title.split('\n')[0]]).find(([symbol, price]) => /\d/.test(old[symbol] ?? '') && price !== old[symbol]),
    before,
  );
  const [symbol, after] = await changed.jsonValue();
  const line = await page.getAttribute(`[data-card="${symbol}"] .spark-line`, 'd');
  if (!line.includes('L')) throw new Error(`the sparkline of ${symbol} has no line: ${line}`);
  return `cards for ${tokens.join(', ')}; ${symbol} moved from ${before[symbol]} to ${after}`;
}

async function checkChart() {
  const chart = (name) => page.getAttribute('#chart', `data-${name}`);
  await page.waitForFunction(() => Number(document.getElementById('chart').dataset.candles) > 0);
  await page.waitForSelector('#chart canvas');
  const token = await page.inputValue('#chart-token');
  if ((await chart('channel')) !== `candle:${token}:1m`) throw new Error(`the chart follows ${await chart('channel')}`);
  const before = { newest: await chart('newest'), count: await chart('count') };
  console.log(`ready: watching for a live candle of ${token}`);
  await page.waitForFunction((old) => {
    const { newest, count } = document.getElementById('chart').dataset;
    return newest !== old.newest || count !== old.count;
  }, before);
  // History and live candles must add up to what the server returns now.
  const shown = await page.$eval('#chart', ({ dataset }) => Object.fromEntries(['oldest', 'newest', 'candles', 'faults'].map((name) => [name, Number(dataset[name])])));
  if (shown.faults > 0) throw new Error(`the chart has gaps: ${JSON.stringify(shown)}`);
  const { data } = await fetchJson(`/api/v1/prices/${token}/candles?interval=1m&from=${shown.oldest}&to=${shown.newest + 1}&limit=1000`);
  if (data.length !== shown.candles || data[0].timestamp !== shown.oldest) throw new Error(`the server has ${data.length} candles, the chart ${JSON.stringify(shown)}`);
  await page.click('#chart-intervals [data-interval="1h"]');
  await page.waitForFunction((channel) => document.getElementById('chart').dataset.channel === channel, `candle:${token}:1h`);
  await page.waitForSelector('#streams [data-stream^="candle:"][data-stream$=":1h"]');
  await page.waitForFunction(() => !document.querySelector('#streams [data-stream$=":1m"]'));
  const status = await chart('status');
  if (!['ok', 'degraded', 'stale', 'waiting'].includes(status)) throw new Error(`the chart's status is ${status}`);
  return `${shown.candles} candles of ${token} without a gap, a live one, then candle:${token}:1h; ${status}`;
}

async function checkBlocks() {
  const top = () => page.$eval('#blocks > li', (row) => Number(row.dataset.number));
  await page.waitForSelector('#blocks > li');
  const first = await top();
  console.log('ready: watching for a live block');
  await page.waitForFunction((number) => Number(document.querySelector('#blocks > li').dataset.number) > number, first);
  const next = await top();
  const numbers = await page.$$eval('#blocks > li', (rows) => rows.map((row) => Number(row.dataset.number)));
  if (numbers.some((number, index) => index > 0 && number > numbers[index - 1])) throw new Error(`rows are out of order: ${numbers}`);
  const twice = await page.$$eval('#blocks > li', (rows) => rows.length - new Set(rows.map((row) => row.dataset.hash)).size);
  if (twice > 0) throw new Error(`${twice} block(s) are shown twice`);
  const head = (await page.textContent('#head')).replace(/\D/g, '');
  if (Number(head) < next) throw new Error(`the head is ${head} while the list is at ${next}`);
  return `#${next} arrived above #${first}, ${numbers.length} rows`;
}

async function checkConsole() {
  await subscribe('price:BTC');
  await page.waitForSelector('#console-log .entry[data-kind="ack"]');
  await page.waitForSelector('#console-log .entry[data-channel="price:BTC"]');
  const message = await page.$eval('#console-log .entry[data-channel="price:BTC"] code', (code) => code.textContent);
  if (!/"price":-?\d/.test(message)) throw new Error(`the raw message has no price: ${message}`);
  await subscribe('no-such-channel');
  await page.waitForFunction(() => document.getElementById('console-answer').textContent.includes('UNKNOWN_CHANNEL'));
  await page.waitForSelector('#console-log .entry[data-kind="error"]');
  await page.click('#console-pause');
  const held = await page.getAttribute('#console-pause', 'aria-pressed');
  await page.click('#console-pause');
  if (held !== 'true') throw new Error('Pause has no aria-pressed');
  await page.click('#console-subs [data-drop="price:BTC"]');
  await page.waitForFunction(() => document.getElementById('console-answer').textContent.startsWith('Unsubscribed from price:BTC'));
  return 'messages from price:BTC, UNKNOWN_CHANNEL for no-such-channel, unsubscribed';
}

async function checkPhones() {
  const widths = [];
  for (const size of PHONES) {
    const phone = await open(size, 'dark');
    await phone.waitForSelector('#blocks > li');
    await phone.waitForSelector('[data-card]');
    const [content, screen] = await phone.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    if (content > screen) throw new Error(`at ${size.width} px the page is ${content} px wide: ${await phone.evaluate(widest)}`);
    widths.push(`${content} ≤ ${screen}`);
    await phone.close();
  }
  return `no sideways scroll: ${widths.join(', ')}`;
}

async function expectReorg() {
  await page.waitForSelector('#blocks > li');
  console.log('ready: watching for a reorg');
  await page.waitForSelector('#reorg[data-seen="true"]');
  await page.waitForSelector('#blocks > li[data-state="dropped"]');
  const notice = await page.textContent('#reorg');
  const dropped = await page.$$eval('#blocks > li[data-state="dropped"]', (rows) => rows.map((row) => row.dataset.number));
  if (options.screenshots) await shot(page, 'reorg');
  console.log(`ok: reorg shown: ${notice}; struck out: ${dropped.join(', ')}`);
}

async function expectReconnect() {
  await page.waitForFunction(() => [...document.querySelectorAll('#streams tr')].some((row) => /\d/.test(row.children[1].textContent)));
  serverMayBeDown = true;
  console.log('ready: watching for a reconnect');
  await page.waitForSelector('#connection:not([data-phase="live"])');
  const reason = await page.textContent('#story');
  console.log(`ok: connection lost: ${reason}`);
  await page.waitForSelector('#connection[data-phase="live"]');
  await page.waitForSelector('#story[data-recovered]');
  const story = await page.textContent('#story');
  if (options.screenshots) await shot(page, 'reconnected');
  if ((await page.getAttribute('#story', 'data-recovered')) !== 'true') throw new Error(`the page reconnected without recovering: ${story}`);
  serverMayBeDown = false;
  console.log(`ok: reconnected: ${story}`);
}

async function screenshots() {
  if (!options.screenshots) return;
  for (const scheme of ['light', 'dark']) {
    for (const size of [DESKTOP, PHONES[0]]) {
      const view = await open(size, scheme);
      await view.waitForSelector('#blocks > li');
      await view.waitForFunction(() => document.querySelector('.spark-line')?.getAttribute('d').includes('L'));
      await shot(view, `${size.width}-${scheme}`);
      await view.close();
    }
  }
  console.log(`ok: screenshots in ${options.screenshots}`);
}

// ---- helpers ----

/** A page of this size that has loaded and is live. */
async function open(viewport, colorScheme) {
  const view = await browser.newPage({ viewport, colorScheme });
  view.setDefaultTimeout(deadline);
  view.on('pageerror', (error) => faults.push(`error thrown: ${error.message}`));
  view.on('console', (message) => {
    if (message.type() === 'error' && !serverMayBeDown) faults.push(`console error: ${message.text()} (${message.location().url})`);
  });
  view.on('request', (request) => checkOrigin(request.url()));
  view.on('websocket', (socket) => checkOrigin(socket.url()));
  await view.goto(url);
  await view.waitForSelector('#connection[data-phase="live"]');
  return view;
}

function checkOrigin(requested) {
  const { protocol, origin: requestedOrigin, host } = new URL(requested);
  const same = protocol.startsWith('ws') ? host === new URL(url).host : requestedOrigin === origin;
  if (!same && protocol !== 'data:') faults.push(`request outside the origin: ${requested}`);
}

async function subscribe(channel) {
  await page.fill('#console-channel', channel);
  await page.press('#console-channel', 'Enter');
}

/** symbol → the full text of its price */
function cardTexts() {
  return page.$$eval('[data-card]', (cards) => Object.fromEntries(cards.map((card) => [card.dataset.card, card.querySelector('[data-price]').title.split('\n')[0]])));
}

async function fetchJson(path) {
  const response = await fetch(new URL(path, url), { signal: AbortSignal.timeout(deadline) });
  if (!response.ok) throw new Error(`GET ${path}: status ${response.status}`);
  return response.json();
}

function widest() {
  const reaching = [...document.querySelectorAll('body *')].filter((element) => element.getBoundingClientRect().right > innerWidth + 1);
  return reaching.slice(0, 5).map((element) => `${element.tagName.toLowerCase()}.${element.className}`).join(', ');
}

async function describe(view) {
  const text = await view.evaluate(() => ['connection', 'story', 'reorg', 'console-answer', 'prices-empty'].map((id) => `  ${id}: ${document.getElementById(id)?.textContent.trim()}`).join('\n')).catch((error) => `  ${error.message}`);
  return `text of the page:\n${text}`;
}

async function shot(view, name) {
  mkdirSync(options.screenshots, { recursive: true });
  await view.screenshot({ path: join(options.screenshots, `page-${name}.png`), fullPage: true });
}
