// The chart: candles of a token and interval. History comes from REST, live updates from the WebSocket.
//
// Joining both: REST returns the channel's seq before the candles were read, and the subscription starts there. Every
// update has a whole candle, so an update that is already in the history changes nothing. The subscription delivers all
// updates (`mode` "all", the default): without a close, its candle would stay open. A stale or degraded price, and a
// disconnected stream, are indicated beside the chart and dim it.

import { get } from './api.js';
import { CandleList, INTERVALS, bar } from './candles.js';
import { byId, h, setText, setTitle } from './dom.js';
import { decimal, isFar, magnitude, placesFor, priceText } from './format.js';
import { explain } from './reasons.js';

const PAGE = 500;
/** Older history is loaded if fewer bars than this remain beyond the left edge. */
const LEFT_BARS = 50;
const MOST_BARS = 20_000;
/** Width of a bar with its gap, in pixels. */
const BAR_SPACING = 7;
const RIGHT_BARS = 4;
/** Fewer candles than this are centered, with the width of this many. */
const FEWEST_BARS = 3;
const AGAIN_MS = 5_000;
const NOT_FOUND = 404;
const DEFAULT_INTERVAL = '1m';
const STATUSES = { ok: 'OK', degraded: 'Degraded', stale: 'Stale', offline: 'Not live', waiting: 'Waiting' };

export class Chart {
  #client;
  #panel = byId('chart-panel');
  #box = byId('chart');
  #tokens = byId('chart-token');
  #intervals = byId('chart-intervals');
  #note = byId('chart-note');
  #badge = byId('chart-status');
  #legend = byId('chart-legend');

  #library = null;
  #chart = null;
  #series = null;
  #list = null;
  #token = null;
  #interval = DEFAULT_INTERVAL;
  #channel = null;
  /** Changes with each selection: answers for an earlier one are discarded. */
  #choice = 0;
  #statuses = new Map(); // channel of a price in lower case → its status, and the reason
  #whole = false; // the oldest candle is loaded
  #reading = false;
  #again = null;
  #hovered = null;
  #kept = null; // the magnitude for which the number of digits was chosen
  #fits = false; // all candles are visible because there are few

  constructor(client) {
    this.#client = client;
    for (const name of Object.keys(INTERVALS)) {
      const button = h('button', { type: 'button', 'data-interval': name, 'aria-pressed': String(name === this.#interval) }, name);
      button.addEventListener('click', () => this.#choose(this.#token, name));
      this.#intervals.append(button);
    }
    this.#tokens.addEventListener('change', () => this.#choose(this.#tokens.value, this.#interval));
    client.addEventListener('update', ({ detail }) => this.#take(detail));
    client.addEventListener('state', () => this.#showStatus());
    client.addEventListener('subscribed', ({ detail }) => {
      // The updates in between are lost: reload.
      if (this.#is(detail.stream.channel) && detail.resumed && !detail.stream.recovered) this.#load();
    });
    client.addEventListener('refusedChannel', ({ detail }) => {
      if (this.#is(detail.channel)) setText(this.#note, `${detail.channel} was rejected: ${detail.message}`);
    });
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#paint());
  }

  /** Offers these tokens, and shows the first one unless one is selected. Without tokens there is no chart. */
  offer(symbols) {
    this.#panel.hidden = symbols.length === 0;
    this.#tokens.replaceChildren(...symbols.map((symbol) => h('option', { value: symbol }, symbol)));
    if (symbols.includes(this.#token)) this.#tokens.value = this.#token;
    else if (symbols.length > 0) this.#choose(symbols[0], this.#interval);
  }

  #is(channel) {
    return channel !== null && channel !== undefined && this.#channel !== null && channel.toLowerCase() === this.#channel.toLowerCase();
  }

  #choose(token, interval) {
    if (!token) return;
    this.#token = token;
    this.#interval = interval;
    this.#tokens.value = token;
    for (const button of this.#intervals.children) button.setAttribute('aria-pressed', String(button.dataset.interval === interval));
    this.#showStatus();
    this.#load();
  }

  /** Discards the displayed candles and reloads. Failures are retried. */
  async #load() {
    this.#choice += 1;
    const choice = this.#choice;
    clearTimeout(this.#again);
    this.#leave();
    this.#box.setAttribute('aria-busy', 'true');
    setText(this.#note, 'Loading history…');
    try {
      this.#library ??= await import('./vendor/lightweight-charts.js');
      const page = await this.#page();
      if (page.data.length === 0) page.data = await this.#last();
      if (choice !== this.#choice) return;
      this.#show(page);
    } catch (error) {
      if (choice !== this.#choice) return;
      setText(this.#note, `Cannot load history; retrying. ${error.message}`);
      this.#again = setTimeout(() => this.#load(), AGAIN_MS);
    } finally {
      if (choice === this.#choice) this.#box.removeAttribute('aria-busy');
    }
  }

  /** A page of candles: the newest, or those that start before `to`. */
  #page(to = null) {
    const end = to === null ? '' : `&to=${to}`;
    return get(`/prices/${encodeURIComponent(this.#token)}/candles?interval=${this.#interval}&limit=${PAGE}${end}`);
  }

  /** The last candles of a token whose price has not changed for longer than a page; empty if it never had one. */
  async #last() {
    let price;
    try {
      price = await get(`/prices/${encodeURIComponent(this.#token)}`);
    } catch (error) {
      if (error.status === NOT_FOUND) return [];
      throw error;
    }
    return (await this.#page(price.timestamp + 1)).data;
  }

  /** Unsubscribes from the channel. */
  #leave() {
    const channel = this.#channel;
    this.#channel = null;
    this.#list = null;
    if (channel) this.#client.unsubscribe(channel).catch(() => {}); // without a connection there is no subscription
  }

  #show(page) {
    this.#list = new CandleList(this.#interval);
    this.#list.load(page.data);
    this.#whole = false;
    this.#hovered = null;
    this.#kept = null;
    this.#make();
    this.#scale();
    this.#series.setData(this.#list.all.map((candle) => this.#bar(candle)));
    this.#chart.timeScale().applyOptions({ secondsVisible: false, timeVisible: this.#interval !== '1d' });
    this.#fits = true;
    this.#fill();
    this.#channel = page.channel;
    Object.assign(this.#box.dataset, { channel: page.channel, since: page.seq });
    this.#client.subscribeFrom(page.channel, { seq: page.seq, epoch: page.epoch, mode: 'all' });
    this.#publishState();
    setText(this.#note, this.#list.all.length > 0 ? 'Times are UTC' : 'No prices in this period');
    this.#readOlder();
  }

  #take(message) {
    if (message.event === 'price-update') {
      this.#statuses.set(message.channel.toLowerCase(), { status: message.data?.status ?? 'ok', reason: message.data?.reason });
      if (this.#token && message.channel.toLowerCase() === `price:${this.#token.toLowerCase()}`) this.#showStatus();
      return;
    }
    if (message.event !== 'candle-update' || !this.#list || !this.#is(message.channel)) return;
    const first = this.#list.newest === null;
    const newest = this.#list.newest?.timestamp ?? 0;
    const changed = this.#list.apply(message.data);
    if (changed === null) {
      this.#load();
      return;
    }
    if (first) this.#scale();
    for (const candle of changed) this.#series.update(this.#bar(candle), candle.timestamp < newest);
    if (first) setText(this.#note, 'Times are UTC');
    if (changed.length > 0) this.#fill();
    this.#publishState();
  }

  /** Whether all candles together are narrower than the plot. */
  #isFew() {
    return this.#list.all.length * BAR_SPACING < this.#box.clientWidth;
  }

  /** Few candles fill the plot, until there are enough of them. */
  #fill() {
    if (!this.#fits) return;
    this.#fits = this.#isFew();
    const scale = this.#chart.timeScale();
    // The space on the right is for new candles; few candles need none.
    scale.applyOptions({ rightOffset: this.#fits ? 0 : RIGHT_BARS });
    const count = this.#list.all.length;
    const beside = Math.max(0, FEWEST_BARS - count) / 2;
    if (!this.#fits) scale.resetTimeScale();
    else if (beside === 0) scale.fitContent();
    else if (count > 0) scale.setVisibleLogicalRange({ from: -0.5 - beside, to: count - 0.5 + beside });
    this.#measure();
  }

  /** The part of the plot's width that has candles, for tests. */
  #measure() {
    requestAnimationFrame(() => {
      const scale = this.#chart.timeScale();
      const bars = scale.getVisibleLogicalRange();
      const wide = bars ? bars.to - bars.from : 0;
      this.#box.dataset.shown = wide > 0 ? ((this.#list?.all.length ?? 0) / wide).toFixed(2) : '0';
    });
  }

  /** Loads older candles when the left edge approaches the oldest one. */
  async #readOlder() {
    const range = this.#chart?.timeScale().getVisibleLogicalRange();
    const oldest = this.#list?.oldest;
    if (!range || !oldest || range.from > LEFT_BARS || this.#whole || this.#reading) return;
    if (this.#list.all.length >= MOST_BARS) return;
    const choice = this.#choice;
    this.#reading = true;
    try {
      const page = await this.#page(oldest.timestamp);
      if (choice !== this.#choice || !this.#list) return;
      if (this.#list.prepend(page.data) === 0) this.#whole = true;
      else this.#series.setData(this.#list.all.map((candle) => this.#bar(candle)));
      this.#fill();
      this.#publishState();
    } catch {
      // retried at the next move
    } finally {
      this.#reading = false;
    }
  }

  // ---- drawing ----

  #make() {
    if (this.#chart) return;
    const { createChart, CandlestickSeries, CrosshairMode } = this.#library;
    this.#chart = createChart(this.#box, {
      autoSize: true,
      // Its logo uses an inline style, which the page's CSP forbids; the link is below the chart.
      layout: { attributionLogo: false },
      crosshair: { mode: CrosshairMode.Normal },
      timeScale: { rightOffset: RIGHT_BARS, barSpacing: BAR_SPACING },
    });
    this.#series = this.#chart.addSeries(CandlestickSeries, {});
    this.#paint();
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange(() => this.#readOlder());
    this.#chart.subscribeCrosshairMove(({ time }) => {
      this.#hovered = time === undefined ? null : (this.#list?.all.find((candle) => candle.timestamp === time * 1000) ?? null);
      this.#showLegend();
    });
  }

  /** The page's colours, light or dark. */
  #paint() {
    if (!this.#chart) return;
    const { text, muted, line, up, down } = this.#colours();
    this.#chart.applyOptions({
      layout: { background: { color: 'transparent' }, textColor: muted, fontFamily: getComputedStyle(document.body).fontFamily },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
      rightPriceScale: { borderColor: line },
      timeScale: { borderColor: line },
      crosshair: { vertLine: { color: muted, labelBackgroundColor: text }, horzLine: { color: muted, labelBackgroundColor: text } },
    });
    this.#series.applyOptions({ upColor: up, downColor: down, borderUpColor: up, borderDownColor: down, wickUpColor: up, wickDownColor: down });
    if (this.#list) this.#series.setData(this.#list.all.map((candle) => this.#bar(candle)));
  }

  #colours() {
    const style = getComputedStyle(document.documentElement);
    const names = ['text', 'muted', 'line', 'up', 'down'];
    return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }

  #bar(candle) {
    if (!candle.synthetic) return bar(candle);
    const { muted } = this.#colours();
    return { ...bar(candle), color: muted, borderColor: muted, wickColor: muted };
  }

  /** A number of digits that fits the prices. */
  #scale() {
    const power = this.#power();
    const precision = placesFor(power);
    const priceFormat = isFar(power)
      ? { type: 'custom', minMove: 10 ** (power - 4), formatter: (price) => price.toExponential(4) }
      : { type: 'price', precision, minMove: 10 ** -precision };
    this.#series.applyOptions({ priceFormat });
  }

  /** The magnitude of the newest close; kept while the price stays close, so that the number of digits does not alternate. */
  #power() {
    const close = decimal(this.#list?.newest?.close);
    if (!close) return this.#kept ?? 2;
    const power = magnitude(close);
    if (this.#kept === null || Math.abs(power - this.#kept) > 1) this.#kept = power;
    return this.#kept;
  }

  // ---- text ----

  #publishState() {
    const { all, newest, oldest, faults } = this.#list;
    Object.assign(this.#box.dataset, {
      candles: all.length,
      faults: faults.length,
      oldest: oldest?.timestamp ?? '',
      newest: newest?.timestamp ?? '',
      close: newest?.close ?? '',
      count: newest?.count ?? '',
    });
    this.#showLegend();
  }

  #showLegend() {
    const candle = this.#hovered ?? this.#list?.newest;
    if (!candle) {
      setText(this.#legend, '–');
      return;
    }
    const power = this.#power();
    const shown = (side) => priceText(decimal(candle[side]), power);
    const at = new Date(candle.timestamp).toISOString().slice(0, 16).replace('T', ' ');
    const kind = candle.synthetic ? 'no price' : candle.closed ? 'closed' : 'open';
    setText(this.#legend, `${at} · O ${shown('open')} H ${shown('high')} L ${shown('low')} C ${shown('close')} · ${kind}`);
    setTitle(this.#legend, `open ${candle.open}\nhigh ${candle.high}\nlow ${candle.low}\nclose ${candle.close}\nprices ${candle.count}`);
    this.#box.setAttribute('aria-label', `Candles of ${this.#token}, ${this.#interval}: ${this.#legend.textContent}`);
  }

  #showStatus() {
    const known = this.#token ? this.#statuses.get(`price:${this.#token.toLowerCase()}`) : undefined;
    const status = this.#client.state.phase === 'live' ? (known?.status ?? 'waiting') : 'offline';
    this.#badge.dataset.status = status;
    this.#box.dataset.status = status;
    setText(this.#badge, STATUSES[status] ?? status);
    setTitle(this.#badge, explain(status, known?.reason));
  }
}
