// Runs a browser's WebSocket, its EventSource or socket.io-client in a real page of the server's origin.
//
//   node tests/browser/clients.mjs URL websocket|eventsource|socketio
//
// Prints one JSON object a line: every line has `step`; an event of the server is {"step": EVENT, "data": {"channel",
// "seq", …}}. Follows price:ETH and new-block until standard input ends; reconnects when the connection breaks and
// resumes at its position. The browser is $CHROMIUM, or Debian's. Exit code 0 on success, 1 otherwise.

import { createInterface } from 'node:readline';
import { launch } from './chromium.mjs';

const [url, client] = process.argv.slice(2);
const report = (line) => console.log(JSON.stringify(line));

/** Each runs in the page, where `report` prints a line in this process. They share no variables with this module. */
const clients = { websocket, eventsource, socketio };

const browser = await launch();
try {
  const follow = clients[client];
  if (!follow) throw new Error(`no such client: ${client}; there are ${Object.keys(clients).join(', ')}`);
  const page = await browser.newPage();
  page.setDefaultTimeout(110_000);
  page.on('pageerror', (error) => fail(error.message));
  await page.exposeFunction('report', report);
  // A document of the origin without scripts.
  await page.goto(new URL('/healthz', url).href);
  if (client === 'socketio') {
    await page.addScriptTag({ url: new URL('/socket.io/socket.io.js', url).href });
  }
  await page.evaluate(follow, ['price:ETH', 'new-block']);
  await new Promise((resolve) => createInterface({ input: process.stdin }).on('close', resolve));
  if (!process.exitCode) report({ step: 'done' });
} catch (error) {
  fail(error.message);
} finally {
  await browser.close();
}

function fail(message) {
  process.exitCode = 1;
  report({ step: 'failed', message });
}

function websocket(channels) {
  const positions = {};
  let epoch;
  const connect = () => {
    const socket = new WebSocket(location.origin.replace('http', 'ws') + '/realtime', ['chaincast.v1.json']);
    socket.onmessage = ({ data: text }) => {
      const { event, data, id, ...position } = JSON.parse(text);
      if (event === 'connected') {
        const resumed = epoch === undefined ? {} : { since: positions, epoch };
        epoch = data.epoch;
        socket.send(JSON.stringify({ id: 1, event: 'subscribe', data: { channels, mode: 'all', ...resumed } }));
        socket.send(JSON.stringify({ id: 2, event: 'subscribe', data: { channel: 'nope' } }));
      }
      if (position.seq) positions[position.channel] = position.seq;
      window.report({ step: event === 'ack' ? 'subscribed' : event, data: { ...data, ...position }, id });
    };
    socket.onclose = ({ code, reason }) => {
      window.report({ step: 'disconnected', code, reason });
      setTimeout(connect, 100);
    };
  };
  connect();
}

function eventsource(channels) {
  // Reconnects by itself, with Last-Event-ID.
  const source = new EventSource(`/realtime/sse?mode=all&channels=${channels.join(',')}`);
  for (const event of ['connected', 'ack', 'price-update', 'new-block', 'reorg', 'block-finalized', 'closed', 'error']) {
    source.addEventListener(event, ({ data, lastEventId }) => {
      if (data === undefined) return window.report({ step: 'disconnected', state: source.readyState });
      window.report({ step: event === 'ack' ? 'subscribed' : event, data: JSON.parse(data), lastEventId });
    });
  }
  const refused = new EventSource('/realtime/sse?channels=nope');
  refused.onerror = () => window.report({ step: 'refused', state: refused.readyState });
}

function socketio(channels) {
  const socket = window.io('/realtime', { auth: { autoSubscribe: false }, reconnectionDelay: 50, reconnectionDelayMax: 500 });
  const positions = {};
  let epoch;
  socket.io.on('open', () => socket.io.engine.on('upgrade', ({ name }) => window.report({ step: 'upgrade', data: name })));
  socket.onAny((event, data) => {
    if (data?.seq) positions[data.channel] = data.seq;
    window.report({ step: event, data });
  });
  socket.on('connected', async (data) => {
    const resumed = epoch === undefined ? {} : { since: { ...positions }, epoch };
    epoch = data.epoch;
    socket.emit('subscribe', { channels, mode: 'all', ...resumed }, (answer) => window.report({ step: 'subscribed', data: answer }));
    // Without an acknowledgement a failure arrives as an event.
    socket.emit('subscribe', { channel: 'nope' });
  });
  socket.on('disconnect', (reason) => window.report({ step: 'disconnected', reason }));
}
