// The page's view of the client (client.js): its events, the state of each channel, and the raw messages for the console.
//
// Promises: each update once and in order; the client repairs losses and resumes after a reconnect. Prices are decimal text.
//
// Events (CustomEvent, see `detail`):
//   state       {phase: 'connecting'|'live'|'reconnecting'|'refused'|'stopped', retryAt?, reason?, code?}
//   connected   the server's greeting {clientId, serverTime, epoch, …}
//   update      one message of a channel
//   subscribed  {stream, entry, resumed}     refusedChannel {channel, code, message}
//   resumed     {downMs, results: [{channel, recovered, replayed}]}   after a reconnect, when every channel answered
//   gap         {stream, from}: updates were lost and are requested again     streams  something in `streams` changed
//   frame       {direction: 'in'|'out', text, message}   problem  {code, message}: an error no request waits for

import { createClient, lossless } from './client.js';
import { closeText } from './close_text.js';

/** One channel: position, and what was missed and resumed. */
class Stream {
  last = null;
  received = 0;
  /** Updates that will never arrive. */
  missed = 0;
  /** Result of the last resume, with the number of replayed updates; null before the first one. */
  recovered = null;
  replayed = 0;
  /** Lost updates are being requested again. */
  healing = false;

  constructor(channel) {
    this.channel = channel;
  }
}

export class Live extends EventTarget {
  /** channel in lower case → Stream */
  streams = new Map();
  state = { phase: 'stopped' };
  /** Offset of the server's clock from Date.now(), in ms. */
  clockOffsetMs = 0;

  #client;
  #token = null;
  #ends = new Map();
  #lostAt = null;
  /** The channels that have not answered since the reconnect, and the results of the others. */
  #unanswered = new Set();
  #results = [];

  constructor(url) {
    super();
    const client = createClient(url, { lossless, token: () => this.#token, webSocket: this.#tapped() });
    this.#client = client;
    client.on('state', (state) => this.#changed(state));
    client.on('connected', (data) => this.#connected(data));
    client.on('subscribed', (answer) => this.#subscribed(answer));
    client.on('refused', (failure) => this.#refused(failure));
    client.on('problem', (failure) => this.#problem(failure));
  }

  start() {
    this.#client.connect();
  }

  /** Reconnects now: ends the delay, or retries after a rejection. */
  retry() {
    this.#client.connect();
  }

  /** Subscribes to these channels. The answers arrive as `subscribed` or `refusedChannel`. */
  subscribe(channels) {
    for (const channel of channels) if (!this.streams.has(channel.toLowerCase())) this.#add(channel, {});
  }

  /** Subscribes to a channel after a seq from another answer, with all updates (`mode` "all") or in the default mode. */
  subscribeFrom(channel, { seq, epoch, mode }) {
    this.#remove(channel);
    this.#add(channel, { since: seq, epoch, mode }).last = seq;
  }

  async unsubscribe(channel) {
    this.#remove(channel);
  }

  /** Uses this JWT now and for later connections. Resolves to the answer, or to null without a connection. */
  async authenticate(token) {
    // Stored only once accepted: a rejected one would break every later connection.
    const answer = this.state.phase === 'live' ? await this.#client.request('auth', { token }) : null;
    this.#token = token;
    if (!answer) this.#client.connect();
    return answer;
  }

  // ---- channels ----

  #add(channel, options) {
    const stream = new Stream(channel);
    this.streams.set(channel.toLowerCase(), stream);
    const onGap = ({ from, to }) => (stream.missed += to === null ? 0 : to - from + 1);
    const end = this.#client.subscribe(channel, { ...options, onGap }, (update) => {
      stream.received += 1;
      stream.last = update.seq ?? stream.last;
      this.#emit('update', { ...update, data: withDigits(update.data) });
      this.#emit('streams');
    });
    this.#ends.set(stream, end);
    this.#emit('streams');
    return stream;
  }

  #remove(channel) {
    const stream = this.streams.get(channel.toLowerCase());
    if (!stream) return;
    this.streams.delete(channel.toLowerCase());
    this.#ends.get(stream)();
    this.#ends.delete(stream);
    this.#answered(channel);
    this.#emit('streams');
  }

  #subscribed(answer) {
    const { channel, seq, since, recovered } = answer;
    const stream = this.streams.get(channel.toLowerCase());
    if (!stream) return;
    stream.channel = channel; // the server's spelling
    stream.healing = false;
    const resumed = since !== undefined && stream.last !== null; // the heartbeat has no position
    if (resumed) Object.assign(stream, { recovered, replayed: recovered ? Math.max(0, seq - since) : 0 });
    this.#emit('subscribed', { stream, entry: answer, resumed });
    this.#answered(channel, resumed ? [{ channel, recovered, replayed: stream.replayed }] : []);
    this.#emit('streams');
  }

  #refused(failure) {
    const stream = this.streams.get(failure.channel.toLowerCase());
    this.streams.delete(failure.channel.toLowerCase());
    this.#ends.delete(stream);
    this.#emit('refusedChannel', failure);
    this.#answered(failure.channel);
    this.#emit('streams');
  }

  #problem(failure) {
    const stream = failure.code === 'LOST' ? this.streams.get(failure.message.toLowerCase()) : undefined;
    if (!stream) {
      this.#emit('problem', failure);
      return;
    }
    stream.healing = true;
    this.#emit('gap', { stream, from: stream.last + 1 });
    this.#emit('streams');
  }

  // ---- the connection ----

  #changed({ phase, code, reason, retryInMs }) {
    if (this.state.phase === 'live' && phase !== 'live') this.#lostAt ??= Date.now();
    const state = { phase: phase === 'idle' || phase === 'closed' ? 'stopped' : phase };
    if (code !== undefined) Object.assign(state, { code, reason: closeText(code, reason) });
    if (retryInMs !== undefined) state.retryAt = Date.now() + retryInMs;
    this.state = state;
    this.#emit('state', state);
  }

  #connected(data) {
    if (Number.isFinite(data.serverTime)) this.clockOffsetMs = data.serverTime - Date.now();
    this.#unanswered = new Set(this.#lostAt === null ? [] : this.streams.keys());
    this.#results = [];
    this.#emit('connected', data);
    this.#answered('');
  }

  /** Reports a reconnect when the last channel answered. */
  #answered(channel, results = []) {
    this.#unanswered.delete(channel.toLowerCase());
    this.#results.push(...results);
    if (this.#lostAt === null || this.#unanswered.size > 0 || this.state.phase !== 'live') return;
    this.#emit('resumed', { downMs: Date.now() - this.#lostAt, results: this.#results });
    this.#lostAt = null;
  }

  /** A WebSocket that reports what it sends and receives. */
  #tapped() {
    const report = (direction, text) => this.#emit('frame', { direction, text, message: JSON.parse(text) });
    return class extends WebSocket {
      constructor(...address) {
        super(...address);
        this.addEventListener('message', ({ data }) => report('in', data));
      }

      send(text) {
        report('out', text);
        super.send(text);
      }
    };
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** The data with the digits of its prices instead of the nearest doubles. */
function withDigits(data) {
  const texts = Object.entries(data ?? {}).filter(([key]) => key.endsWith('Text'));
  return { ...data, ...Object.fromEntries(texts.map(([key, text]) => [key.slice(0, -'Text'.length), text])) };
}
