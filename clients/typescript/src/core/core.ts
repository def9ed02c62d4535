// The state machine of a client: connections, subscriptions and requests. Pure: its driver has the socket, the clock
// and the timer, and calls `tick` when `due` has come.
//
// Promises: after a reconnect each channel is subscribed to again from its last seq and epoch; a close code that forbids a
// reconnect is honoured; a connection that is half open is found; a request that may be repeated is sent until it is answered.

import { backoff, retryAfter } from "./backoff.js";
import { Calls } from "./calls.js";
import { Subscriptions } from "./subscriptions.js";
import type { Call, Closed, Failure, Incoming, Outputs, State, Subscriber } from "./types.js";

const CONNECTED_WITHIN_MS = 10_000;
/** A session of this length ends a series of failures. */
const STEADY_MS = 5_000;
/** The wait after 4029 and 4030 is at least that of this attempt. */
const CROWDED_ATTEMPT = 4;
/** Close codes after which the same client cannot succeed. */
const FINAL = [1002, 1007, 4401, 4403];

const NEVER = { open: Infinity, connected: Infinity, ping: Infinity, pong: Infinity };

export class Core {
  /** The same object until it changes. */
  state: State = { phase: "idle" };
  readonly subscriptions: Subscriptions;
  #calls: Calls;
  #attempt = 0;
  /** Whether the last handshake was refused for its JWT. */
  #rejected = false;
  /** The server asked for this wait, so nothing ends it early. */
  #hinted = false;
  #liveSince = Infinity;
  #pingInterval!: number;
  #pingTimeout!: number;
  #nextId = 0;

  /** When something is due; Infinity for what is not. */
  #at = NEVER;

  #out: Outputs;
  #hasToken: boolean;

  constructor(out: Outputs, hasToken: boolean) {
    this.#out = out;
    this.#hasToken = hasToken;
    const send = (event: string, data: unknown) => this.#send(event, data);
    this.subscriptions = new Subscriptions(out, send);
    this.#calls = new Calls(out, send, (answer) => this.subscriptions.sent(answer));
  }

  get phase(): State["phase"] {
    return this.state.phase;
  }

  /** When `tick` has something to do. */
  get due(): number {
    const retries = this.phase === "live" ? [this.#calls.retryAt, this.subscriptions.retryAt] : [];
    return Math.min(...Object.values(this.#at), ...retries);
  }

  // ---- the application ----

  /** Connects now: ends a delay, or tries again after a refusal. */
  connect(): void {
    if (/^(live|connecting|closed)$/.test(this.phase)) return;
    this.#rejected = false;
    this.#begin();
  }

  /** Adds subscribers; those of one call share requests. */
  subscribe(list: Subscriber[]): void {
    this.subscriptions.add(list);
    if (this.phase === "idle") this.#begin();
    if (this.phase === "live") this.subscriptions.sync();
  }

  unsubscribe(subscriber: Subscriber): void {
    this.subscriptions.remove(subscriber, this.phase === "live");
  }

  request(call: Call): void {
    if (this.phase === "idle") this.#begin();
    this.#calls.add(call, this.phase);
  }

  /** The application's answer to `token`. */
  token(value: string | null | undefined, error?: string): void {
    if (this.phase === "connecting" && this.#at.connected === Infinity) {
      if (error === undefined) this.#open(value || undefined);
      else this.closed({ code: 1006, reason: error });
    } else if (this.phase === "live" && value) this.#authenticate(value);
  }

  #authenticate(token: string): void {
    const answer = (data: any) => this.subscriptions.forbid(data.unsubscribed ?? []);
    const failed = (failure: Failure) => this.#out.emit("problem", failure);
    this.#calls.add({ event: "auth", data: { token }, answer, failed }, "live");
  }

  /** The network is back, or the application is in front again. */
  wake(): void {
    if (this.phase === "reconnecting" && !this.#hinted) {
      this.#attempt = 0;
      this.#begin();
    } else if (this.phase === "live" && this.#at.pong === Infinity) this.#ping();
  }

  stop(): void {
    this.#lost();
    this.#out.close();
    this.#calls.failAll();
    this.#state({ phase: "closed" });
  }

  // ---- the connection ----

  message(message: Incoming): void {
    if (this.phase === "live") {
      this.#at.ping = this.#out.now() + this.#pingInterval;
      this.#at.pong = Infinity;
    }
    const { event, id, data } = message;
    if (event === "connected") this.#connected(data);
    else if (event === "ack" || event === "error") {
      const isError = event === "error";
      if (this.subscriptions.answered(id, data, isError)) this.subscriptions.sync();
      else if (!this.#calls.answered(id, data, isError) && isError) this.#out.emit("problem", data);
    } else if (event === "token-expiring") {
      if (this.#hasToken) this.#out.token();
    } else if (message.channel !== undefined) {
      this.subscriptions.update(message, this.#calls.owns(message));
    }
  }

  /** The connection ended, or could not be opened. */
  closed({ code, reason = "", status, retryAfterMs }: Closed): void {
    if (status === 401 || status === 403) code = 4000 + status;
    if (code === 1009) this.#calls.failLongest();
    if (this.#out.now() - this.#liveSince >= STEADY_MS) this.#attempt = 0;
    this.#lost();
    if (code === 4401 && this.#hasToken && !this.#rejected) {
      this.#rejected = true;
      this.#begin();
      return;
    }
    if (FINAL.includes(code)) {
      this.#calls.failAll();
      this.#state({ phase: "refused", code, reason });
      return;
    }
    if (code === 4029 || code === 4030) this.#attempt = Math.max(this.#attempt, CROWDED_ATTEMPT);
    const hint = retryAfterMs ?? retryAfter(reason);
    const wait = hint ?? backoff(this.#attempt, this.#out.random());
    this.#hinted = wait === hint;
    this.#attempt += 1;
    this.#at.open = this.#out.now() + wait;
    this.#state({ phase: "reconnecting", code, reason, retryInMs: wait });
  }

  /** Does what is due. */
  tick(): void {
    const now = this.#out.now();
    if (this.#at.open <= now) this.#begin();
    else if (this.#at.connected <= now) this.#drop(1006, "no answer");
    else if (this.#at.pong <= now) this.#drop(4000, "no answer");
    else if (this.phase === "live") {
      if (this.#at.ping <= now) this.#ping();
      this.subscriptions.sync();
      this.#calls.flush();
    }
  }

  #begin(): void {
    this.#at = { ...NEVER };
    this.#state({ phase: "connecting" });
    if (this.#hasToken) this.#out.token();
    else this.#open();
  }

  #open(token?: string): void {
    this.#at.connected = this.#out.now() + CONNECTED_WITHIN_MS;
    this.#out.open(token);
  }

  #connected(data: any): void {
    const now = this.#out.now();
    this.#liveSince = now;
    this.#rejected = false;
    this.#pingInterval = data.pingInterval;
    this.#pingTimeout = data.pingTimeout;
    this.#at = { ...NEVER, ping: now + data.pingInterval };
    this.#state({ phase: "live" });
    this.#out.emit("connected", data);
    this.subscriptions.epoch = data.epoch;
    this.subscriptions.sync();
    this.#calls.flush();
  }

  #ping(): void {
    this.#at.ping = Infinity;
    this.#at.pong = this.#out.now() + this.#pingTimeout;
    this.#send("ping");
  }

  #drop(code: number, reason: string): void {
    this.#out.close();
    this.closed({ code, reason });
  }

  /** Nothing of this connection counts any more. */
  #lost(): void {
    this.#liveSince = Infinity;
    this.#at = { ...NEVER };
    this.subscriptions.lost();
    this.#calls.lost();
  }

  #send(event: string, data?: unknown): number {
    const id = ++this.#nextId;
    this.#out.send(data === undefined ? { id, event } : { id, event, data });
    return id;
  }

  #state(state: State): void {
    this.state = state;
    this.#out.emit("state", state);
  }
}
