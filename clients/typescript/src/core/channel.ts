// The position of one channel, and whether a message follows it: the rules of "Checking for gaps" in the protocol.
//
// Promises: each subscriber gets an update at most once and in order of seq; a loss is never passed over. A channel has
// one subscription at the server for all its subscribers, each of which has a position of its own.

import type { Incoming, Subscriber } from "./types.js";

/** Channels without a snapshot. */
const STATELESS = /^(room|address):|^(announcements|heartbeat)$/i;

export class Channel {
  name: string;
  subscribers: Subscriber[] = [];
  /** `idle`: to be asked for, not before `retryAt`. `asked`: the request was sent. */
  stage: "idle" | "asked" | "live" = "idle";
  retryAt = 0;
  /** When a loss was last repaired. */
  healedAt = -Infinity;
  /** The request that decides, the position that it asked for, and its options as JSON. */
  request: number | undefined;
  since: number | undefined;
  options = "{}";
  /** Every subscriber has the updates up to this seq. */
  last: number | undefined;
  epoch: string | undefined;
  /** Seqs of the application's own messages that are not delivered. */
  own = new Set<number>();
  /** The newest message that is the state of the channel, and the event that it has. */
  state: Incoming | undefined;
  #stateEvent = "";

  constructor(name: string) {
    this.name = name;
  }

  /** Whether this subscriber begins with the state. */
  wantsState({ snapshot }: Subscriber): boolean {
    return snapshot !== false && !STATELESS.test(this.name);
  }

  /** The position to ask for; undefined if a subscriber needs the state first. */
  position(): number | undefined {
    return this.subscribers.some((one) => one.last === undefined && this.wantsState(one)) ? undefined : this.last;
  }

  /** The options that serve all subscribers: every update if one asks for it, the shortest interval. */
  merged(): string {
    const all = this.subscribers;
    const modes = new Set(all.map(({ mode }) => mode));
    const mode = modes.size > 1 ? (modes.has("all") ? "all" : undefined) : all[0]!.mode;
    const interval = Math.min(...all.map(({ interval }) => interval ?? 0));
    const merged = {
      mode,
      interval: (modes.size > 1 && mode) || !interval ? undefined : interval,
      snapshot: all.every(({ snapshot }) => snapshot === false) ? false : undefined,
      presence: all.some(({ presence }) => presence) || undefined,
      info: all.find(({ info }) => info !== undefined)?.info,
    };
    return JSON.stringify(merged);
  }

  /** Everyone has the updates up to this one. */
  advance(seq: number): void {
    this.last = seq;
    for (const one of this.subscribers) one.last = Math.max(one.last ?? 0, seq);
  }

  /** Moves on over the application's own messages. */
  skip(): void {
    while (this.own.delete(this.last! + 1)) this.advance(this.last! + 1);
  }

  /** Goes back to the subscriber that has least; whether there was one to go back to. */
  rewind(): boolean {
    const last = Math.min(...this.subscribers.map(({ last }) => last!));
    const isBehind = last < this.last!;
    this.last = last;
    return isBehind;
  }

  /** The subscribers that get this message; undefined if updates before it are missing. Not before the first answer. */
  accept(message: Incoming): Subscriber[] | undefined {
    const { event, prev, snapshot } = message;
    const seq = message.seq!;
    if (snapshot) {
      this.state = message;
      this.#stateEvent = event;
      if (this.stage === "live") this.last = seq;
      return this.subscribers.filter((one) => one.fresh && (one.last = seq));
    }
    this.skip();
    const last = this.last!;
    if (seq <= last) return [];
    if ((prev ?? seq - 1) > last) return;
    if (event === this.#stateEvent) this.state = message;
    else if (/reorg/.test(event)) this.state = undefined;
    const to = this.subscribers.filter((one) => seq > one.last!);
    for (const one of to) one.fresh = false;
    this.advance(seq);
    return to;
  }

  /** Whether the server has sent an update that did not arrive. */
  lacks(seq: number): boolean {
    if (this.stage !== "live" || /"interval"/.test(this.options)) return false;
    this.skip();
    return seq > this.last!;
  }
}
