// The line under the header: state of the connection, chain, and last event.

import { byId, setText, setTitle } from './dom.js';
import { duration, grouped } from './format.js';

const NEEDS_TOKEN = 4401;
const WORDS = { connecting: 'Connecting', live: 'Live', reconnecting: 'Reconnecting', refused: 'Refused', stopped: 'Closed' };

export class Connection {
  #client;
  #box = byId('connection');
  #word = byId('connection-word');
  #count = byId('connection-count');
  #retry = byId('retry');
  #story = byId('story');
  #chain = byId('chain');
  #head = byId('head');
  #finalized = byId('finalized');
  #resumed = false;
  /** Whether the node status is known. */
  #known = false;

  constructor(client) {
    this.#client = client;
    client.addEventListener('state', () => this.#show());
    client.addEventListener('connected', ({ detail }) => setTitle(this.#chain, `epoch ${detail.epoch ?? 'unknown'}`));
    client.addEventListener('resumed', ({ detail }) => this.#back(detail));
    client.addEventListener('gap', ({ detail }) => this.#tell(`${detail.stream.channel}: updates missing, requested again from #${grouped(detail.from)}`, 'gap'));
    client.addEventListener('problem', ({ detail }) => this.#tell(`${detail.code}: ${detail.message}`, 'problem'));
    this.#retry.addEventListener('click', () => client.retry());
    setInterval(() => this.#countdown(), 250);
    this.#show();
  }

  facts({ head, finalized, chainId }) {
    if (Number.isSafeInteger(head)) setText(this.#head, `#${grouped(head)}`);
    if (Number.isSafeInteger(finalized)) setText(this.#finalized, `#${grouped(finalized)}`);
    if (chainId !== undefined && chainId !== null) setText(this.#chain, String(chainId));
  }

  /**
   * Shows the chains whose node is down or whose index is behind; nothing if all are healthy. Null: the gateway does not
   * know. Screen readers get only the status, without the ages that change every second.
   */
  nodes(chains) {
    if (!Array.isArray(chains)) {
      this.#nodesUnknown();
      return;
    }
    const sick = chains.filter(({ status }) => status !== 'ok');
    const prefix = ({ chainId }) => (chains.length > 1 ? `${chainId}: ` : '');
    this.#known = true;
    this.#showNodes(
      sick.map((chain) => prefix(chain) + condition(chain)).join(', '),
      sick.map((chain) => prefix(chain) + statusOf(chain)).join(', '),
    );
  }

  #nodesUnknown() {
    this.#known = false;
    this.#showNodes('unknown', 'unknown');
  }

  #showNodes(text, spoken) {
    byId('nodes').hidden = text === '';
    setText(byId('node'), text);
    setText(byId('node-status'), spoken === '' ? '' : `Node: ${spoken}`);
  }

  #show() {
    const { phase, reason, code } = this.#client.state;
    this.#box.dataset.phase = phase;
    setText(this.#word, WORDS[phase]);
    this.#retry.hidden = phase !== 'reconnecting' && phase !== 'refused';
    this.#countdown();
    if (phase === 'live' && !this.#resumed) this.#tell('All updates are numbered and checked', 'live');
    if (phase === 'live') this.#resumed = true;
    if (phase !== 'live' && this.#known) this.#nodesUnknown();
    if (phase === 'reconnecting') this.#tell(sentence(reason), 'lost');
    if (phase === 'refused') this.#tell(code === NEEDS_TOKEN ? `${sentence(reason)}. Enter one under "Use a JWT" in the console` : sentence(reason), 'refused');
  }

  #countdown() {
    const { phase, retryAt } = this.#client.state;
    const left = phase === 'reconnecting' ? Math.max(0, Math.ceil((retryAt - Date.now()) / 1000)) : null;
    setText(this.#count, left === null ? '' : `in ${left} s`);
  }

  #back({ downMs, results }) {
    const recovered = results.length > 0 && results.every((result) => result.recovered);
    const replayed = results.reduce((sum, result) => sum + result.replayed, 0);
    const gone = results.filter((result) => !result.recovered).map((result) => result.channel);
    const end = results.length === 0 ? 'nothing to resume' : recovered ? `recovered, ${grouped(replayed)} replayed, no updates missed` : `not recovered: ${gone.join(', ')}`;
    this.#story.dataset.recovered = recovered;
    this.#tell(`Reconnected after ${downMs < 1000 ? 'less than 1 s' : duration(downMs)}: ${end}`, 'back');
  }

  #tell(text, kind) {
    this.#story.dataset.kind = kind;
    setText(this.#story, text);
    setTitle(this.#story, text);
  }
}

function condition({ status, nodeAgeMs, headAgeMs }) {
  if (status === 'down') return nodeAgeMs === null ? 'never answered' : `no answer for ${duration(nodeAgeMs)}`;
  return headAgeMs === null ? 'no block yet' : `behind, newest block ${duration(headAgeMs)} old`;
}

/** Like `condition`, without an age. */
function statusOf({ status, nodeAgeMs, headAgeMs }) {
  if (status === 'down') return nodeAgeMs === null ? 'never answered' : 'no answer';
  return headAgeMs === null ? 'no block yet' : 'behind';
}

function sentence(text) {
  return text ? text[0].toUpperCase() + text.slice(1) : '';
}
