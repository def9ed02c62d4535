// The channels of a client, and their subscriptions at the server.

import { retryIn } from "./backoff.js";
import { Channel } from "./channel.js";
import type { Failure, Gap, Incoming, Outputs, Send, Subscriber } from "./types.js";

const CHANNELS_A_REQUEST = 100;
/** A channel that loses updates again and again is asked for at most this often. */
const HEAL_EVERY_MS = 5_000;

/** Names are the same in any case, but for the subject of a user. */
function keyOf(channel: string): string {
  return /^user:/i.test(channel) ? `user:${channel.slice(5)}` : channel.toLowerCase();
}

export class Subscriptions {
  #channels = new Map<string, Channel>();
  /** Requests that are not answered, with their channels. */
  #asked = new Map<unknown, Channel[]>();
  /** Of the server's database. */
  epoch: string | undefined;

  #out: Outputs;
  #send: Send;

  constructor(out: Outputs, send: Send) {
    this.#out = out;
    this.#send = send;
  }

  /** When a channel is to be asked for again. */
  get retryAt(): number {
    return Math.min(...[...this.#channels.values()].map(({ stage, retryAt }) => (stage === "idle" ? retryAt : Infinity)));
  }

  #find(name: string | undefined): Channel | undefined {
    return this.#channels.get(keyOf(name ?? ""));
  }

  add(list: Subscriber[]): void {
    for (const one of list) {
      let channel = this.#find(one.channel);
      if (!channel) this.#channels.set(keyOf(one.channel), (channel = new Channel(one.channel)));
      this.#join(channel, one);
    }
  }

  /** Where a new subscriber of a channel begins. */
  #join(channel: Channel, one: Subscriber): void {
    const { since, epoch } = one;
    one.fresh = true;
    channel.subscribers.push(one);
    if (since !== undefined) {
      if (channel.last === undefined) channel.epoch = epoch;
      if (epoch !== undefined && epoch !== channel.epoch) this.#miss(channel, one, since, null, "epoch");
      else {
        one.last = since;
        one.fresh = false;
        if (!(since >= channel.last!)) {
          channel.last = since;
          channel.stage = "idle";
        }
      }
    }
    if (one.last === undefined) {
      const wantsState = channel.wantsState(one);
      // The state that is not here comes with an answer to a request without a position.
      if (channel.stage === "live" && (channel.state || !wantsState)) {
        one.last = channel.last;
        one.fresh = false;
        if (wantsState) this.#out.emit("update", { ...channel.state, snapshot: true } as any, [one]);
      } else if (channel.stage === "live" || channel.since !== channel.position()) channel.stage = "idle";
    }
    if (channel.merged() !== channel.options) channel.stage = "idle";
  }

  remove(one: Subscriber, isLive: boolean): void {
    for (const [key, channel] of this.#channels) {
      const index = channel.subscribers.indexOf(one);
      if (index >= 0) channel.subscribers.splice(index, 1);
      if (channel.subscribers.length) continue;
      this.#channels.delete(key);
      if (isLive && channel.request) this.#send("unsubscribe", { channels: [channel.name] });
    }
  }

  lost(): void {
    this.#asked.clear();
    for (const channel of this.#channels.values()) {
      channel.stage = "idle";
      channel.retryAt = 0;
      channel.request = undefined;
    }
  }

  /** Asks for every channel that is to be asked for now. */
  sync(): void {
    const groups = new Map<string, Channel[]>();
    for (const channel of this.#channels.values()) {
      if (channel.stage !== "idle" || channel.retryAt > this.#out.now()) continue;
      const since = (channel.since = channel.position());
      channel.options = channel.merged();
      const key = since === undefined ? channel.options : `${channel.epoch} ${channel.options}`;
      groups.set(key, [...(groups.get(key) ?? []), channel]);
    }
    for (const group of groups.values()) {
      while (group.length) this.#ask(group.splice(0, CHANNELS_A_REQUEST));
    }
  }

  #ask(group: Channel[]): void {
    const { since, epoch, options } = group[0]!;
    const position = since === undefined ? {} : { since: Object.fromEntries(group.map(({ name, since }) => [name, since])), epoch };
    const id = this.#send("subscribe", { channels: group.map(({ name }) => name), ...position, ...JSON.parse(options) });
    this.#asked.set(id, group);
    for (const channel of group) {
      channel.stage = "asked";
      channel.request = id;
    }
  }

  /** Whether this answers a subscription. */
  answered(id: unknown, data: any, isError: boolean): boolean {
    const group = this.#asked.get(id);
    if (!group) return false;
    this.#asked.delete(id);
    group.forEach((channel, index) => {
      if (channel.request !== id || channel.stage !== "asked" || this.#find(channel.name) !== channel) return;
      const result = isError ? { error: data } : data.channels[index];
      // The fault may be another channel's, or that both are the same one.
      if (group.length > 1 && result.error?.code === "BAD_REQUEST") this.#ask([channel]);
      else this.#settle(channel, result);
    });
    return true;
  }

  #settle(channel: Channel, result: any): void {
    if (!result.success) return this.#failed(channel, result.error);
    const before = keyOf(channel.name);
    const after = keyOf(result.channel);
    channel.name = result.channel;
    if (before !== after) {
      const other = this.#channels.get(after);
      this.#channels.delete(before);
      // Two names of one channel: one has the subscribers of both.
      if (other) {
        for (const one of channel.subscribers) this.#join(other, one);
        return;
      }
      this.#channels.set(after, channel);
    }
    this.#joined(channel, result);
  }

  #joined(channel: Channel, { seq, recovered }: { seq: number; recovered: boolean }): void {
    const { since, epoch, subscribers } = channel;
    const isSame = epoch === undefined || epoch === this.epoch;
    const isResumed = since !== undefined && recovered;
    for (const one of subscribers) {
      const { last } = one;
      if (last !== undefined) {
        if (isResumed || (isSame && since === undefined)) continue; // those that are behind are asked for next
        if (!isSame || last !== seq) this.#miss(channel, one, last, isSame && seq > last ? seq : null, isSame ? "deleted" : "epoch");
      }
      one.last = isResumed ? since : seq;
      one.fresh = !isResumed;
    }
    if (!isResumed) {
      channel.last = seq;
      channel.state = undefined;
      if (!isSame) channel.own.clear();
    }
    channel.epoch = this.epoch;
    channel.stage = channel.rewind() ? "idle" : "live";
    this.#out.emit("subscribed", { channel: channel.name, seq, since, recovered: isResumed }, subscribers);
  }

  #miss(channel: Channel, one: Subscriber, last: number, to: number | null, reason: Gap["reason"]): void {
    this.#out.emit("gap", { event: "gap", channel: channel.name, from: last + 1, to, reason }, [one]);
  }

  #failed(channel: Channel, failure: Failure): void {
    const wait = retryIn(failure, this.#out.random());
    if (wait === undefined) {
      this.#channels.delete(keyOf(channel.name));
      this.#out.emit("refused", { ...failure, channel: channel.name }, channel.subscribers);
    } else {
      channel.stage = "idle";
      channel.retryAt = this.#out.now() + wait;
      this.#out.emit("problem", failure);
    }
  }

  /** The session's new JWT does not allow these channels. */
  forbid(names: string[]): void {
    for (const name of names) {
      const channel = this.#find(name);
      if (channel) this.#failed(channel, { code: "FORBIDDEN", message: "Not allowed" });
    }
  }

  /** The answer to a message that the application published without `echo`: no message has its seq. */
  sent({ channel: name, seq }: { channel: string; seq: number }): void {
    const channel = this.#find(name);
    if (!(seq > channel?.last!)) return;
    channel!.own.add(seq);
    if (channel!.stage === "live") channel!.skip();
  }

  /** A message of a channel. */
  update(message: Incoming, isOwn: boolean): void {
    const channel = this.#find(message.channel);
    if (!channel) return;
    let to: Subscriber[] | undefined = channel.subscribers;
    if (message.seq !== undefined) {
      if (channel.stage !== "live" && !message.snapshot) return;
      to = channel.accept(message);
    }
    if (!to) this.#heal(channel);
    else if (to.length && !isOwn) this.#out.emit("update", message as any, to);
    if (message.event === "heartbeat") {
      for (const [name, seq] of Object.entries<number>(message.data.seqs ?? {})) {
        const other = this.#find(name);
        if (other?.lacks(seq)) this.#heal(other);
      }
    }
  }

  /** Updates were lost: asks for them. */
  #heal(channel: Channel): void {
    channel.stage = "idle";
    channel.healedAt = channel.retryAt = Math.max(this.#out.now(), channel.healedAt + HEAL_EVERY_MS);
    this.#out.emit("problem", { code: "LOST", message: channel.name });
    this.sync();
  }
}
