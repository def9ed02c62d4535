// The candles of the page's chart without a browser. Run by `node --test tests/browser/`.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CandleList, bar } from '../../web/candles.js';
import { parseLossless } from '../../web/format.js';

const NOON = 1_769_860_800_000;
const MINUTE = 60_000;

function candle(minute, close, count, closed = false) {
  return { timestamp: NOON + minute * MINUTE, open: close, high: close, low: close, close, count, closed, synthetic: count === 0 };
}

function list(...candles) {
  const series = new CandleList('1m');
  series.load(candles);
  return series;
}

const shown = (series) => series.all.map(({ timestamp, close, count }) => [(timestamp - NOON) / MINUTE, close, count]);

test('an update that history already has, or an older one, changes nothing', () => {
  const series = list(candle(0, '5', 3, true), candle(1, '6', 4));
  assert.deepEqual(series.apply(candle(1, '5.5', 3)), []);
  assert.deepEqual(series.apply(candle(1, '6', 4)), []);
  assert.deepEqual(series.apply(candle(0, '4', 2, true)), []);
  assert.deepEqual(series.apply(candle(-5, '4', 2, true)), []);
  assert.deepEqual(shown(series), [[0, '5', 3], [1, '6', 4]]);
});

test('the open candle grows, closes once, and the next one follows', () => {
  const series = list(candle(0, '5', 1));
  assert.equal(series.apply(candle(0, '6', 2)).length, 1);
  assert.equal(series.apply(candle(0, '6', 2, true)).length, 1);
  assert.equal(series.apply(candle(0, '6', 2, true)).length, 0);
  assert.equal(series.apply(candle(0, '6', 2)).length, 0, 'a closed candle stays closed');
  assert.equal(series.apply(candle(1, '7', 1)).length, 1);
  assert.deepEqual(shown(series), [[0, '6', 2], [1, '7', 1]]);
  assert.deepEqual(series.faults, []);
});

test('minutes without a price are filled with the close, and corrected with it', () => {
  const series = list(candle(0, '5', 1, true));
  assert.deepEqual(series.apply(candle(3, '7', 1)).map((each) => each.synthetic), [true, true, false]);
  assert.deepEqual(shown(series), [[0, '5', 1], [1, '5', 0], [2, '5', 0], [3, '7', 1]]);
  assert.equal(series.apply(candle(0, '5.5', 2, true)).length, 3);
  assert.deepEqual(shown(series), [[0, '5.5', 2], [1, '5.5', 0], [2, '5.5', 0], [3, '7', 1]]);
  assert.equal(series.apply(candle(2, '6', 1, true)).length, 1, 'a late price turns a gap into a candle');
  assert.deepEqual(series.faults, []);
});

test('a gap too long to be filled requests history', () => {
  assert.equal(list(candle(0, '5', 1)).apply(candle(6_000, '7', 1)), null);
  const empty = new CandleList('1m');
  assert.equal(empty.apply(candle(6_000, '7', 1)).length, 1);
});

test('older pages are prepended without duplicates', () => {
  const series = list(candle(2, '5', 1));
  assert.equal(series.prepend([candle(0, '3', 1), candle(1, '4', 1), candle(2, '5', 1)]), 2);
  assert.equal(series.prepend([candle(2, '5', 1)]), 0);
  assert.equal(series.prepend([]), 0);
  assert.deepEqual(shown(series), [[0, '3', 1], [1, '4', 1], [2, '5', 1]]);
});

test('candles keep every digit of the response; the chart uses doubles', () => {
  const row = parseLossless('{"timestamp":1769860800000,"open":1.000000000000000001,"high":2,"low":0.5,"close":1.5,"count":3}');
  assert.equal(row.open, '1.000000000000000001');
  assert.equal(row.count, 3);
  assert.deepEqual(bar(row), { time: 1_769_860_800, open: 1, high: 2, low: 0.5, close: 1.5 });
});

test('an unknown interval is rejected', () => {
  assert.throws(() => new CandleList('2m'), /2m/);
});
