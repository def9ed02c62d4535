// Why a price is what its status says, in words. Pure functions, no document.

const STATUSES = {
  ok: 'Fresh ticks from enough sources',
  degraded: 'Fewer venues than wanted, venues that disagree, or one alone that jumped',
  stale: 'No fresh tick: this is the last known price, not the current one',
  offline: 'The stream is down: this is the last price that arrived',
  waiting: 'No price has arrived yet',
};

/** By `reason` of a price: in short, and as a sentence. */
const REASONS = {
  few_venues: ['few venues', 'Fewer venues than wanted give a price'],
  disagreement: ['disagreement', 'The venues are too far apart, or one of them is too unsure'],
  jump: ['jump', 'One venue alone gives a price, and it jumped'],
  rate: ['rate', 'The rate that converts it to USD is not to be relied on'],
  old: ['no fresh tick', 'No fresh tick'],
  node_down: ['node down', "The node of its chain does not answer"],
};

/** A few words for the reason of a price; null where it has none, or one that is not known here. */
export function inShort(reason) {
  return Object.hasOwn(REASONS, reason ?? '') ? REASONS[reason][0] : null;
}

/** What a status means, with its reason where the server gives one. */
export function explain(status, reason) {
  const [, why] = Object.hasOwn(REASONS, reason ?? '') ? REASONS[reason] : [];
  if (!why || (status !== 'degraded' && status !== 'stale')) return STATUSES[status] ?? '';
  return status === 'stale' ? `${why}: this is the last known price, not the current one` : why;
}
