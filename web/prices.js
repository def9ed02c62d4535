// The price cards: one per token, filled from history, updated by the live channel.
//
// Promises: a price that the server marks as stale, or that cannot be confirmed because the stream is disconnected, is
// never displayed as a current one. Digits come from the message's text; no price is converted to a double.

import { get, rows } from './api.js';
import { animate, byId, h, setText, setTitle } from './dom.js';
import { age, compare, decimal, duration, magnitude, percentChange, priceText } from './format.js';
import { explain, inShort } from './reasons.js';
import { Sparkline, join, visible } from './sparkline.js';

const SEED_POINTS = 120;
const MAX_TOKENS = 100;
const BADGES = { ok: 'OK', degraded: 'Degraded', stale: 'Stale' };

export class Prices {
  #client;
  #list = byId('prices');
  #empty = byId('prices-empty');
  #none = byId('prices-none');
  #cards = new Map(); // channel in lower case → Card

  constructor(client) {
    this.#client = client;
    client.addEventListener('update', ({ detail }) => this.#card(detail.channel)?.take(detail));
    client.addEventListener('subscribed', ({ detail }) => this.#seed(detail));
    client.addEventListener('refusedChannel', ({ detail }) => this.#card(detail.channel)?.refuse(detail));
    client.addEventListener('state', ({ detail }) => {
      for (const card of this.#cards.values()) card.setLive(detail.phase === 'live');
    });
    setInterval(() => this.#tick(), 1000);
  }

  /** Channels of the tokens shown. */
  get channels() {
    return [...this.#cards.values()].map((card) => card.channel);
  }

  /** Symbols of the tokens shown. */
  get symbols() {
    return [...this.#cards.values()].map((card) => card.symbol);
  }

  /** Loads the list of tokens, shows a card for each and subscribes to them. Throws if the list cannot be loaded. */
  async load() {
    let tokens;
    try {
      tokens = rows(await get(`/tokens?limit=${MAX_TOKENS}`)).slice(0, MAX_TOKENS);
    } catch (error) {
      if (this.#cards.size === 0) this.#say(`Cannot load the list of tokens. ${error.message}`);
      throw error;
    } finally {
      this.#list.removeAttribute('aria-busy');
    }
    this.#say('');
    this.#list.hidden = tokens.length === 0;
    this.#none.hidden = tokens.length > 0;
    byId('prices-hint').hidden = tokens.length === 0;
    const fresh = [];
    for (const token of tokens) {
      const channel = token.channel ?? `price:${token.symbol}`;
      if (this.#cards.has(channel.toLowerCase())) continue;
      const card = new Card(token, channel);
      card.setLive(this.#client.state.phase === 'live');
      this.#cards.set(channel.toLowerCase(), card);
      this.#list.append(card.element);
      fresh.push(channel);
    }
    if (fresh.length > 0) this.#client.subscribe(fresh);
  }

  /** History up to the channel's current seq; live updates are joined by seq. */
  async #seed({ stream, entry, resumed }) {
    const card = this.#card(stream.channel);
    if (!card) return;
    const fresh = !resumed || !stream.recovered;
    if (!fresh || !Number.isSafeInteger(entry.seq)) return;
    card.clear();
    if (entry.seq === 0) return;
    const since = Math.max(0, entry.seq - SEED_POINTS);
    try {
      const page = await get(`/channels/${encodeURIComponent(stream.channel)}/updates?since=${since}&limit=${SEED_POINTS}`);
      card.seed(rows(page));
    } catch {
      card.seed([]); // the line then starts with live updates only
    }
  }

  #card(channel) {
    return channel ? this.#cards.get(channel.toLowerCase()) : undefined;
  }

  #say(text) {
    this.#empty.hidden = text === '';
    setText(this.#empty, text);
  }

  #tick() {
    const now = Date.now() + this.#client.clockOffsetMs;
    for (const card of this.#cards.values()) card.tick(now);
    this.#entitle();
  }

  /** Shows the first token's price in the tab title while it is current. */
  #entitle() {
    const [first] = this.#cards.values();
    const current = first?.currentText;
    const title = current ? `${first.symbol} ${current} · chaincast` : 'chaincast';
    if (document.title !== title) document.title = title;
  }
}

class Card {
  #points = [];
  #shown = null; // decimal of the price on the card
  #power = null; // magnitude for which the number of digits was chosen
  #bornAt = null; // server's clock, when the shown price was observed
  #live = false;
  #status = null;
  #reason = null; // why the status is not ok, if the server sent it
  #refused = null;

  constructor(token, channel) {
    this.channel = channel;
    this.symbol = token.symbol;
    this.spark = new Sparkline(`${token.symbol}: recent prices`);
    this.badge = h('span', { class: 'badge', 'data-status': 'waiting' }, 'Waiting');
    this.price = h('span', { class: 'price num', 'data-price': '' }, '–');
    this.unit = h('span', { class: 'unit' }, token.quote ?? 'USD');
    this.arrow = h('span', { class: 'arrow', 'aria-hidden': 'true' });
    this.change = h('span', { class: 'change num' }, '\u00a0');
    this.range = h('span', { class: 'range num' }, '\u00a0');
    this.sources = h('span', { class: 'sources' }, 'no price yet');
    this.age = h('span', { class: 'age num' }, '');
    this.element = h(
      'li',
      { class: 'card', 'data-card': token.symbol, 'aria-label': `${token.symbol} price` },
      h('div', { class: 'card-head' }, h('h3', { title: token.symbol }, token.symbol), h('span', { class: 'name', title: token.name }, token.name ?? ''), this.badge),
      h('p', { class: 'quote' }, this.price, this.unit, this.arrow),
      h('p', { class: 'moves' }, this.change, this.range),
      this.spark.element,
      h('p', { class: 'origin' }, this.sources, this.age),
    );
    this.spark.draw([]);
  }

  /** A message of this token's channel, in order. */
  take(message) {
    const { data } = message;
    if (!data) return;
    const before = this.#shown;
    const value = decimal(data.price);
    this.#status = data.status ?? 'ok';
    this.#reason = data.reason ?? null;
    this.#shown = value;
    this.#bornAt = (data.timestamp ?? Date.now()) - (data.ageMs ?? 0);
    if (value) this.#points = join(this.#points, [point(message)]);
    this.#showPrice(data, value);
    this.#showSources(data, message.seq);
    this.#showRange();
    this.#showBadge();
    this.spark.draw(this.#points);
    if (before && value) this.#flash(compare(before, value));
  }

  /** Adds history, oldest first; points from the live stream are kept. */
  seed(messages) {
    this.#points = join(this.#points, messages.filter((message) => decimal(message.data?.price)).map(point));
    this.#showRange();
    this.spark.draw(this.#points);
  }

  /** Restarts the line after a new epoch or a gap that history cannot fill. */
  clear() {
    this.#points = [];
    this.spark.draw([]);
  }

  /** The displayed price; null unless it is live and fresh. */
  get currentText() {
    const current = this.#live && !this.#refused && (this.#status === 'ok' || this.#status === 'degraded');
    return current && this.#shown ? priceText(this.#shown, this.#power) : null;
  }

  refuse({ code, message }) {
    this.#refused = code;
    setText(this.sources, message);
    this.#showBadge();
  }

  setLive(live) {
    this.#live = live;
    this.#showBadge();
  }

  /** @param now the server's clock in ms */
  tick(now) {
    if (this.#bornAt !== null) setText(this.age, age(now - this.#bornAt));
  }

  #showPrice(data, value) {
    if (!value) {
      setText(this.price, '–');
      setTitle(this.price, 'no price');
      return;
    }
    const power = magnitude(value);
    // The number of digits is kept while the price stays close, so that the width does not change at a power of ten.
    if (this.#power === null || Math.abs(power - this.#power) > 1) this.#power = power;
    const text = priceText(value, this.#power);
    setText(this.price, text);
    this.price.style.setProperty('--chars', text.length);
    const full = String(data.price);
    setTitle(this.price, data.confidence === undefined || data.confidence === null ? full : `${full}\nconfidence ${data.confidence}`);
    if (data.quote) setText(this.unit, data.quote);
  }

  #showSources(data, seq) {
    const sources = Array.isArray(data.sources) ? data.sources : [];
    const named = sources.join(', ') || 'no source';
    const why = inShort(this.#reason);
    setText(this.sources, why ? `${why} · ${named}` : named);
    setTitle(this.sources, `${named}; update #${seq ?? '–'}`);
    this.element.dataset.seq = seq ?? '';
    this.tick(this.#bornAt + (data.ageMs ?? 0));
  }

  #showRange() {
    const shown = visible(this.#points);
    const change = shown.length > 1 ? percentChange(decimal(shown[0].text), decimal(shown.at(-1).text)) : null;
    // A percentage needs its period.
    const period = shown.length > 1 ? duration(shown.at(-1).time - shown[0].time) : null;
    setText(this.change, change ? `${change} in ${period}` : '\u00a0');
    setTitle(this.change, change ? `from the first to the last price of the line below, ${period} apart` : '');
    this.change.dataset.move = !change || /^\+0\.00/.test(change) ? 'flat' : change.startsWith('+') ? 'up' : 'down';
    this.spark.element.dataset.move = this.change.dataset.move;
    if (shown.length < 2) return setText(this.range, '\u00a0');
    const values = shown.map((each) => decimal(each.text));
    const low = values.reduce((a, b) => (compare(b, a) < 0 ? b : a));
    const high = values.reduce((a, b) => (compare(b, a) > 0 ? b : a));
    const power = this.#power ?? magnitude(high);
    const text = `${priceText(low, power)} – ${priceText(high, power)}`;
    setText(this.range, text);
    setTitle(this.range, `lowest and highest price of the line below: ${text}`);
  }

  #showBadge() {
    const status = this.#refused ? 'refused' : this.#status === null ? 'waiting' : this.#live ? this.#status : 'offline';
    const words = { ...BADGES, refused: this.#refused, waiting: 'Waiting', offline: 'Not live' };
    this.badge.dataset.status = status;
    this.element.dataset.status = status;
    setText(this.badge, words[status] ?? status);
    setTitle(this.badge, explain(status, this.#reason));
  }

  #flash(direction) {
    // compare(before, value): -1 means the price rose
    const move = direction < 0 ? 'up' : direction > 0 ? 'down' : null;
    if (!move) return;
    setText(this.arrow, move === 'up' ? '▲' : '▼');
    this.arrow.dataset.move = move;
    animate(this.price, [{ backgroundColor: `var(--flash-${move})` }, { backgroundColor: 'transparent' }], 900);
  }
}

function point({ seq, data }) {
  return { seq, time: data.timestamp, text: String(data.price) };
}
