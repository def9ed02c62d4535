// The newest blocks, with live reorgs and finality.
//
// Promises: a block dropped by a reorg stays visible, struck out, until newer blocks displace it; missing block numbers
// are indicated. Rows have a fixed height, so the layout does not jump.

import { get, rows } from './api.js';
import { animate, byId, copyText, h, setText } from './dom.js';
import { age, fee, gasPercent, grouped, shortHash } from './format.js';

const MAX_ROWS = 30;
const SEED_ROWS = 20;

export class Blocks {
  #client;
  #list = byId('blocks');
  #reorg = byId('reorg');
  #copied = byId('copied');
  #rows = new Map(); // hash → {element, number, dropped, bornAt, age}
  #finalized = -1;
  #reorgAt = null;
  #reorgText = '';
  #epoch = null;
  #gone = new Set(); // hashes dropped by the last reorg: history requested earlier may still contain them

  /** Called with the head and finalized numbers, and the chain id, as they become known. */
  onFacts = () => {};

  constructor(client) {
    this.#client = client;
    client.addEventListener('update', ({ detail }) => this.#take(detail));
    client.addEventListener('subscribed', ({ detail: { stream, resumed } }) => {
      const lost = resumed && !stream.recovered;
      if (stream.channel.toLowerCase().startsWith('new-block') && lost) this.load().catch(() => {}); // the stream has lost its history
    });
    client.addEventListener('connected', ({ detail }) => this.#enter(detail.epoch));
    this.#list.addEventListener('click', (event) => this.#copy(event));
    setInterval(() => this.#tick(), 1000);
  }

  /** Fills the list with the newest blocks; blocks from the live stream are kept. */
  async load() {
    try {
      const page = rows(await get(`/blocks?limit=${SEED_ROWS}`));
      for (const block of page.reverse()) this.#add(block, block.timestamp, false);
      this.#bound();
    } finally {
      this.#list.removeAttribute('aria-busy');
    }
  }

  /** Marks every block up to this number as final. */
  finalize(number) {
    if (!Number.isSafeInteger(number) || number <= this.#finalized) return;
    this.#finalized = number;
    for (const row of this.#rows.values()) this.#mark(row);
    this.onFacts({ finalized: number });
  }

  /** A new epoch means another database, possibly of another chain. */
  #enter(epoch) {
    if (this.#epoch !== null && this.#epoch !== epoch) {
      this.#rows.clear();
      this.#list.replaceChildren();
      this.#finalized = -1;
    }
    this.#epoch = epoch;
  }

  #take({ event, data }) {
    if (!data) return;
    if (event === 'new-block') {
      this.#add(data, data.blockTimestamp, true);
      this.#bound();
      this.onFacts({ head: data.number, chainId: data.chainId });
    } else if (event === 'block-finalized') {
      this.finalize(data.number);
    } else if (event === 'reorg') {
      this.#drop(data);
    }
  }

  #add(block, seconds, live) {
    const number = Number(block.number);
    if (!block.hash || !Number.isSafeInteger(number)) return;
    if (live) this.#gone.delete(block.hash); // a branch can become canonical again
    else if (this.#gone.has(block.hash)) return;
    const known = this.#rows.get(block.hash);
    if (known) {
      known.dropped = false;
      this.#mark(known);
      return;
    }
    const row = makeRow(block, number, Number(seconds) * 1000);
    this.#rows.set(block.hash, row);
    this.#place(row);
    this.#mark(row);
    this.#age(row, Date.now() + this.#client.clockOffsetMs);
    this.#gaps(row);
    if (!live) return;
    // The background fades; the text is readable from the first frame.
    animate(row.element, [{ backgroundColor: 'var(--accent-soft)' }, { backgroundColor: 'transparent' }], 900);
  }

  /** Highest number first; within one height, the latest block is above the ones it replaced. */
  #place(row) {
    for (const element of this.#list.children) {
      if (Number(element.dataset.number) <= row.number) {
        element.before(row.element);
        return;
      }
    }
    this.#list.append(row.element);
  }

  /** Shows beside a block how many blocks below it are missing. */
  #gaps(row) {
    const next = row.element.nextElementSibling;
    const below = next ? row.number - Number(next.dataset.number) - 1 : 0;
    row.element.dataset.gap = below > 0 ? `${below} below not shown` : '';
    const previous = row.element.previousElementSibling;
    if (previous) {
      const above = Number(previous.dataset.number) - row.number - 1;
      previous.dataset.gap = above > 0 ? `${above} below not shown` : '';
    }
  }

  #drop({ depth, commonAncestor, dropped }) {
    this.#gone = new Set((dropped ?? []).map((block) => block.hash));
    for (const hash of this.#gone) {
      const row = this.#rows.get(hash);
      if (!row) continue;
      row.dropped = true;
      this.#mark(row);
    }
    this.#reorgAt = Date.now();
    this.#reorgText = `Reorg, depth ${depth}, back to #${grouped(commonAncestor?.number ?? '?')}`;
    this.#reorg.dataset.seen = 'true';
    this.#reorg.dataset.depth = depth;
    setText(this.#reorg, this.#reorgText);
    if (Number.isSafeInteger(commonAncestor?.number)) this.onFacts({ head: commonAncestor.number });
  }

  #mark(row) {
    const state = row.dropped ? 'dropped' : row.number <= this.#finalized ? 'final' : '';
    if (row.element.dataset.state === state) return;
    row.element.dataset.state = state;
    setText(row.mark, { dropped: 'dropped', final: 'final' }[state] ?? '');
  }

  #bound() {
    while (this.#list.children.length > MAX_ROWS) {
      const last = this.#list.lastElementChild;
      this.#rows.delete(last.dataset.hash);
      last.remove();
    }
  }

  async #copy(event) {
    const button = event.target.closest('button[data-copy]');
    if (!button) return;
    const worked = await copyText(button.dataset.copy);
    setText(this.#copied, worked ? `Copied ${button.dataset.copy}` : 'Copying is not allowed here');
    button.dataset.done = worked ? 'true' : 'false';
    setTimeout(() => delete button.dataset.done, 1200);
  }

  #age(row, now) {
    setText(row.age, Number.isFinite(row.bornAt) ? age(now - row.bornAt) : '–');
  }

  #tick() {
    const now = Date.now() + this.#client.clockOffsetMs;
    for (const row of this.#rows.values()) this.#age(row, now);
    if (this.#reorgAt !== null) this.#reorg.title = `${this.#reorgText}, ${age(Date.now() - this.#reorgAt)}`;
  }
}

function makeRow(block, number, bornAt) {
  const count = block.transactions ?? block.transactionCount ?? block.transaction_count;
  const transactions = Array.isArray(count) ? count.length : count;
  const gas = gasPercent(block.gasUsed, block.gasLimit);
  const gasTitle = `${grouped(block.gasUsed ?? '–')} of ${grouped(block.gasLimit ?? '–')} gas`;
  const fill = h('span', { class: 'gas-fill' });
  fill.style.width = `${gas ?? 0}%`;
  const ageText = h('span', { class: 'b-age num right' });
  const mark = h('span', { class: 'mark-word' });
  const element = h(
    'li',
    { class: 'block', 'data-number': number, 'data-hash': block.hash },
    h('span', { class: 'b-number num' }, h('span', { class: 'strike' }, grouped(number)), mark),
    h(
      'span',
      { class: 'b-hash' },
      h('button', { type: 'button', class: 'hash', 'data-copy': block.hash, title: `${block.hash}\nClick to copy`, 'aria-label': `${shortHash(block.hash)}, copy the whole hash` }, shortHash(block.hash)),
    ),
    h('span', { class: 'b-txs num right' }, grouped(transactions ?? '–'), h('span', { class: 'small-unit' }, ' txs')),
    h('span', { class: 'b-gas', title: gasTitle }, h('span', { class: 'gas', 'aria-hidden': 'true' }, fill), h('span', { class: 'gas-text num' }, gas === null ? '–' : `${gas.toFixed(gas < 10 ? 1 : 0)} %`)),
    h('span', { class: 'b-fee num right' }, fee(block.baseFeePerGas)),
    ageText,
  );
  return { element, number, bornAt, age: ageText, mark, dropped: false };
}
