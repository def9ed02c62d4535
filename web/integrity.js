// The table of the page's channels: position, missing updates, and result of the last resume.

import { byId, h, setText } from './dom.js';
import { grouped } from './format.js';

export class Integrity {
  #client;
  #body = byId('streams');
  #total = byId('missed');
  #rows = new Map(); // stream → cells
  #waiting = false;

  constructor(client) {
    this.#client = client;
    client.addEventListener('streams', () => this.#soon());
  }

  #soon() {
    if (this.#waiting) return;
    this.#waiting = true;
    requestAnimationFrame(() => {
      this.#waiting = false;
      this.#draw();
    });
  }

  #draw() {
    const streams = [...this.#client.streams.values()];
    for (const [stream, row] of this.#rows) {
      if (streams.includes(stream)) continue;
      row.element.remove();
      this.#rows.delete(stream);
    }
    for (const stream of streams) this.#show(stream, this.#rows.get(stream) ?? this.#add(stream));
    const missed = streams.reduce((sum, stream) => sum + stream.missed, 0);
    setText(this.#total, grouped(missed));
    this.#total.dataset.bad = missed > 0;
  }

  #add(stream) {
    const [name, seq, received, missed, resume] = [h('th', { scope: 'row' }), h('td', { class: 'num' }), h('td', { class: 'num wide' }), h('td', { class: 'num' }), h('td')];
    const row = { element: h('tr', {}, name, seq, received, missed, resume), name, seq, received, missed, resume };
    this.#rows.set(stream, row);
    this.#body.append(row.element);
    return row;
  }

  #show(stream, row) {
    row.element.dataset.stream = stream.channel;
    setText(row.name, stream.channel);
    setText(row.seq, stream.last === null ? '–' : grouped(stream.last));
    setText(row.received, grouped(stream.received));
    setText(row.missed, stream.healing ? `${grouped(stream.missed)}, requesting` : grouped(stream.missed));
    row.missed.dataset.bad = stream.missed > 0;
    const resume = { true: `recovered, ${grouped(stream.replayed)} replayed`, false: 'not recovered', null: '–' }[stream.recovered];
    setText(row.resume, resume);
    row.resume.dataset.recovered = stream.recovered;
  }
}
