// The channel console: a second client on its own connection, which shows raw messages.
//
// The separate connection isolates the page's streams from experiments here, including a rejected JWT. Bounded: the log
// keeps the newest messages, paused or not. A JWT is never written to the log.

import { byId, h, setText } from './dom.js';
import { Live } from './live.js';

const MAX_ENTRIES = 300;
const RATE_WINDOW_MS = 5000;
const NEAR_END_PX = 24;
const SUGGESTIONS = ['heartbeat', 'new-block'];

export class Console {
  #client;
  #started = false;
  #entries = [];
  #unseen = []; // entries that are not rendered yet
  #paused = false;
  #follow = true;
  #filter = '';
  #times = [];
  #channels = new Set();
  #drawing = false;

  #form = byId('console-form');
  #input = byId('console-channel');
  #known = byId('known-channels');
  #subs = byId('console-subs');
  #answer = byId('console-answer');
  #state = byId('console-state');
  #filterBox = byId('console-filter');
  #pause = byId('console-pause');
  #rate = byId('console-rate');
  #log = byId('console-log');
  #empty = byId('console-empty');
  #jump = byId('console-jump');
  #token = byId('console-token');

  /** Called with a JWT that was sent, so that a rejected page can use it too. */
  onToken = () => {};

  constructor(url) {
    this.#client = new Live(url);
    this.#listen();
    this.#controls();
    this.suggest([]);
    this.#showSubs();
    setInterval(() => this.#showRate(), 500);
  }

  /** Suggests these channels besides the general ones. */
  suggest(priceChannels) {
    const all = [...SUGGESTIONS, ...priceChannels];
    this.#known.replaceChildren(...all.map((value) => h('option', { value })));
    this.#suggested = all.slice(0, 4);
    this.#showSubs();
  }
  #suggested = SUGGESTIONS;

  #listen() {
    const client = this.#client;
    client.addEventListener('frame', ({ detail }) => this.#frame(detail));
    client.addEventListener('streams', () => this.#showSubs());
    client.addEventListener('state', ({ detail }) => this.#showState(detail));
    client.addEventListener('subscribed', ({ detail: { entry, stream, resumed } }) => {
      const recovered = resumed ? (entry.recovered ? ', recovered' : ', not recovered') : '';
      this.#say('ok', `Subscribed to ${stream.channel} at seq ${entry.seq ?? '–'}${recovered}`);
    });
    client.addEventListener('refusedChannel', ({ detail }) => this.#say('bad', `${detail.channel}: ${detail.code}, ${detail.message}`));
    client.addEventListener('problem', ({ detail }) => this.#say('bad', `${detail.code}: ${detail.message}`));
    client.addEventListener('gap', ({ detail }) => this.#say('bad', `${detail.stream.channel}: updates from ${detail.from} on were lost and are requested again`));
  }

  #controls() {
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#subscribe(this.#input.value.trim());
      this.#input.select();
    });
    byId('console-auth').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#authenticate(this.#token.value.trim());
    });
    this.#subs.addEventListener('click', (event) => {
      const { drop, add } = event.target.closest('button')?.dataset ?? {};
      if (add) this.#subscribe(add);
      if (drop) this.#unsubscribe(drop);
    });
    this.#pause.addEventListener('click', () => {
      this.#paused = !this.#paused;
      this.#pause.setAttribute('aria-pressed', this.#paused);
      if (!this.#paused) this.#redraw();
      this.#showPause();
    });
    byId('console-clear').addEventListener('click', () => {
      this.#entries = [];
      this.#redraw();
    });
    this.#filterBox.addEventListener('change', () => {
      this.#filter = this.#filterBox.value;
      this.#redraw();
    });
    this.#log.addEventListener('scroll', () => {
      this.#follow = this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < NEAR_END_PX;
      this.#jump.hidden = this.#follow;
    });
    this.#jump.addEventListener('click', () => {
      this.#follow = true;
      this.#toEnd();
      this.#log.focus();
    });
  }

  #start() {
    if (this.#started) return;
    this.#started = true;
    this.#client.start();
  }

  #subscribe(channel) {
    if (!channel) return;
    this.#say('', `Subscribing to ${channel}…`);
    this.#client.subscribe([channel]);
    this.#start();
  }

  async #unsubscribe(channel) {
    try {
      await this.#client.unsubscribe(channel);
      this.#say('ok', `Unsubscribed from ${channel}`);
    } catch (error) {
      this.#say('bad', `${error.code}: ${error.message}`);
    }
  }

  /** Resolves when the connection is live or was rejected. */
  #settled() {
    this.#start();
    const client = this.#client;
    return new Promise((resolve) => {
      const look = () => {
        if (client.state.phase !== 'live' && client.state.phase !== 'refused') return;
        client.removeEventListener('state', look);
        resolve();
      };
      client.addEventListener('state', look);
      look();
    });
  }

  async #authenticate(token) {
    if (!token) return;
    this.#token.value = '';
    this.onToken(token);
    try {
      await this.#settled();
      const answer = await this.#client.authenticate(token);
      this.#say('ok', answer ? 'JWT accepted' : 'Connecting with the JWT');
    } catch (error) {
      this.#say('bad', `${error.code}: ${error.message}`);
    }
  }

  // ---- the log ----

  #frame({ direction, text, message }) {
    if (message.event === 'ping' || message.event === 'pong') return; // keepalive of the connection
    if (direction === 'in') this.#times.push(Date.now());
    const channel = message.channel ?? '';
    if (channel && !this.#channels.has(channel)) {
      this.#channels.add(channel);
      this.#filterBox.append(h('option', { value: channel }, channel));
    }
    const shown = direction === 'out' && message.event === 'auth' ? '{"event":"auth","data":{"token":"…"}}' : text;
    const entry = { at: new Date(), direction, event: message.event ?? '?', channel, text: shown, refused: isRefused(message) };
    this.#entries.push(entry);
    if (this.#entries.length > MAX_ENTRIES) this.#entries.shift();
    if (this.#paused) {
      this.#showPause((this.#held += 1));
      return;
    }
    if (this.#passes(entry)) this.#unseen.push(entry);
    this.#drawSoon();
  }
  #held = 0;

  #passes(entry) {
    return this.#filter === '' || entry.channel === this.#filter;
  }

  #drawSoon() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#log.append(...this.#unseen.slice(-MAX_ENTRIES).map(line));
      this.#unseen = [];
      while (this.#log.children.length > MAX_ENTRIES) this.#log.firstElementChild.remove();
      this.#empty.hidden = this.#log.children.length > 0;
      if (this.#follow) this.#toEnd();
    });
  }

  #redraw() {
    this.#held = 0;
    this.#unseen = this.#entries.filter((entry) => this.#passes(entry));
    this.#log.replaceChildren();
    this.#follow = true;
    this.#drawSoon();
  }

  #toEnd() {
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  // ---- status ----

  #showSubs() {
    const held = [...this.#client.streams.values()].map((stream) => stream.channel);
    const signature = held.join(' ') || `try ${this.#suggested.join(' ')}`;
    if (this.#subs.dataset.signature === signature) return;
    this.#subs.dataset.signature = signature;
    const chips = held.map((channel) =>
      h('li', { class: 'chip' }, channel, h('button', { type: 'button', 'data-drop': channel, 'aria-label': `Unsubscribe from ${channel}` }, '×')),
    );
    const offers = this.#suggested.map((channel) => h('li', {}, h('button', { type: 'button', class: 'offer', 'data-add': channel }, channel)));
    this.#subs.replaceChildren(...(held.length > 0 ? chips : [h('li', { class: 'hint' }, 'Try'), ...offers]));
  }

  #showState({ phase, reason }) {
    const words = { connecting: 'Connecting', live: 'Connected (separate connection)', reconnecting: `Reconnecting: ${reason}`, refused: `Refused: ${reason}`, stopped: 'Closed' };
    this.#state.dataset.phase = phase;
    setText(this.#state, words[phase]);
  }

  #showPause() {
    setText(this.#pause, !this.#paused ? 'Pause' : this.#held > 0 ? `Resume (${this.#held})` : 'Resume');
  }

  #showRate() {
    const from = Date.now() - RATE_WINDOW_MS;
    this.#times = this.#times.filter((time) => time > from);
    setText(this.#rate, `${(this.#times.length / (RATE_WINDOW_MS / 1000)).toFixed(1)} /s`);
  }

  #say(kind, text) {
    this.#answer.dataset.kind = kind;
    setText(this.#answer, text);
    this.#answer.title = text;
  }
}

function isRefused(message) {
  return message.event === 'error' || message.data?.success === false;
}

function line(entry) {
  const kind = entry.refused ? 'error' : entry.direction === 'out' ? 'out' : entry.event === 'ack' ? 'ack' : 'in';
  return h(
    'li',
    { class: 'entry', 'data-kind': kind, 'data-channel': entry.channel },
    h('span', { class: 'entry-head' }, h('time', { class: 'num' }, clock(entry.at)), h('span', { class: 'entry-event' }, `${entry.direction === 'out' ? '→ ' : ''}${entry.event}`)),
    h('code', {}, entry.text),
  );
}

function clock(date) {
  const two = (value, width = 2) => String(value).padStart(width, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${two(date.getMilliseconds(), 3)}`;
}
