// The page in its first minutes, in Chromium. Run by `node --test tests/browser/`.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { NOON, candle, open } from './fake_server.mjs';

const ETH = { symbol: 'ETH', name: 'Ether', price: '3456.12', sources: ['binance', 'kraken'] };
const MINUTE = 60_000;

function block(number) {
  return {
    number,
    hash: `0x${number.toString(16).padStart(64, 'a')}`,
    parentHash: `0x${(number - 1).toString(16).padStart(64, 'a')}`,
    timestamp: Date.now(),
    blockTimestamp: Math.floor(Date.now() / 1000),
    transactions: 2,
    gasUsed: '21000',
    gasLimit: '30000000',
    baseFeePerGas: '7',
    chainId: 31_337,
  };
}

function price(text, timestamp, seq, status = 'ok', reason = undefined) {
  const data = { token: 'ETH', price: text, timestamp, quote: 'USD', confidence: '1', sources: ['binance'], ageMs: 0, status, reason, details: [] };
  return { event: 'price-update', channel: 'price:ETH', seq, prev: seq - 1, data };
}

async function on(options, check) {
  const server = await open(options);
  try {
    await check(server);
  } finally {
    await server.close();
  }
}

test('a configuration without tokens shows one sentence with a link and requests no candles', () =>
  on({ tokens: [] }, async ({ page, requests }) => {
    await page.waitForSelector('#prices-none:not([hidden])');
    const link = await page.getAttribute('#prices-none a', 'href');
    assert.equal(link, '/docs/prices.md');
    assert.equal(await page.isVisible('#chart-panel'), false);
    assert.equal(await page.isVisible('#prices'), false);
    assert.doesNotMatch(await page.innerText('main'), /Waiting for the list|undefined|null/);
    assert.deepEqual(requests.filter((path) => path.startsWith('/prices/')), []);
    assert.equal(await page.title(), 'chaincast');
  }));

test('few candles fill the plot', () =>
  on(
    {
      tokens: [ETH],
      rest: {
        '/prices/ETH/candles': {
          data: [0, 1, 2].map((index) => ({ ...candle('3456.12'), timestamp: NOON + index * MINUTE })),
          next: null,
          channel: 'candle:ETH:1m',
          seq: 3,
          epoch: 'stage',
        },
      },
    },
    async ({ page }) => {
      await page.waitForSelector('#chart[data-candles="3"] canvas');
      await page.waitForFunction(() => Number(document.getElementById('chart').dataset.shown) > 0.9);
    },
  ));

test('the price range is not cut off next to the change', () =>
  on({ tokens: [ETH, { ...ETH, symbol: 'BTC' }, { ...ETH, symbol: 'LINK' }, { ...ETH, symbol: 'USDC' }] }, async ({ page, send }) => {
    await page.waitForSelector('[data-card="ETH"][data-seq="123456"]');
    send(price('13490.6812', Date.now() + 50_000, 123_457));
    await page.waitForFunction(() => document.querySelector('[data-card="ETH"] .range').textContent === '3,456.12 – 13,490.68');
    const cut = await page.$eval('[data-card="ETH"] .range', (range) => range.scrollWidth > range.clientWidth || range.offsetTop + range.offsetHeight > range.parentElement.offsetTop + range.parentElement.offsetHeight + 1);
    assert.equal(cut, false);
  }));

test("the tab's title shows the first price while it is fresh", () =>
  on({ tokens: [ETH] }, async ({ page, send }) => {
    await page.waitForFunction(() => document.title === 'ETH 3,456.12 · chaincast');
    send(price('3456.12', Date.now(), 123_457, 'stale'));
    await page.waitForFunction(() => document.title === 'chaincast');
  }));

test('a card and the chart show why a price is not ok', () =>
  on({ tokens: [ETH] }, async ({ page, send }) => {
    const shown = (wanted) =>
      page.waitForFunction(([text, title]) => {
        const card = document.querySelector('[data-card="ETH"]');
        const badges = [card.querySelector('.badge'), document.getElementById('chart-status')];
        return card.querySelector('.sources').textContent === text && badges.every((badge) => badge.title.startsWith(title));
      }, wanted);
    await shown(['binance, kraken', 'Fresh ticks']);
    send(price('3456.12', Date.now(), 123_457, 'degraded', 'few_venues'));
    await shown(['few venues · binance', 'Fewer venues than configured have']);
    send(price('3456.12', Date.now(), 123_458, 'stale', 'node_down'));
    await shown(['node down · binance', "The chain's node does not answer: "]);
    send(price('3456.12', Date.now(), 123_459, 'degraded', 'of_a_later_server'));
    await shown(['binance', 'Too few venues, disagreeing venues']);
  }));

test('a percentage names its period', () =>
  on({ tokens: [ETH] }, async ({ page, send }) => {
    await page.waitForSelector('[data-card="ETH"][data-seq="123456"]');
    send(price('3490.6812', Date.now() + 50_000, 123_457));
    await page.waitForFunction(() => /^\+1\.00 % in (49|50|51) s$/.test(document.querySelector('[data-card="ETH"] .change').textContent));
  }));

test('the number of decimals is stable across a power of ten', () =>
  on({ tokens: [{ ...ETH, price: '100.01' }] }, async ({ page, send }) => {
    const shown = (text) => page.waitForFunction((wanted) => document.querySelector('[data-card="ETH"] .price').textContent === wanted, text);
    await shown('100.01');
    send(price('99.99', Date.now(), 123_457));
    await shown('99.99');
    send(price('100.02', Date.now(), 123_458));
    await shown('100.02');
  }));

test('a new row is readable from its first frame', () =>
  on({ tokens: [ETH] }, async ({ page, send }) => {
    await page.evaluate(() => {
      // The properties that are animated from the first frame on, of every new row.
      window.animated = [];
      const animate = Element.prototype.animate;
      Element.prototype.animate = function (frames, options) {
        window.animated.push(...frames.flatMap((frame) => Object.keys(frame)));
        return animate.call(this, frames, options);
      };
    });
    send({ event: 'new-block', channel: 'new-block', seq: 1, data: block(1) });
    await page.waitForSelector('#blocks > li[data-number="1"]');
    const animated = await page.evaluate(() => window.animated);
    assert.deepEqual([...new Set(animated)], ['backgroundColor']);
  }));

const heartbeat = (chains) => ({ event: 'heartbeat', channel: 'heartbeat', data: { timestamp: Date.now(), head: 7, chains, seqs: {}, staleSources: [] } });
const down = (nodeAgeMs, chainId = 31_337) => ({ chainId, head: 7, headAgeMs: nodeAgeMs, nodeAgeMs, status: 'down' });
const well = (chainId = 31_337) => ({ chainId, head: 7, headAgeMs: 900, nodeAgeMs: 900, status: 'ok' });
const node = (page, text) => page.waitForFunction((wanted) => document.getElementById('nodes').hidden === (wanted === null) && document.getElementById('node').textContent === (wanted ?? ''), text);

test('a node of unknown state is not shown as ok', () =>
  on({ tokens: [] }, async ({ page, send, disconnect }) => {
    send(heartbeat([well()]));
    await node(page, null);
    send(heartbeat(null));
    await node(page, 'unknown');
    send(heartbeat([down(20_000)]));
    await node(page, 'no answer for 20 s');
    await disconnect();
    await node(page, 'unknown');
    await page.waitForSelector('#connection[data-phase="live"]');
    send(heartbeat([well()]));
    await node(page, null);
  }));

test('a screen reader announces a dead node once, not every second', () =>
  on({ tokens: [] }, async ({ page, send }) => {
    await page.evaluate(() => {
      window.spoken = [];
      const record = () => {
        for (const region of document.querySelectorAll('.bar [aria-live]')) {
          const text = region.textContent.trim();
          if (/node|answer|behind/i.test(text) && window.spoken.at(-1) !== text) window.spoken.push(text);
        }
      };
      new MutationObserver(record).observe(document.querySelector('.bar'), { subtree: true, childList: true, characterData: true });
    });
    for (const seconds of [20, 21, 22]) {
      send(heartbeat([down(seconds * 1000)]));
      await node(page, `no answer for ${seconds} s`);
    }
    send(heartbeat([{ ...well(), headAgeMs: 60_000, status: 'lagging' }]));
    await node(page, 'behind, newest block 1 min old');
    send(heartbeat([{ ...well(), headAgeMs: 61_000, status: 'lagging' }, down(25_000, 10)]));
    await node(page, '31337: behind, newest block 1 min old, 10: no answer for 25 s');
    assert.deepEqual(await page.evaluate(() => window.spoken), ['Node: no answer', 'Node: behind', 'Node: 31337: behind, 10: no answer']);
  }));

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

for (const colorScheme of ['light', 'dark']) {
  for (const [name, tokens, width] of [
    ['with prices', [ETH, { symbol: 'OLD', name: 'Old', price: '1', sources: ['kraken'], status: 'stale' }, { symbol: 'NONE', name: 'None' }], 1280],
    ['with prices on a phone', [ETH], 390],
    ['without tokens', [], 1280],
  ]) {
    test(`axe finds nothing on the page ${name}, ${colorScheme}`, () =>
      on({ tokens, width, colorScheme }, async ({ page, send }) => {
        send({ event: 'new-block', channel: 'new-block', seq: 1, data: block(7) });
        send({ event: 'reorg', channel: 'new-block', seq: 2, data: { chainId: 31_337, depth: 1, commonAncestor: { number: 6, hash: block(6).hash }, dropped: [{ number: 7, hash: block(7).hash }] } });
        send({ event: 'new-block', channel: 'new-block', seq: 3, data: block(8) });
        await page.waitForSelector('#blocks > li[data-state="dropped"]');
        if (tokens.length > 0) await page.waitForSelector('#chart canvas');
        // Colours are measured once no animation runs.
        await page.waitForFunction(() => document.getAnimations().every(({ playState }) => playState !== 'running'));
        await page.evaluate(await readFile(AXE, 'utf8'));
        const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
        const found = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join(' | ')}`);
        assert.deepEqual(found, []);
      }));
  }
}
