// The live page in Chromium without chaincast: its files from web/, and answers that a test makes up.
//
//   const stage = await open({ tokens, rest, width });   stage.page is playwright's, stage.asked the REST paths that were read,
//   stage.say(message) sends a message to the page, stage.cut() ends its connection as a restart of the server does
//
// Each token is {symbol, name, price, sources}: its price is said once it is subscribed. `rest` has answers of REST by path
// with its query, or by path alone, and goes before what stands here; a path that nobody answers is a 404.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { launch } from './chromium.mjs';

export const NOON = 1_769_860_800_000;
/** Of every price that is said. */
export const SEQ = 123_456;
const EPOCH = 'stage';
const DEADLINE_MS = 60_000;
const WEB = new URL('../../web/', import.meta.url);
const TYPES = { css: 'text/css', html: 'text/html; charset=utf-8', js: 'text/javascript', svg: 'image/svg+xml' };

export async function open({ tokens, rest = {}, width = 1280, colorScheme = 'light' }) {
  const asked = [];
  const sockets = [];
  const answers = { ...usual(tokens), ...rest };
  const server = createServer((request, response) => serve(request, response, answers, asked));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const browser = await launch();
  const close = async () => {
    await browser.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  try {
    const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
    page.setDefaultTimeout(DEADLINE_MS);
    await page.routeWebSocket('**/realtime', (socket) => {
      sockets.push(socket);
      speak(socket, tokens);
    });
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    await page.waitForSelector('#connection[data-phase="live"]');
    const say = (message) => sockets.at(-1).send(JSON.stringify(message));
    const cut = () => sockets.at(-1).close({ code: 1001, reason: '{"retryAfterMs":1000}' });
    return { page, asked, say, cut, close };
  } catch (error) {
    await close();
    throw error;
  }
}

// ---- REST and files ----

function usual(tokens) {
  const candles = tokens.map(({ symbol, price }) => [
    `/prices/${symbol}/candles`,
    { data: price ? [candle(price)] : [], next: null, channel: `candle:${symbol}:1m`, seq: 0, epoch: EPOCH },
  ]);
  return {
    '/tokens': { data: tokens.map(({ symbol, name }) => ({ symbol, name, quote: 'USD', channel: `price:${symbol}` })), next: null },
    '/status': { version: '0.0.0', chains: [{ chainId: 31_337 }] },
    '/blocks': { data: [], next: null },
    ...Object.fromEntries(candles),
  };
}

/** A closed candle of one price, at noon. */
export function candle(price) {
  return { timestamp: NOON, open: price, high: price, low: price, close: price, count: 1, closed: true, synthetic: false };
}

async function serve(request, response, answers, asked) {
  const { pathname, search } = new URL(request.url, 'http://stage');
  if (pathname.startsWith('/api/v1/')) {
    const path = pathname.slice('/api/v1'.length);
    asked.push(path + search);
    const answer = answers[path + search] ?? answers[path];
    response.writeHead(answer ? 200 : 404, { 'content-type': 'application/json' });
    response.end(JSON.stringify(answer ?? { status: 404, detail: `the stage has no ${path}` }));
    return;
  }
  const file = pathname === '/' ? 'index.html' : pathname.replace(/^\/assets\//, '');
  try {
    const body = await readFile(new URL(file, WEB));
    response.writeHead(200, { 'content-type': TYPES[file.split('.').at(-1)] });
    response.end(body);
  } catch {
    response.writeHead(404).end();
  }
}

// ---- the socket ----

function speak(socket, tokens) {
  const say = (message) => socket.send(JSON.stringify(message));
  const data = { clientId: 'stage', serverTime: Date.now(), epoch: EPOCH, pingInterval: 10_000, pingTimeout: 5_000, user: null };
  say({ event: 'connected', data });
  socket.onMessage((text) => {
    const { id, event, data } = JSON.parse(text);
    if (event === 'ping') say({ event: 'pong', id, data: { timestamp: Date.now() } });
    if (event !== 'subscribe') return say({ event: 'ack', id, data: { success: true } });
    const channels = data.channels ?? [data.channel];
    say({ event: 'ack', id, data: { success: true, channels: channels.map((channel) => ({ channel, success: true, seq: 0, recovered: true })) } });
    for (const token of tokens) if (token.price && channels.includes(`price:${token.symbol}`)) say(priceUpdate(token));
  });
}

function priceUpdate({ symbol, price, sources, status = 'ok' }) {
  const data = { token: symbol, price, timestamp: Date.now(), quote: 'USD', confidence: '1', sources, ageMs: 120, status, details: [] };
  return { event: 'price-update', channel: `price:${symbol}`, seq: SEQ, prev: 0, data };
}
