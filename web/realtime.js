// A client of the gateway's WebSocket protocol that reconnects automatically.
//
// Promises: after a reconnect, each channel is resubscribed from the last received seq and its epoch; each update is
// delivered once and in order; a gap is reported and requested again. After a close code that forbids a reconnect
// (4401, 4403), the client waits for `authenticate` or `retry`. Assumes text frames {"event","data","id"} as described
// in docs/protocol.md; docs/realtime.d.ts has their types.
//
// Events (CustomEvent, see `detail`):
//   state       {phase: 'connecting'|'live'|'reconnecting'|'refused'|'stopped', retryAt?, reason?, code?}
//   connected   the server's greeting {clientId, serverTime, epoch, …}
//   update      one message of a channel, `price` fields as decimal text, in order and without duplicates
//   subscribed  {stream, entry, resumed}     refusedChannel {channel, code, message}
//   resumed     {downMs, results: [{channel, recovered, replayed}]}   after a reconnect, when every channel answered
//   gap         {stream, from, to}           streams  something in `streams` changed
//   frame       {direction: 'in'|'out', text, message}   problem  {code, message}: an error no request waits for

import { backoffMs, closeText, isRefusal, retryAfterMs } from './backoff.js';
import { parseLossless } from './format.js';
import { ChannelStream } from './stream.js';

const GREETING_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 8_000;
const PING_AFTER_IDLE_MS = 10_000;
const PONG_TIMEOUT_MS = 5_000;
const STEADY_AFTER_MS = 5_000; // after being live for this long, the next disconnect restarts the backoff
const HEAL_AT_MOST_EVERY_MS = 5_000; // per channel; each costs one of the 100 requests a minute
const MAX_CHANNELS_A_REQUEST = 100;
const MAX_REQUEST_BYTES = 64 * 1024;
/** HTTP status of a rejected handshake → the corresponding close code. */
const REFUSED_AS = new Map([
  [401, 4401],
  [403, 4403],
]);
const RETRYABLE = new Set(['RATE_LIMITED', 'INTERNAL', 'TIMEOUT']);

/** A failed request: `code` is one of the gateway's error codes, or TIMEOUT / DISCONNECTED / PAYLOAD_TOO_LARGE. */
export class RequestError extends Error {
  constructor({ code = 'INTERNAL', message = 'The server sent no reason', retryAfterMs: wait = null } = {}) {
    super(message);
    this.code = code;
    this.retryAfterMs = wait;
  }
}

export class Realtime extends EventTarget {
  /** channel in lower case → ChannelStream, for each subscribed channel. */
  streams = new Map();
  state = { phase: 'stopped' };
  epoch = null;
  /** Offset of the server's clock from Date.now(), in ms. */
  clockOffsetMs = 0;

  #url;
  #socket = null;
  #token = null;
  #tokenInUrl = false;
  #pending = new Map();
  #nextId = 1;
  #attempt = 0;
  #timers = new Map();
  #heardAt = 0;
  #pingedAt = null;
  #liveSince = null;
  #lostAt = null;
  #healedAt = new Map();
  #syncQueued = new Set();

  constructor(url) {
    super();
    this.#url = url;
  }

  start() {
    if (this.#socket || this.state.phase === 'connecting') return;
    this.#open();
  }

  stop() {
    this.#drop('stopped');
    this.#setState({ phase: 'stopped' });
  }

  /** Reconnects now: ends the delay, or retries after a rejection. */
  retry() {
    if (this.state.phase === 'live' || this.state.phase === 'connecting') return;
    this.#open();
  }

  /** Subscribes to these channels. The answers arrive as `subscribed` or `refusedChannel`. */
  subscribe(channels) {
    for (const channel of channels) {
      const key = channel.toLowerCase();
      if (!this.streams.has(key)) this.streams.set(key, new ChannelStream(channel));
      this.#queueSync(this.streams.get(key));
    }
    this.#emit('streams');
  }

  /** Subscribes to a channel after a seq from another answer, with all updates (`mode` "all") or in the default mode. */
  subscribeFrom(channel, { seq, epoch, mode = null }) {
    const stream = new ChannelStream(channel);
    Object.assign(stream, { last: seq, epoch, mode });
    this.streams.set(channel.toLowerCase(), stream);
    this.#queueSync(stream);
    this.#emit('streams');
  }

  async unsubscribe(channel) {
    this.streams.delete(channel.toLowerCase());
    this.#emit('streams');
    if (this.state.phase === 'live') await this.request('unsubscribe', { channel });
  }

  /** Uses this JWT now and for later connections. Resolves to the answer, or to null without a connection. */
  async authenticate(token) {
    if (this.state.phase === 'live') {
      const answer = await this.request('auth', { token });
      this.#token = token; // stored only once accepted: a rejected one would break every later connection
      return answer;
    }
    this.#token = token;
    this.#tokenInUrl = this.state.phase === 'refused'; // if the handshake requires a JWT, the `auth` event is too late
    this.retry();
    return null;
  }

  /** Sends a request and resolves to the `data` of its answer, or rejects with a RequestError. */
  request(event, data) {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) {
      return Promise.reject(new RequestError({ code: 'DISCONNECTED', message: 'Not connected' }));
    }
    const id = this.#nextId++;
    const text = JSON.stringify({ id, event, data });
    if (new TextEncoder().encode(text).length > MAX_REQUEST_BYTES) {
      return Promise.reject(new RequestError({ code: 'PAYLOAD_TOO_LARGE', message: 'A message is limited to 64 KiB' }));
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new RequestError({ code: 'TIMEOUT', message: `No answer to "${event}" in ${REQUEST_TIMEOUT_MS / 1000} s` }));
      }, REQUEST_TIMEOUT_MS);
      this.#pending.set(id, { resolve, reject, timer });
      socket.send(text);
      this.#emit('frame', { direction: 'out', text, message: { id, event, data } });
    });
  }

  // ---- the connection ----

  /** The URL to connect to, with the JWT if the handshake requires it. */
  #address() {
    const url = new URL(this.#url);
    if (this.#tokenInUrl) url.searchParams.set('token', this.#token);
    return url;
  }

  #open() {
    this.#drop('replaced');
    this.#setState({ phase: 'connecting' });
    const socket = new WebSocket(this.#address());
    this.#socket = socket;
    this.#heardAt = Date.now();
    this.#pingedAt = null;
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code, reason }) => this.#lost(code, reason);
    this.#after('greeting', GREETING_TIMEOUT_MS, () => this.#lost(1006, 'no greeting from the server'));
    this.#watch();
  }

  /** Releases the socket and fails its pending requests. */
  #drop(why) {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(new RequestError({ code: 'DISCONNECTED', message: `The connection was ${why} before the answer` }));
    }
    this.#pending.clear();
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #lost(code, reason) {
    const now = Date.now();
    if (this.#liveSince !== null) {
      if (now - this.#liveSince >= STEADY_AFTER_MS) this.#attempt = 0;
      this.#lostAt ??= now;
      this.#liveSince = null;
    }
    const greeted = this.state.phase === 'live';
    this.#drop('lost');
    const text = closeText(code, reason);
    if (isRefusal(code)) {
      this.#setState({ phase: 'refused', code, reason: text });
      return;
    }
    const wait = retryAfterMs(reason) ?? backoffMs(this.#attempt);
    this.#attempt += 1;
    this.#setState({ phase: 'reconnecting', code, reason: text, retryAt: now + wait });
    this.#after('retry', wait, () => this.#open());
    if (!greeted && code === 1006) this.#askWhy();
  }

  /** A browser hides why a handshake was rejected. An HTTP request shows whether the origin or the JWT was the reason. */
  async #askWhy() {
    const url = this.#address();
    url.protocol = url.protocol === 'wss:' ? 'https:' : 'http:';
    try {
      // With this method, a browser sends the page's origin even to the page's own server.
      const answer = await fetch(url, { method: 'OPTIONS', signal: AbortSignal.timeout(GREETING_TIMEOUT_MS) });
      const code = REFUSED_AS.get(answer.status);
      if (code === undefined) return;
      const { detail } = await answer.json();
      if (this.state.phase !== 'reconnecting' || typeof detail !== 'string') return;
      this.#drop('refused');
      this.#setState({ phase: 'refused', code, reason: detail });
    } catch {
      // No answer either: the connection itself fails, and is retried.
    }
  }

  /** Sends a ping when idle; disconnects if no data arrives. */
  #watch() {
    this.#after('watch', 1000, () => {
      const now = Date.now();
      if (this.#pingedAt !== null && now - this.#pingedAt >= PONG_TIMEOUT_MS) {
        this.#lost(4000, '');
        return;
      }
      if (this.#liveSince !== null && this.#pingedAt === null && now - this.#heardAt >= PING_AFTER_IDLE_MS) {
        this.#pingedAt = now;
        this.request('ping').catch(() => {}); // this timer detects a missing answer
      }
      this.#watch();
    });
  }

  // ---- incoming messages ----

  #receive(text) {
    this.#heardAt = Date.now();
    this.#pingedAt = null;
    let message;
    try {
      message = parseLossless(text);
    } catch {
      this.#emit('problem', { code: 'BAD_MESSAGE', message: 'The server sent invalid JSON' });
      return;
    }
    this.#emit('frame', { direction: 'in', text, message });
    if (message.event === 'connected') this.#greeted(message.data ?? {});
    else if (message.event === 'ack' || message.event === 'pong') this.#answer(message);
    else if (message.event === 'error') this.#refuse(message);
    else this.#update(message);
  }

  #greeted(data) {
    clearTimeout(this.#timers.get('greeting'));
    this.epoch = data.epoch ?? null;
    if (Number.isFinite(data.serverTime)) this.clockOffsetMs = data.serverTime - Date.now();
    this.#liveSince = Date.now();
    this.#emit('connected', data);
    this.#setState({ phase: 'live' });
    this.#syncQueued.clear();
    this.#resume();
  }

  #answer(message) {
    const waiting = this.#take(message.id);
    if (!waiting) return;
    const data = message.data ?? {};
    if (data.success === false && data.error) waiting.reject(new RequestError(data.error));
    else waiting.resolve(data);
  }

  #refuse(message) {
    const waiting = this.#take(message.id);
    if (waiting) waiting.reject(new RequestError(message.data ?? {}));
    else this.#emit('problem', message.data ?? {});
  }

  #take(id) {
    const waiting = this.#pending.get(id);
    if (!waiting) return null;
    this.#pending.delete(id);
    clearTimeout(waiting.timer);
    return waiting;
  }

  #update(message) {
    const stream = message.channel ? this.streams.get(message.channel.toLowerCase()) : null;
    const verdict = stream ? stream.accept(message) : 'deliver';
    if (verdict === 'deliver') this.#emit('update', message);
    if (verdict === 'gap') this.#heal(stream, message);
    this.#emit('streams');
  }

  /** A gap: requests updates from the last seq again, at most once per interval; otherwise continues, and the gap stays counted. */
  async #heal(stream, message) {
    this.#emit('gap', { stream, from: stream.last + 1, to: message.seq - 1 });
    const now = Date.now();
    if (now - (this.#healedAt.get(stream) ?? 0) < HEAL_AT_MOST_EVERY_MS) {
      stream.giveUpHealing();
      stream.accept(message);
      this.#emit('update', message);
      return;
    }
    this.#healedAt.set(stream, now);
    stream.startHealing();
    await this.#sync([stream]);
  }

  // ---- subscriptions ----

  /** Combines the channels that are subscribed in one turn into one request. */
  #queueSync(stream) {
    if (this.state.phase !== 'live') return; // the greeting subscribes everything
    this.#syncQueued.add(stream);
    if (this.#syncQueued.size > 1) return;
    queueMicrotask(() => {
      const streams = [...this.#syncQueued];
      this.#syncQueued.clear();
      if (streams.length > 0) this.#sync(streams);
    });
  }

  async #resume() {
    if (this.#token && !this.#tokenInUrl) {
      await this.request('auth', { token: this.#token }).catch((error) => this.#emit('problem', error));
    }
    const streams = [...this.streams.values()];
    const lostAt = this.#lostAt;
    const results = await this.#sync(streams);
    if (lostAt === null || this.state.phase !== 'live') return;
    this.#lostAt = null;
    this.#emit('resumed', { downMs: Date.now() - lostAt, results });
  }

  /** Subscribes to the streams, resuming those with a position; returns one result for each resumed stream. */
  async #sync(streams) {
    const results = [];
    for (const { epoch, mode, batch } of this.#batches(streams)) {
      const since = Object.fromEntries(batch.filter((stream) => stream.last !== null).map((stream) => [stream.channel, stream.last]));
      const data = { channels: batch.map((stream) => stream.channel) };
      if (Object.keys(since).length > 0) Object.assign(data, { since, epoch });
      if (mode !== null) data.mode = mode;
      try {
        const answer = await this.request('subscribe', data);
        results.push(...this.#settle(batch, answer, since, epoch === this.epoch));
      } catch (error) {
        this.#failed(batch, error);
      }
    }
    this.#emit('streams');
    return results;
  }

  /** A request contains channels of one epoch and mode, up to a limit. */
  #batches(streams) {
    const kinds = new Map();
    for (const stream of streams) {
      const epoch = stream.last === null ? this.epoch : stream.epoch;
      const key = JSON.stringify([epoch, stream.mode]);
      if (!kinds.has(key)) kinds.set(key, { epoch, mode: stream.mode, all: [] });
      kinds.get(key).all.push(stream);
    }
    const batches = [];
    for (const { epoch, mode, all } of kinds.values()) {
      for (let start = 0; start < all.length; start += MAX_CHANNELS_A_REQUEST) {
        batches.push({ epoch, mode, batch: all.slice(start, start + MAX_CHANNELS_A_REQUEST) });
      }
    }
    return batches;
  }

  #settle(batch, answer, since, sameEpoch) {
    const entries = answer.channels ?? [answer];
    return batch.flatMap((stream, index) => {
      const entry =
        entries.find((candidate) => candidate.channel?.toLowerCase() === stream.channel.toLowerCase()) ??
        (entries.length === batch.length ? entries[index] : null);
      stream.healing = false;
      if (!entry) return [];
      if (entry.success === false) {
        this.#failed([stream], new RequestError(entry.error ?? {}));
        return [];
      }
      const resumed = stream.channel in since;
      if (resumed) stream.resumed({ recovered: entry.recovered === true, seq: entry.seq, sameEpoch });
      stream.epoch = this.epoch;
      this.#rename(stream, entry.channel);
      this.#emit('subscribed', { stream, entry, resumed });
      return resumed ? [{ channel: stream.channel, recovered: stream.recovered, replayed: stream.replayed }] : [];
    });
  }

  /** The server's spelling of a channel is the one in its messages. */
  #rename(stream, canonical) {
    if (!canonical || canonical === stream.channel) return;
    const key = stream.channel.toLowerCase();
    if (!this.streams.has(key)) return; // unsubscribed meanwhile
    this.streams.delete(key);
    stream.channel = canonical;
    this.streams.set(canonical.toLowerCase(), stream);
  }

  #failed(batch, error) {
    if (error.code === 'DISCONNECTED') return; // the next connection resubscribes everything from the same positions
    if (RETRYABLE.has(error.code)) {
      this.#emit('problem', error);
      const again = () => this.#sync(batch.filter((stream) => this.streams.get(stream.channel.toLowerCase()) === stream));
      this.#after(`sync ${batch[0].channel}`, error.retryAfterMs ?? backoffMs(2), again);
      return;
    }
    for (const stream of batch) {
      this.streams.delete(stream.channel.toLowerCase());
      this.#emit('refusedChannel', { channel: stream.channel, code: error.code, message: error.message });
    }
  }

  // ---- helpers ----

  #after(name, ms, then) {
    clearTimeout(this.#timers.get(name));
    this.#timers.set(name, setTimeout(then, ms));
  }

  #setState(state) {
    this.state = state;
    this.#emit('state', state);
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
