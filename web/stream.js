// One channel as a reader sees it: where it stands, and whether anything is missing. Pure, no socket, no document.
//
// Promises: a message is delivered at most once and in seq order; a hole is never passed over silently.
// Assumes the numbering of the gateway: seq counts 1, 2, 3, … within an epoch, and a message of a conflated
// ("latest") subscription carries `prev`, the seq of the message before it in that subscription.

export class ChannelStream {
  constructor(channel) {
    this.channel = channel;
    /** how it is subscribed; null for the gateway's default. */
    this.mode = null;
    /** seq of the last delivered message; null before the first. */
    this.last = null;
    /** the epoch that `last` counts in. */
    this.epoch = null;
    this.received = 0;
    this.duplicates = 0;
    /** updates that left a hole and were not replayed since. */
    this.missed = 0;
    /** true or false after a resume, with how many updates it brought; null before the first one. */
    this.recovered = null;
    this.replayed = 0;
    this.healing = false;
    this.holeEnd = null;
    this.lostAfter = null;
  }

  /** What to do with a message: 'deliver', 'duplicate', 'wait' (a replay will bring it) or 'gap' (ask again from `last`). */
  accept(message) {
    const { seq } = message;
    if (!Number.isSafeInteger(seq)) return this.#deliver(); // not a stored update, so it has no place to check
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

  /** A resubscription with `since: last` is under way: what arrives before its ack will be replayed. */
  startHealing() {
    this.healing = true;
  }

  /** The answer to a subscription that was sent with `since`. `seq` is where the channel stands now. */
  resumed({ recovered, seq, sameEpoch }) {
    this.healing = false;
    this.recovered = recovered;
    this.replayed = 0;
    if (recovered) {
      if (Number.isSafeInteger(seq)) this.replayed = Math.max(0, seq - this.last);
      return;
    }
    this.lostAfter = sameEpoch ? this.last : null;
    if (this.holeEnd !== null && this.last !== null) this.missed -= this.holeEnd - this.last; // counted again, whole, by the snapshot
    this.holeEnd = null;
    this.last = null;
  }

  /** The hole could not be asked for: go on from the next message, the hole stays counted. */
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
