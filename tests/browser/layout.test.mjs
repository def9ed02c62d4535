// The page with many and with long values, in Chromium. Run by `node --test tests/browser/`.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NOON, SEQ, candle, open } from './fake_server.mjs';

const SOURCES = ['binance', 'coinbase', 'kraken', 'pyth', 'chainlink', 'uniswap-v3-twap'];
const TOKENS = [
  { symbol: 'ETH', name: 'Ether', price: '3456.12000000000000024567', sources: SOURCES },
  { symbol: 'BTC', name: 'A Bitcoin of a very long name that goes on and on', price: '67954.5905532679285934831', sources: SOURCES },
  { symbol: 'A-TOKEN-OF-THIRTY-TWO-CHARACTERS', name: 'Long', price: '0.0000123456789012345678901', sources: SOURCES, status: 'degraded' },
  { symbol: 'MANY', name: 'Many digits', price: '123456789012.345678901234', sources: SOURCES, status: 'stale' },
  { symbol: 'HUGE', name: 'Huge', price: '123456789012345678901234', sources: SOURCES },
  { symbol: 'TINY', name: 'Tiny', price: '0.000000000000123456789012', sources: ['a-source-of-a-very-long-name-that-has-no-place-to-break'] },
  { symbol: 'USDC', name: 'Dollar', price: '1', sources: ['chainlink'] },
  { symbol: 'NONE', name: 'Never had a price' },
];
const PRICED = TOKENS.filter(({ price }) => price).length;

/** Opens the page with these tokens and waits until every price is shown. */
async function cards(width) {
  const server = await open({ tokens: TOKENS, width });
  await server.page.waitForFunction(([seq, count]) => document.querySelectorAll(`[data-card][data-seq="${seq}"]`).length === count, [SEQ, PRICED]);
  return server;
}

for (const width of [1280, 900, 390, 360]) {
  test(`six sources, long names and long prices stay within their cards at ${width} px`, async () => {
    const { page, close } = await cards(width);
    try {
      const shown = await page.$$eval('[data-card]', (all) =>
        all.map((card) => {
          card.scrollIntoView({ block: 'center', behavior: 'instant' });
          const badge = card.querySelector('.badge');
          const { left, top, width, height } = badge.getBoundingClientRect();
          const price = card.querySelector('.price');
          return {
            token: card.dataset.card,
            tooWide: card.scrollWidth - card.clientWidth,
            badgeOnTop: document.elementFromPoint(left + width / 2, top + height / 2) === badge,
            badgeCut: left + width > card.getBoundingClientRect().right,
            priceCut: price.scrollWidth > price.clientWidth,
          };
        }),
      );
      const whole = { tooWide: 0, badgeOnTop: true, badgeCut: false, priceCut: false };
      assert.deepEqual(shown, TOKENS.map(({ symbol }) => ({ token: symbol, ...whole })));
      const [content, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(content <= screen, `the page is ${content} px wide`);
      const cut = await page.$$eval('.panel', (panels) => panels.filter((panel) => panel.scrollWidth > panel.clientWidth).map((panel) => panel.getAttribute('aria-labelledby')));
      assert.deepEqual(cut, [], 'panels that cut off a part of their content');
      const broken = await page.$$eval('#streams td:nth-of-type(-n+3)', (cells) => {
        const lines = (cell) => {
          const range = document.createRange();
          range.selectNodeContents(cell);
          return new Set([...range.getClientRects()].map(({ top }) => top)).size;
        };
        return cells.filter((cell) => lines(cell) > 1).map((cell) => cell.textContent);
      });
      assert.deepEqual(broken, [], 'numbers of streams that wrap');
    } finally {
      await close();
    }
  });
}

test('a price has at least five figures after leading zeros, and all digits in its tooltip', async () => {
  const { page, close } = await cards(1280);
  try {
    const prices = await page.$$eval('[data-card] .price', (all) => all.map(({ textContent, title }) => [textContent, title.split('\n')[0]]));
    assert.deepEqual(
      prices.map(([text]) => text),
      ['3,456.12', '67,954.59', '0.000012346', '123,456,789,012.35', '1.2346e+23', '1.2346e-13', '1.0000', '–'],
    );
    assert.deepEqual(prices.map(([, title]) => title), TOKENS.map(({ price }) => price ?? ''));
  } finally {
    await close();
  }
});

test('the chart finds the last candles of an idle token at any position in the list', async () => {
  const page100 = { data: Array.from({ length: 100 }, (_, index) => ({ token: `T${index}`, price: '1', timestamp: NOON })), next: 'more' };
  const candles = (data) => ({ data, next: null, channel: 'candle:STILL:1m', seq: 0, epoch: 'stage' });
  const rest = {
    '/prices': page100,
    '/prices/STILL': { token: 'STILL', price: '7', timestamp: NOON },
    '/prices/STILL/candles': candles([]),
    [`/prices/STILL/candles?interval=1m&limit=500&to=${NOON + 1}`]: candles([candle('7')]),
  };
  const { page, requests, close } = await open({ tokens: [{ symbol: 'STILL', name: 'Still' }], rest });
  try {
    await page.waitForSelector('#chart[data-candles]');
    assert.equal(await page.getAttribute('#chart', 'data-candles'), '1', `requests: ${requests.join(' ')}`);
    assert.equal(await page.getAttribute('#chart', 'data-close'), '7');
  } finally {
    await close();
  }
});

test('the chart reports a token that never had a price', async () => {
  const { page, requests, close } = await open({ tokens: [{ symbol: 'NONE', name: 'None' }] });
  try {
    await page.waitForSelector('#chart[data-candles="0"]');
    assert.equal(await page.textContent('#chart-note'), 'No prices in this period');
    assert.ok(requests.includes('/prices/NONE'), `requests: ${requests.join(' ')}`);
  } finally {
    await close();
  }
});
