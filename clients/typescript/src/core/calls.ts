// The requests of the application, in order, until each is answered.
//
// Promises: a request that may be repeated is sent again after a reconnect or a refusal that is only for now, so a message
// with a key is stored once however often it is sent. Others fail when the connection ends.

import { retryIn } from "./backoff.js";
import type { Call, Failure, Incoming, Outputs, Send, State } from "./types.js";

/** Requests without an effect of their own, or whose effect is the same twice. */
const REPEATABLE = /^(publish|acknowledge|presence|subscriptions)$/;

const DISCONNECTED: Failure = { code: "DISCONNECTED", message: "No connection" };

export class Calls {
  /** When those that were refused for now are sent again. */
  retryAt = Infinity;
  #waiting: Call[] = [];

  #out: Outputs;
  #send: Send;
  #onSilent: (answer: any) => void;

  /** `onSilent` gets the answer to a message that was published without `echo`. */
  constructor(out: Outputs, send: Send, onSilent: (answer: any) => void) {
    this.#out = out;
    this.#send = send;
    this.#onSilent = onSilent;
  }

  add(call: Call, phase: State["phase"]): void {
    if (phase === "live" || (REPEATABLE.test(call.event) && phase !== "refused" && phase !== "closed")) {
      this.#waiting.push(call);
      if (phase === "live") this.flush();
    } else call.failed(DISCONNECTED);
  }

  /** Sends what was not sent on this connection, unless the server asked to wait. */
  flush(): void {
    if (this.retryAt < Infinity && this.#out.now() < this.retryAt) return;
    this.retryAt = Infinity;
    for (const call of this.#waiting) call.id ??= this.#send(call.event, call.data);
  }

  /** Whether this answers a request of the application. */
  answered(id: unknown, data: any, isError: boolean): boolean {
    const call = id === undefined ? undefined : this.#waiting.find((one) => one.id === id);
    if (!call) return false;
    const wait = isError && REPEATABLE.test(call.event) ? retryIn(data, this.#out.random()) : undefined;
    if (wait !== undefined) {
      call.id = undefined;
      this.retryAt = this.#out.now() + wait;
      return true;
    }
    this.#waiting = this.#waiting.filter((one) => one !== call);
    if (isError) call.failed(data);
    else {
      if (isSilent(call)) this.#onSilent(data);
      call.answer(data);
    }
    return true;
  }

  /** Whether this is a message that the application published and does not want back. */
  owns({ channel, data }: Incoming): boolean {
    const key = data?.key;
    return key !== undefined && this.#waiting.some((call) => isSilent(call) && call.data.key === key && call.data.channel === channel);
  }

  /** The longest request that was sent is too long for the server. */
  failLongest(): void {
    const length = ({ id, data }: Call) => (id ? JSON.stringify(data).length : 0);
    const most = Math.max(...this.#waiting.map(length));
    this.#fail((call) => most > 0 && length(call) === most, { code: "PAYLOAD_TOO_LARGE", message: "Too long" });
  }

  /** The connection ended. */
  lost(): void {
    this.retryAt = Infinity;
    for (const call of this.#waiting) call.id = undefined;
    this.#fail(({ event }) => !REPEATABLE.test(event));
  }

  /** There will be no connection. */
  failAll(): void {
    this.#fail(() => true);
  }

  #fail(which: (call: Call) => boolean, failure = DISCONNECTED): void {
    const ended = this.#waiting.filter(which);
    this.#waiting = this.#waiting.filter((call) => !which(call));
    for (const call of ended) call.failed(failure);
  }
}

function isSilent({ event, data }: Call): boolean {
  return event === "publish" && data.echo === false;
}
