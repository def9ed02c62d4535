// A client of one chaincast server: one WebSocket for all channels, and its REST API.

import type { UpdateOf, Item } from "./channels.js";
import type { Codec, Lossless } from "./codec.js";
import { Core } from "./core/core.js";
import type { ChannelOptions, Events, Failure, Gap, State, Subscriber } from "./core/types.js";
import { ChaincastError, refusal } from "./error.js";
import { json } from "./json.js";
import type { Acknowledged } from "./protocol.js";
import { type Socket, openSocket } from "./socket.js";
import { type StreamOptions, stream } from "./stream.js";

const READ_MS = 15_000;

type Jwt = string | null | undefined;

export interface ClientOptions {
  /** A JWT, or where to get one: it is called before each connection, each read, and before the JWT expires. */
  token?: string | (() => Jwt | Promise<Jwt>) | undefined;
  /** The constructor of WebSockets, where the platform has none: `ws` for Node.js before 22. */
  webSocket?: unknown;
  /** `msgpack` of `chaincast/msgpack`: messages as MessagePack instead of JSON. */
  msgpack?: Codec | undefined;
  /** `lossless` of this package: beside each price its text with all digits, `priceText` beside `price`. */
  lossless?: Lossless | undefined;
}

export interface SubscribeOptions extends ChannelOptions {
  /** The last seq that the application has: every update after it follows, instead of a snapshot. */
  since?: number | undefined;
  /** The epoch of `since`. */
  epoch?: string | undefined;
  /** Called instead of an update where updates are missing. The state follows as a snapshot. */
  onGap?: ((gap: Gap) => void) | undefined;
  /** The subscription was refused, or ended because a new JWT does not allow it. */
  onError?: ((failure: Failure) => void) | undefined;
}

export interface Message {
  type: string;
  payload: unknown;
  /** Makes it unique: the same key is stored once in 24 hours. A random one by default. */
  key?: string;
  /** False: everybody but this client gets it. */
  echo?: boolean;
}

export interface Member {
  sub: string;
  info: unknown;
  sessions: number;
  since: number;
}

/** A subscriber with its callbacks, by the name of the event. */
type Listener = Subscriber & { [N in keyof Events]?: ((value: Events[N]) => void) | undefined };

export class Client {
  #options: ClientOptions;
  #socketUrl: string;
  #restUrl: string;
  #codec: Codec;
  #core: Core;
  #socket: Socket | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAt = Infinity;
  #added: Subscriber[] = [];
  #ended = new AbortController();
  #listeners: { [name: string]: Set<(value: any) => void> } = {};

  constructor(url: string | URL, options: ClientOptions = {}) {
    const base = new URL(url, globalThis.location?.href).href.replace(/[?#].*/, "").replace(/(\/realtime)?\/?$/, "");
    this.#socketUrl = `${base.replace("http", "ws")}/realtime`;
    this.#restUrl = `${base.replace("ws", "http")}/api/v1`;
    this.#options = options;
    this.#codec = options.msgpack ?? json;
    this.#core = new Core(
      {
        now: () => performance.now(),
        random: Math.random,
        token: () => {
          const failed = (error: unknown) => this.#do(() => this.#core.token(null, String(error)));
          this.#token().then((token) => this.#do(() => this.#core.token(token)), failed);
        },
        open: (token) => this.#open(token),
        close: () => this.#socket?.drop(),
        send: (message) => this.#socket!.send(this.#codec.encode(message)),
        emit: (name, value, to) => {
          // In order, but never from within the core. What one callback throws does not stop the others.
          for (const one of to ?? []) queueMicrotask(() => (one as any)[name]?.(value));
          this.#listeners[name]?.forEach((listener) => queueMicrotask(() => listener(value)));
        },
      },
      options.token !== undefined,
    );
    const wake = () => globalThis.document?.visibilityState === "hidden" || this.#do(() => this.#core.wake());
    const until = { signal: this.#ended.signal };
    globalThis.addEventListener?.("online", wake, until);
    globalThis.document?.addEventListener("visibilitychange", wake, until);
  }

  /** The state of the connection: the same object until it changes. */
  get state(): State {
    return this.#core.state;
  }

  /** The epoch of the server's database; undefined before the first connection. */
  get epoch(): string | undefined {
    return this.#core.subscriptions.epoch;
  }

  // ---- channels ----

  /** Calls `onUpdate` for each update of a channel. Returns a function that ends the subscription. */
  subscribe<C extends string>(channel: C, onUpdate: (update: UpdateOf<C>) => void): () => void;
  subscribe<C extends string>(channel: C, options: SubscribeOptions, onUpdate: (update: UpdateOf<C>) => void): () => void;
  subscribe(channel: string, options: any, onUpdate = options): () => void {
    const { onGap, onError, ...rest } = options === onUpdate ? {} : options;
    const listener = { ...rest, channel, update: onUpdate, gap: onGap, refused: onError } as Listener;
    // Subscriptions of one turn share a request.
    if (this.#added.push(listener) === 1) queueMicrotask(() => this.#do(() => this.#core.subscribe(this.#added.splice(0))));
    return () => {
      const index = this.#added.indexOf(listener);
      if (index >= 0) this.#added.splice(index, 1);
      else this.#do(() => this.#core.unsubscribe(listener));
      // Nothing that is on its way to the application arrives.
      listener.update = listener.gap = listener.refused = undefined;
    };
  }

  /** The updates of a channel as an async iterator; stored ones first, if `from` says so. */
  stream<C extends string>(channel: C, options?: StreamOptions): AsyncGenerator<Item<C>, void, undefined> {
    return stream(this, channel, options);
  }

  // ---- messages, rooms, presence ----

  /** Sends a message to a room, or to `user:SUB`. It is delivered once, also if the connection breaks meanwhile. */
  publish(channel: string, { key = randomKey(), ...message }: Message): Promise<{ channel: string; seq: number }> {
    return this.request("publish", { channel, ...message, key });
  }

  /** Sends what is not stored, such as "is typing". Fails without a connection. */
  signal(channel: string, type: string, payload: unknown = {}): Promise<unknown> {
    return this.request("signal", { channel, type, payload });
  }

  /** Who is in a room now. */
  presence(channel: string): Promise<{ channel: string; members: Member[]; count: number }> {
    return this.request("presence", { channel });
  }

  /** Price alerts and messages with these ids need no repetition. */
  acknowledge(ids: number[]): Promise<Acknowledged> {
    return this.request("acknowledge", { ids });
  }

  /** Sends a request of the protocol; the `data` of its answer. */
  request(event: string, data?: unknown): Promise<any> {
    return new Promise((answer, reject) => {
      const failed = (failure: Failure) => reject(new ChaincastError(failure));
      this.#do(() => this.#core.request({ event, data, answer, failed }));
    });
  }

  // ---- the connection ----

  /** Connects now. Not needed at the start: the first subscription or request connects. */
  connect(): void {
    this.#do(() => this.#core.connect());
  }

  /** Ends the connection and all subscriptions, for good. */
  close(): void {
    this.#ended.abort();
    this.#do(() => this.#core.stop());
    clearTimeout(this.#timer);
  }

  /** Calls the listener for each event of this name. Returns a function that ends that. */
  on<N extends keyof Events>(name: N, listener: (value: Events[N]) => void): () => void {
    const all = (this.#listeners[name] ??= new Set());
    all.add(listener);
    return () => all.delete(listener);
  }

  /** Reads the REST API: a path under `/api/v1`, such as `/blocks?limit=10`. */
  async get(path: string, signal?: AbortSignal): Promise<any> {
    // A connection that is half open never answers.
    const limit = new AbortController();
    const abort = () => limit.abort();
    const timer = setTimeout(abort, READ_MS);
    signal?.addEventListener("abort", abort, { signal: limit.signal });
    try {
      const token = await this.#token();
      const { lossless } = this.#options;
      const response = await fetch(this.#restUrl + path, { signal: limit.signal, headers: token ? { authorization: `Bearer ${token}` } : {} });
      if (!response.ok) throw await refusal(response);
      const text = await response.text();
      return JSON.parse(lossless ? lossless(text) : text);
    } finally {
      clearTimeout(timer);
      abort(); // ends the listener too
    }
  }

  // ---- the core's driver ----

  #do(run: () => void): void {
    run();
    this.#schedule();
  }

  /** An earlier timer is left alone: most messages only postpone what is due. */
  #schedule(): void {
    const { due } = this.#core;
    if (due >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = due;
    const tick = () => {
      this.#timerAt = Infinity;
      this.#do(() => this.#core.tick());
    };
    this.#timer = setTimeout(tick, Math.max(0, due - performance.now()));
  }

  async #token(): Promise<Jwt> {
    const { token } = this.#options;
    return typeof token === "function" ? token() : token;
  }

  #open(token: string | undefined): void {
    const make = (this.#options.webSocket ?? globalThis.WebSocket) as typeof WebSocket;
    this.#socket = openSocket(
      this.#socketUrl + (token ? `?token=${encodeURIComponent(token)}` : ""),
      make,
      this.#codec,
      (data) => this.#do(() => this.#core.message(this.#codec.decode(data, this.#options.lossless))),
      (closed) => this.#do(() => this.#core.closed(closed)),
    );
  }
}

/** A client of the server at this URL, such as `https://host:3000`. It connects with the first subscription or request. */
export function createClient(url: string | URL, options?: ClientOptions): Client {
  return new Client(url, options);
}

function randomKey(): string {
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}
