// The page's client without a browser: numbers, sequence checks, backoff, and the connection over a fake socket.
// Run by `node --test tests/browser/`. Timers are mocked, so no test waits.

import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';
import { backoffMs, closeText, isRefusal, retryAfterMs } from '../../web/backoff.js';
import { compare, decimal, fee, fixed, gasPercent, magnitude, parseLossless, percentChange, placesFor, priceText } from '../../web/format.js';
import { Realtime } from '../../web/realtime.js';
import { join } from '../../web/sparkline.js';
import { ChannelStream } from '../../web/stream.js';

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

test('the backoff doubles, is capped, and its upper half is random', () => {
  assert.equal(backoffMs(0, () => 0), 250);
  assert.equal(backoffMs(0, () => 1), 500);
  assert.equal(backoffMs(3, () => 1), 4000);
  assert.equal(backoffMs(99, () => 1), 30_000);
});

test('the retry hint is found in JSON and in text', () => {
  assert.equal(retryAfterMs('{"retryAfterMs":1234}'), 1234);
  assert.equal(retryAfterMs('going away, retryAfterMs=900'), 900);
  assert.equal(retryAfterMs('bye'), null);
  assert.equal(retryAfterMs('{"retryAfterMs":999999999}'), 300_000);
});

test('only 4401 and 4403 forbid reconnecting', () => {
  assert.deepEqual([1001, 1006, 4000, 4008, 4029, 4030, 4401, 4403].filter(isRefusal), [4401, 4403]);
  assert.match(closeText(4403, 'origin'), /not allowed \(origin\)/);
  assert.equal(closeText(1001, '{"retryAfterMs":5}'), 'the server is restarting');
});

test('a conflated update is not a hole, a lost one is', () => {
  const stream = new ChannelStream('price:ETH');
  assert.equal(stream.accept({ seq: 10, snapshot: true }), 'deliver');
  assert.equal(stream.accept({ seq: 15, prev: 10 }), 'deliver');
  assert.equal(stream.accept({ seq: 15, prev: 10 }), 'duplicate');
  assert.equal(stream.accept({ seq: 20, prev: 18 }), 'gap');
  assert.equal(stream.missed, 3);
});

test('a replayed hole is no longer missed', () => {
  const stream = new ChannelStream('new-block');
  stream.accept({ seq: 1 });
  assert.equal(stream.accept({ seq: 4 }), 'gap');
  assert.equal(stream.missed, 2);
  stream.startHealing();
  assert.equal(stream.accept({ seq: 5 }), 'wait');
  stream.resumed({ recovered: true, seq: 5, sameEpoch: true });
  for (const seq of [2, 3, 4, 5]) assert.equal(stream.accept({ seq }), 'deliver');
  assert.equal(stream.missed, 0);
  assert.equal(stream.last, 5);
});

test('pruned updates count as missed, within the epoch only', () => {
  const stream = new ChannelStream('new-block');
  stream.accept({ seq: 10 });
  stream.resumed({ recovered: false, seq: 20, sameEpoch: true });
  stream.accept({ seq: 20, snapshot: true });
  assert.equal(stream.missed, 9);
  stream.resumed({ recovered: false, seq: 3, sameEpoch: false });
  assert.equal(stream.accept({ seq: 3, snapshot: true }), 'deliver');
  assert.equal(stream.missed, 9);
});

// ---- the connection ----

class FakeSocket {
  static OPEN = 1;
  static all = [];
  readyState = 1;
  sent = [];
  constructor(url) {
    this.url = String(url);
    FakeSocket.all.push(this);
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close() {
    this.readyState = 3;
  }
  receive(message) {
    this.onmessage({ data: JSON.stringify(message) });
  }
  greet(epoch = 'e1') {
    this.receive({ event: 'connected', data: { epoch, serverTime: Date.now() } });
  }
  /** Responds to the newest request. */
  answer(data) {
    this.receive({ event: 'ack', id: this.sent.at(-1).id, data });
  }
}

const settle = async () => {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
};
const socket = () => FakeSocket.all.at(-1);

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
  FakeSocket.all = [];
  globalThis.WebSocket = FakeSocket;
});

async function connected(channels) {
  const client = new Realtime('ws://localhost/realtime');
  client.subscribe(channels);
  client.start();
  socket().greet();
  await settle();
  return client;
}

test('channels are subscribed in one request, a hundred at most', async () => {
  await connected(Array.from({ length: 120 }, (_, index) => `price:T${index}`));
  assert.equal(socket().sent.length, 1);
  assert.equal(socket().sent[0].data.channels.length, 100);
  socket().answer({ success: true, channels: [] });
  await settle();
  assert.equal(socket().sent[1].data.channels.length, 20);
});

test('after a lost connection each channel resumes from its last seq under its epoch', async () => {
  const client = await connected(['new-block', 'price:ETH']);
  socket().answer({ success: true, channels: [{ channel: 'new-block', success: true, seq: 7 }, { channel: 'price:ETH', success: true, seq: 0 }] });
  await settle();
  socket().receive({ event: 'new-block', channel: 'new-block', seq: 7, snapshot: true, data: {} });
  const resumed = [];
  client.addEventListener('resumed', ({ detail }) => resumed.push(detail));
  socket().onclose({ code: 1001, reason: '{"retryAfterMs":1500}' });
  assert.equal(client.state.phase, 'reconnecting');
  mock.timers.tick(1499);
  assert.equal(FakeSocket.all.length, 1);
  mock.timers.tick(1);
  assert.equal(FakeSocket.all.length, 2);
  socket().greet('e2');
  await settle();
  const requests = socket().sent.map(({ data }) => data);
  assert.deepEqual(requests[0], { channels: ['new-block'], since: { 'new-block': 7 }, epoch: 'e1' });
  socket().answer({ success: true, channels: [{ channel: 'new-block', success: true, seq: 2, recovered: false }] });
  await settle();
  assert.deepEqual(socket().sent[1].data, { channels: ['price:ETH'] });
  socket().answer({ success: true, channels: [{ channel: 'price:ETH', success: true, seq: 0, recovered: false }] });
  await settle();
  assert.deepEqual(resumed[0].results, [{ channel: 'new-block', recovered: false, replayed: 0 }]);
});

test('a hole is requested again and delivered in order', async () => {
  const client = await connected(['new-block']);
  socket().answer({ success: true, channels: [{ channel: 'new-block', success: true, seq: 1 }] });
  await settle();
  const seen = [];
  client.addEventListener('update', ({ detail }) => seen.push(detail.seq));
  mock.timers.tick(6000);
  const receive = (seq) => socket().receive({ event: 'new-block', channel: 'new-block', seq, data: {} });
  receive(1);
  receive(4);
  assert.deepEqual(socket().sent.at(-1).data, { channels: ['new-block'], since: { 'new-block': 1 }, epoch: 'e1' });
  socket().answer({ success: true, channels: [{ channel: 'new-block', success: true, seq: 4, recovered: true }] });
  await settle();
  for (const seq of [2, 3, 4]) receive(seq);
  assert.deepEqual(seen, [1, 2, 3, 4]);
});

test('a rate-limited request is retried and keeps the position', async () => {
  const client = await connected(['new-block']);
  socket().receive({ event: 'error', id: socket().sent[0].id, data: { code: 'RATE_LIMITED', message: 'Rate limit exceeded', retryAfterMs: 1200 } });
  await settle();
  assert.equal(socket().sent.length, 1);
  mock.timers.tick(1200);
  await settle();
  assert.equal(socket().sent.length, 2);
  assert.ok(client.streams.has('new-block'));
});

test('an unknown channel is dropped and reported', async () => {
  const client = await connected(['nope']);
  const refused = [];
  client.addEventListener('refusedChannel', ({ detail }) => refused.push(detail.code));
  socket().answer({ success: false, channels: [{ channel: 'nope', success: false, error: { code: 'UNKNOWN_CHANNEL', message: 'no' } }] });
  await settle();
  assert.deepEqual(refused, ['UNKNOWN_CHANNEL']);
  assert.equal(client.streams.size, 0);
});

test('a rejected client stays closed until it gets a token', async () => {
  const client = await connected(['new-block']);
  socket().onclose({ code: 4401, reason: 'token expired' });
  mock.timers.tick(600_000);
  assert.equal(FakeSocket.all.length, 1);
  assert.equal(client.state.phase, 'refused');
  await client.authenticate('eyJ.x');
  assert.match(socket().url, /token=eyJ\.x/);
});

/** A client whose handshake failed, while HTTP responds with this problem. */
async function refusedHandshake(status, detail, check) {
  const fetched = mock.method(globalThis, 'fetch', async () => ({ status, json: async () => ({ detail }) }));
  try {
    const client = new Realtime('ws://server.example/realtime');
    client.start();
    socket().onclose({ code: 1006, reason: '' });
    await settle();
    assert.equal(String(fetched.mock.calls[0].arguments[0]), 'http://server.example/realtime');
    await check(client, fetched);
  } finally {
    fetched.mock.restore();
  }
}

test('a rejected origin is named when the handshake fails', () => {
  const detail = 'pages of Origin "https://app.example" may not connect: gateway.allowed_origins';
  return refusedHandshake(403, detail, (client) => {
    assert.deepEqual(client.state, { phase: 'refused', code: 4403, reason: detail });
    const sockets = FakeSocket.all.length;
    mock.timers.tick(600_000);
    assert.equal(FakeSocket.all.length, sockets, 'it does not reconnect');
  });
});

test('a handshake without a valid token is rejected until there is one', () =>
  refusedHandshake(401, 'A token is required', async (client, fetched) => {
    assert.deepEqual(client.state, { phase: 'refused', code: 4401, reason: 'A token is required' });
    await client.authenticate('bad');
    assert.match(socket().url, /[?]token=bad$/);
    socket().onclose({ code: 1006, reason: '' });
    await settle();
    assert.match(String(fetched.mock.calls.at(-1).arguments[0]), /^http:.*[?]token=bad$/, 'it checks this token');
    assert.equal(client.state.code, 4401);
    await client.authenticate('good');
    assert.match(socket().url, /[?]token=good$/);
  }));

test('an overloaded server is retried', () =>
  refusedHandshake(503, 'try again', (client) => assert.equal(client.state.phase, 'reconnecting')));

test('a silent connection is pinged after 10 s and closed after 15 s', async () => {
  const client = await connected(['new-block']);
  socket().answer({ success: true, channels: [{ channel: 'new-block', success: true, seq: 0 }] });
  await settle();
  for (let second = 0; second < 11; second += 1) mock.timers.tick(1000);
  assert.equal(socket().sent.at(-1).event, 'ping');
  assert.equal(client.state.phase, 'live');
  const phases = [];
  client.addEventListener('state', ({ detail }) => phases.push(`${detail.phase}: ${detail.reason}`));
  for (let second = 0; second < 5; second += 1) mock.timers.tick(1000);
  assert.equal(phases[0], 'reconnecting: no heartbeat received in time');
});

test('a message over 64 KiB is rejected before it is sent', async () => {
  const client = await connected([]);
  await assert.rejects(client.request('auth', { token: 'x'.repeat(70_000) }), { code: 'PAYLOAD_TOO_LARGE' });
});
