// Explains the status of a price. Pure functions, no DOM.

const STATUSES = {
  ok: 'Fresh ticks from enough sources',
  degraded: 'Too few venues, disagreeing venues, or a jump at a single venue',
  stale: 'No fresh tick: this is the last known price, not the current one',
  offline: 'The stream is disconnected: this is the last received price',
  waiting: 'No price received yet',
};

/** By `reason` of a price: a short label, and a sentence. */
const REASONS = {
  few_venues: ['few venues', 'Fewer venues than configured have a fresh price'],
  disagreement: ['disagreement', 'The venues disagree, or one of them is too uncertain'],
  jump: ['jump', 'The price jumped at a single venue'],
  rate: ['rate', 'The conversion rate to USD is unreliable'],
  old: ['no fresh tick', 'No fresh tick'],
  node_down: ['node down', "The chain's node does not answer"],
};

/** A short label for the reason of a price; null without a reason, or for an unknown one. */
export function inShort(reason) {
  return Object.hasOwn(REASONS, reason ?? '') ? REASONS[reason][0] : null;
}

/** Explains a status, with its reason if the server sent one. */
export function explain(status, reason) {
  const [, why] = Object.hasOwn(REASONS, reason ?? '') ? REASONS[reason] : [];
  if (!why || (status !== 'degraded' && status !== 'stale')) return STATUSES[status] ?? '';
  return status === 'stale' ? `${why}: this is the last known price, not the current one` : why;
}
