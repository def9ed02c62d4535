// The page's numbers and texts without a browser. Run by `node --test tests/browser/`.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closeText } from '../../web/close_text.js';
import { compare, decimal, fee, fixed, gasPercent, magnitude, parseLossless, percentChange, placesFor, priceText } from '../../web/format.js';
import { join } from '../../web/sparkline.js';

test('a price keeps every digit of the message', () => {
  const { data } = parseLossless('{"seq":42,"data":{"price":3456.120000000000000001,"note":"\\"price\\":1","price2":2}}');
  assert.equal(data.price, '3456.120000000000000001');
  assert.equal(data.price2, 2);
  assert.equal(data.note, '"price":1');
  assert.equal(parseLossless('{"price":null}').price, null);
  assert.deepEqual(parseLossless('{"price":"7","n":[1,2.5]}'), { price: '7', n: [1, 2.5] });
});

test('decimals are rounded, grouped and compared without doubles', () => {
  assert.equal(fixed(decimal('3456.125'), 2), '3,456.13');
  assert.equal(fixed(decimal('-0.001'), 2), '0.00');
  assert.equal(fixed(decimal('1234567'), 0), '1,234,567');
  assert.equal(fixed(decimal('1.5e-7'), 8), '0.00000015');
  assert.equal(fixed(decimal('2E3'), 1), '2,000.0');
  assert.equal(compare(decimal('0.300000000000000001'), decimal('0.3')), 1);
  assert.equal(compare(decimal('1.0'), decimal('1')), 0);
  assert.equal(percentChange(decimal('200'), decimal('201')), '+0.50 %');
  assert.equal(percentChange(decimal('200'), decimal('199')), '−0.50 %');
  assert.equal(percentChange(decimal('0'), decimal('1')), null);
  assert.equal(placesFor(3), 2);
  for (const text of ['', 'abc', '1e999999', null, undefined, '1.2.3', '0x10']) assert.equal(decimal(text), null);
});

test('prices of every magnitude keep five figures and stay short', () => {
  const text = (price) => priceText(decimal(price), magnitude(decimal(price)));
  assert.equal(text('3456.125'), '3,456.13');
  assert.equal(text('0.0000000123456'), '0.000000012346');
  assert.equal(text('0.000000000123456'), '1.2346e-10');
  assert.equal(text('999999999999.994'), '999,999,999,999.99');
  assert.equal(text('1000000000000'), '1.0000e+12');
  assert.equal(text('1.5e-24'), '1.5000e-24');
  assert.equal(text('0'), '0.0000');
  assert.equal(priceText(decimal('2.5e-9'), -10), '25.0000e-10', 'the exponent is that of the card');
});

test('gas and fees are formatted, and missing values tolerated', () => {
  assert.equal(fee('7'), '7 wei');
  assert.equal(fee('1250000000'), '1.25 gwei');
  assert.equal(fee(undefined), '–');
  assert.equal(gasPercent('15000000', '30000000'), 50);
  assert.equal(gasPercent('1', '0'), null);
  assert.equal(gasPercent(undefined, '1'), null);
});

test('history and live updates join by seq without duplicates', () => {
  const at = (seq) => ({ seq, time: seq, text: String(seq) });
  assert.deepEqual(join([at(3), at(4)], [at(2), at(3), at(1)]).map(({ seq }) => seq), [1, 2, 3, 4]);
});

test('the end of a connection is described', () => {
  assert.match(closeText(4403, 'origin'), /not allowed \(origin\)/);
  assert.equal(closeText(1001, '{"retryAfterMs":5}'), 'the server is restarting');
  assert.equal(closeText(1013, ''), 'closed with code 1013');
});
