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
  const made = new CandleList('1m');
  made.load(candles);
  return made;
}

const shown = (made) => made.all.map(({ timestamp, close, count }) => [(timestamp - NOON) / MINUTE, close, count]);

test('an update that history has already changes nothing, and an older one takes nothing back', () => {
  const made = list(candle(0, '5', 3, true), candle(1, '6', 4));
  assert.deepEqual(made.apply(candle(1, '5.5', 3)), []);
  assert.deepEqual(made.apply(candle(1, '6', 4)), []);
  assert.deepEqual(made.apply(candle(0, '4', 2, true)), []);
  assert.deepEqual(made.apply(candle(-5, '4', 2, true)), []);
  assert.deepEqual(shown(made), [[0, '5', 3], [1, '6', 4]]);
});

test('the open candle grows, closes once, and the next one follows', () => {
  const made = list(candle(0, '5', 1));
  assert.equal(made.apply(candle(0, '6', 2)).length, 1);
  assert.equal(made.apply(candle(0, '6', 2, true)).length, 1);
  assert.equal(made.apply(candle(0, '6', 2, true)).length, 0);
  assert.equal(made.apply(candle(0, '6', 2)).length, 0, 'what is closed stays so');
  assert.equal(made.apply(candle(1, '7', 1)).length, 1);
  assert.deepEqual(shown(made), [[0, '6', 2], [1, '7', 1]]);
  assert.deepEqual(made.faults, []);
});

test('minutes without a price are filled with the close, and put right with it', () => {
  const made = list(candle(0, '5', 1, true));
  assert.deepEqual(made.apply(candle(3, '7', 1)).map((each) => each.synthetic), [true, true, false]);
  assert.deepEqual(shown(made), [[0, '5', 1], [1, '5', 0], [2, '5', 0], [3, '7', 1]]);
  assert.equal(made.apply(candle(0, '5.5', 2, true)).length, 3);
  assert.deepEqual(shown(made), [[0, '5.5', 2], [1, '5.5', 0], [2, '5.5', 0], [3, '7', 1]]);
  assert.equal(made.apply(candle(2, '6', 1, true)).length, 1, 'a late price makes a candle of a gap');
  assert.deepEqual(made.faults, []);
});

test('a gap too long to be filled asks for history', () => {
  assert.equal(list(candle(0, '5', 1)).apply(candle(6_000, '7', 1)), null);
  const empty = new CandleList('1m');
  assert.equal(empty.apply(candle(6_000, '7', 1)).length, 1);
});

test('older pages come ahead without a candle twice', () => {
  const made = list(candle(2, '5', 1));
  assert.equal(made.prepend([candle(0, '3', 1), candle(1, '4', 1), candle(2, '5', 1)]), 2);
  assert.equal(made.prepend([candle(2, '5', 1)]), 0);
  assert.equal(made.prepend([]), 0);
  assert.deepEqual(shown(made), [[0, '3', 1], [1, '4', 1], [2, '5', 1]]);
});

test('candles keep every digit of the answer, and pixels are doubles', () => {
  const row = parseLossless('{"timestamp":1769860800000,"open":1.000000000000000001,"high":2,"low":0.5,"close":1.5,"count":3}');
  assert.equal(row.open, '1.000000000000000001');
  assert.equal(row.count, 3);
  assert.deepEqual(bar(row), { time: 1_769_860_800, open: 1, high: 2, low: 0.5, close: 1.5 });
});

test('an interval that nobody has is refused', () => {
  assert.throws(() => new CandleList('2m'), /2m/);
});
