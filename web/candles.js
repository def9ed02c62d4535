// The candles of one token and interval for the chart. Pure, no socket, no DOM.
//
// Promises: candles are in order of time, one per timestamp, without missing intervals; the state of a candle never
// moves backwards, so history and slightly older updates join seamlessly. Prices stay decimal text; only `bar` converts
// them to doubles, for pixels.

export const INTERVALS = { '1m': 60_000, '5m': 300_000, '15m': 900_000, '1h': 3_600_000, '4h': 14_400_000, '1d': 86_400_000 };
const MOST_FILLED = 5_000;
const SIDES = ['open', 'high', 'low', 'close'];

export class CandleList {
  #step;
  #candles = [];

  constructor(interval) {
    this.#step = INTERVALS[interval];
    if (!this.#step) throw new Error(`unknown interval ${interval}`);
  }

  get all() {
    return this.#candles;
  }

  get oldest() {
    return this.#candles[0] ?? null;
  }

  get newest() {
    return this.#candles.at(-1) ?? null;
  }

  /** Replaces everything by a page of history: oldest first, without gaps. */
  load(page) {
    this.#candles = [...page];
  }

  /** Adds a page before the oldest candle; returns how many candles were new. */
  prepend(page) {
    const older = this.oldest ? page.filter((candle) => candle.timestamp < this.oldest.timestamp) : page;
    this.#candles = [...older, ...this.#candles];
    return older.length;
  }

  /**
   * Applies an update of the channel. Returns the changed or new candles, oldest first: an empty list if nothing changed,
   * and null if the gap to the newest candle is too large to fill. Then history must be loaded.
   */
  apply(update) {
    const newest = this.newest;
    if (!newest) {
      this.#candles.push(update);
      return [update];
    }
    const ahead = (update.timestamp - newest.timestamp) / this.#step;
    if (ahead > MOST_FILLED) return null;
    if (ahead > 0) {
      const fresh = [];
      for (let at = newest.timestamp + this.#step; at < update.timestamp; at += this.#step) fresh.push(synthetic(at, newest.close));
      fresh.push(update);
      this.#candles.push(...fresh);
      return fresh;
    }
    const index = this.#candles.length - 1 + Math.round(ahead);
    const known = this.#candles[index];
    if (!known || known.timestamp !== update.timestamp || !isNewer(update, known)) return [];
    const changed = [update];
    this.#candles[index] = update;
    // Gap candles after it have its close.
    for (let next = index + 1; this.#candles[next]?.synthetic; next += 1) {
      this.#candles[next] = synthetic(this.#candles[next].timestamp, update.close);
      changed.push(this.#candles[next]);
    }
    return changed;
  }

  /** Timestamps at which a candle is missing or out of order; always empty. */
  get faults() {
    return this.#candles.filter((candle, index) => index > 0 && candle.timestamp - this.#candles[index - 1].timestamp !== this.#step).map((candle) => candle.timestamp);
  }
}

/** The candle in the chart's format; times in seconds. */
export function bar(candle) {
  const [open, high, low, close] = SIDES.map((side) => Number(candle[side]));
  return { time: candle.timestamp / 1000, open, high, low, close };
}

/** Counts only increase, and a closed candle stays closed. */
function isNewer(update, known) {
  if (update.count !== known.count) return update.count > known.count;
  return update.closed && !known.closed;
}

function synthetic(timestamp, close) {
  return { timestamp, open: close, high: close, low: close, close, count: 0, closed: true, synthetic: true };
}
