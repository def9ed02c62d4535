// What goes into the core and what comes out of it.

import type { Ack, Connected, ErrorCode, Interval, Mode, ServerMessage } from "../protocol.js";

/** A message of a channel: one of the events of the protocol. */
export type Update = Extract<ServerMessage, { channel: string }>;

/** Updates that this client will not get. */
export interface Gap {
  event: "gap";
  /** In canonical form. */
  channel: string;
  /** The first missing seq. */
  from: number;
  /** The last missing seq; null if it is unknown. */
  to: number | null;
  /** `deleted`: the server no longer has them. `epoch`: its database is another one, whose seqs begin again. */
  reason: "deleted" | "epoch";
}

/** What a subscriber of a channel asks for. */
export interface ChannelOptions {
  /** `latest`: a slow client gets the newest update instead of all of them; by default for prices. `all`: every update. */
  mode?: Mode | undefined;
  /** At most one update in this many ms; needs `latest`. */
  interval?: Interval | undefined;
  /** False: no current state at the start. */
  snapshot?: boolean | undefined;
  /** In a room: whether to receive joins and leaves. */
  presence?: boolean | undefined;
  /** In a room: shown to its members. */
  info?: unknown;
}

/** A subscriber as the core knows it. The core keeps its position in it, and returns it with what it is to receive. */
export interface Subscriber extends ChannelOptions {
  channel: string;
  /** The last seq that the application has: the subscriber receives every update after it. */
  since?: number | undefined;
  /** The epoch of `since`. */
  epoch?: string | undefined;
  /** The last seq that it has; undefined before the answer. */
  last?: number | undefined;
  /** Whether it is to receive the snapshot. */
  fresh?: boolean;
}

/** Why a request or a subscription failed. */
export interface Failure {
  code: ErrorCode | "DISCONNECTED" | "ROOM_FULL" | (string & {});
  message: string;
  retryAfterMs?: number | undefined;
}

/** The state of the connection. */
export interface State {
  /** `refused`: the server does not accept this client; `connect` tries again. */
  phase: "idle" | "connecting" | "live" | "reconnecting" | "refused" | "closed";
  /** The close code of the last connection, and its reason. */
  code?: number;
  reason?: string;
  /** In `reconnecting`: the wait before the next attempt. */
  retryInMs?: number;
}

/** A message of the server: only these fields are known before its event is. */
export interface Incoming {
  event: string;
  id?: number | string;
  channel?: string;
  seq?: number;
  prev?: number;
  snapshot?: boolean;
  data?: any;
}

/** A request to the server. */
export interface Outgoing {
  id: number;
  event: string;
  data?: unknown;
}

/** Sends a request; its id. */
export type Send = (event: string, data?: unknown) => number;

/** A request of the application. */
export interface Call {
  event: string;
  data?: any;
  /** The id under which it was sent on this connection. */
  id?: number | undefined;
  answer(data: Ack): void;
  failed(failure: Failure): void;
}

/** A subscription was answered. */
export interface Joined {
  channel: string;
  seq: number;
  /** The position that was asked for. */
  since?: number | undefined;
  recovered: boolean;
}

/** The end of a connection, or a handshake that failed. */
export interface Closed {
  code: number;
  reason?: string;
  /** The HTTP status that refused the handshake. */
  status?: number | undefined;
  retryAfterMs?: number | undefined;
}

/** What happens: for the subscribers concerned, or for anyone. */
export interface Events {
  /** The same object until the state changes. */
  state: State;
  connected: Connected;
  update: Update;
  gap: Gap;
  /** A subscription ended. */
  refused: Failure & { channel: string };
  /** A subscription, or one that was repeated after a reconnect, was answered. */
  subscribed: Joined;
  /** An error that belongs to no request; with code `LOST` a loss that is being repaired, and the channel as the message. */
  problem: Failure;
}

/** What the core asks of its driver, which must not call it back from here. */
export interface Outputs {
  /** Milliseconds of any clock that never goes back. */
  now(): number;
  /** From 0 to 1. */
  random(): number;
  /** Asks the application for a JWT, and hands it to `token`. */
  token(): void;
  /** Opens a connection, with this JWT in the handshake. */
  open(token?: string): void;
  /** Drops the connection: nothing of it may reach the core any more. */
  close(): void;
  send(request: Outgoing): void;
  emit<N extends keyof Events>(name: N, value: Events[N], to?: Subscriber[]): void;
}
