// The live page in Chromium without chaincast: its files come from web/, its data from the test.
//
//   const server = await open({ tokens, rest, width });   server.page is playwright's, server.requests are the requested REST
//   paths, server.send(message) sends a message to the page, server.disconnect() closes its connection like a restart
//
// Each token is {symbol, name, price, sources}: its price is sent once it is subscribed. `rest` has REST responses by path
// with query, or by path alone, and overrides the defaults below; a path without a response is a 404.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { launch } from './chromium.mjs';

export const NOON = 1_769_860_800_000;
/** The seq of every price. */
export const SEQ = 123_456;
const EPOCH = 'stage';
const DEADLINE_MS = 60_000;
const WEB = new URL('../../web/', import.meta.url);
const TYPES = { css: 'text/css', html: 'text/html; charset=utf-8', js: 'text/javascript', svg: 'image/svg+xml' };

export async function open({ tokens, rest = {}, width = 1280, colorScheme = 'light' }) {
  const requests = [];
  const sockets = [];
  const answers = { ...defaults(tokens), ...rest };
  const server = createServer((request, response) => serve(request, response, answers, requests));
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
      serveSocket(socket, tokens);
    });
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    await page.waitForSelector('#connection[data-phase="live"]');
    const send = (message) => sockets.at(-1).send(JSON.stringify(message));
    const disconnect = () => sockets.at(-1).close({ code: 1001, reason: '{"retryAfterMs":1000}' });
    return { page, requests, send, disconnect, close };
  } catch (error) {
    await close();
    throw error;
  }
}

// ---- REST and files ----

function defaults(tokens) {
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

async function serve(request, response, answers, requests) {
  const { pathname, search } = new URL(request.url, 'http://stage');
  if (pathname.startsWith('/api/v1/')) {
    const path = pathname.slice('/api/v1'.length);
    requests.push(path + search);
    const answer = answers[path + search] ?? answers[path];
    response.writeHead(answer ? 200 : 404, { 'content-type': 'application/json' });
    response.end(JSON.stringify(answer ?? { status: 404, detail: `the fake server has no ${path}` }));
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

function serveSocket(socket, tokens) {
  const send = (message) => socket.send(JSON.stringify(message));
  const data = { clientId: 'stage', serverTime: Date.now(), epoch: EPOCH, pingInterval: 10_000, pingTimeout: 5_000, user: null };
  send({ event: 'connected', data });
  socket.onMessage((text) => {
    const { id, event, data } = JSON.parse(text);
    if (event === 'ping') send({ event: 'pong', id, data: { timestamp: Date.now() } });
    if (event !== 'subscribe') return send({ event: 'ack', id, data: { success: true } });
    const channels = data.channels ?? [data.channel];
    send({ event: 'ack', id, data: { success: true, channels: channels.map((channel) => ({ channel, success: true, seq: 0, recovered: true })) } });
    for (const token of tokens) if (token.price && channels.includes(`price:${token.symbol}`)) send(priceUpdate(token));
  });
}

function priceUpdate({ symbol, price, sources, status = 'ok' }) {
  const data = { token: symbol, price, timestamp: Date.now(), quote: 'USD', confidence: '1', sources, ageMs: 120, status, details: [] };
  return { event: 'price-update', channel: `price:${symbol}`, seq: SEQ, prev: 0, data };
}
