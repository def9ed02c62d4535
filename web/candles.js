// The candles of one token and interval as a chart shows them. Pure, no socket, no document.
//
// Promises: in order of time, one a timestamp, no interval left out between two of them; the state of a candle never
// goes back, so that a page of history and updates that are a little older than it join without a jump.
// Prices stay decimal text; only `bar` makes doubles of them, for pixels.

export const INTERVALS = { '1m': 60_000, '5m': 300_000, '15m': 900_000, '1h': 3_600_000, '4h': 14_400_000, '1d': 86_400_000 };
const MOST_FILLED = 5_000;
const SIDES = ['open', 'high', 'low', 'close'];

export class CandleList {
  #step;
  #candles = [];

  constructor(interval) {
    this.#step = INTERVALS[interval];
    if (!this.#step) throw new Error(`no interval is called ${interval}`);
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

  /** Forgets all, and takes a page of history: oldest first, without gaps. */
  load(page) {
    this.#candles = [...page];
  }

  /** Takes the page ahead of the oldest candle; returns how many of it were not here yet. */
  prepend(page) {
    const older = this.oldest ? page.filter((candle) => candle.timestamp < this.oldest.timestamp) : page;
    this.#candles = [...older, ...this.#candles];
    return older.length;
  }

  /**
   * Takes an update of the channel. Returns the candles that changed or are new, oldest first; none when it says
   * nothing new, and null when too much lies between it and the newest to be filled: then history has to be read.
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
    // Gaps behind it stand where it closed.
    for (let next = index + 1; this.#candles[next]?.synthetic; next += 1) {
      this.#candles[next] = synthetic(this.#candles[next].timestamp, update.close);
      changed.push(this.#candles[next]);
    }
    return changed;
  }

  /** Timestamps at which a candle is missing or out of order; none, ever. */
  get faults() {
    return this.#candles.filter((candle, index) => index > 0 && candle.timestamp - this.#candles[index - 1].timestamp !== this.#step).map((candle) => candle.timestamp);
  }
}

/** As the chart takes it; times in seconds. */
export function bar(candle) {
  const [open, high, low, close] = SIDES.map((side) => Number(candle[side]));
  return { time: candle.timestamp / 1000, open, high, low, close };
}

/** Counts only grow, and what is closed stays so. */
function isNewer(update, known) {
  if (update.count !== known.count) return update.count > known.count;
  return update.closed && !known.closed;
}

function synthetic(timestamp, close) {
  return { timestamp, open: close, high: close, low: close, close, count: 0, closed: true, synthetic: true };
}
