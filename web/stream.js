// The receive state of one channel: its position, and whether updates are missing. Pure, no socket, no DOM.
//
// Promises: a message is delivered at most once and in seq order; a gap is never ignored silently. Assumes the
// gateway's numbering: seq counts 1, 2, 3, … within an epoch, and a message of a conflated ("latest") subscription has
// `prev`, the seq of the previous message in that subscription.

export class ChannelStream {
  constructor(channel) {
    this.channel = channel;
    /** subscription mode; null for the gateway's default. */
    this.mode = null;
    /** seq of the last delivered message; null before the first. */
    this.last = null;
    /** the epoch of `last`. */
    this.epoch = null;
    this.received = 0;
    this.duplicates = 0;
    /** missing updates that were not replayed. */
    this.missed = 0;
    /** result of the last resume, with the number of replayed updates; null before the first one. */
    this.recovered = null;
    this.replayed = 0;
    this.healing = false;
    this.holeEnd = null;
    this.lostAfter = null;
  }

  /** What to do with a message: 'deliver', 'duplicate', 'wait' (a replay will contain it) or 'gap' (request again from `last`). */
  accept(message) {
    const { seq } = message;
    if (!Number.isSafeInteger(seq)) return this.#deliver(); // not a stored update, so it has no position
    if (this.healing) return 'wait';
    if (this.last === null) {
      if (this.lostAfter !== null) this.missed += Math.max(0, seq - this.lostAfter - 1);
      this.lostAfter = null;
      return this.#advance(seq);
    }
    if (seq <= this.last) {
      this.duplicates += 1;
      return 'duplicate';
    }
    if (this.#follows(message)) return this.#advance(seq);
    this.holeEnd = Number.isSafeInteger(message.prev) ? message.prev : seq - 1;
    this.missed += this.holeEnd - this.last;
    return 'gap';
  }

  /** A resubscription with `since: last` is pending: messages before its ack will be replayed. */
  startHealing() {
    this.healing = true;
  }

  /** The answer to a subscription with `since`. `seq` is the channel's current position. */
  resumed({ recovered, seq, sameEpoch }) {
    this.healing = false;
    this.recovered = recovered;
    this.replayed = 0;
    if (recovered) {
      if (Number.isSafeInteger(seq)) this.replayed = Math.max(0, seq - this.last);
      return;
    }
    this.lostAfter = sameEpoch ? this.last : null;
    if (this.holeEnd !== null && this.last !== null) this.missed -= this.holeEnd - this.last; // the snapshot counts it again in full
    this.holeEnd = null;
    this.last = null;
  }

  /** The gap cannot be requested: continue with the next message; the gap stays counted. */
  giveUpHealing() {
    this.healing = false;
    this.holeEnd = null;
    this.last = null;
    this.lostAfter = null;
  }

  #follows({ seq, prev }) {
    return seq === this.last + 1 || (Number.isSafeInteger(prev) && prev <= this.last);
  }

  #advance(seq) {
    if (this.holeEnd !== null && this.last !== null) {
      const filled = Math.min(seq, this.holeEnd) - this.last;
      this.missed = Math.max(0, this.missed - filled);
      if (seq >= this.holeEnd) this.holeEnd = null;
    }
    this.last = seq;
    return this.#deliver();
  }

  #deliver() {
    this.received += 1;
    return 'deliver';
  }
}
