// A client of chaincast: chain data and prices that survive a reconnect without a gap, rooms and messages.

export { type Item, type UpdateOf } from "./channels.js";
export { type Client, type ClientOptions, type Member, type Message, type SubscribeOptions, createClient } from "./client.js";
export type { Codec, Lossless } from "./codec.js";
export type { ChannelOptions, Events, Failure, Gap, Joined, State, Update } from "./core/types.js";
export { ChaincastError } from "./error.js";
export type * from "./protocol.js";
export { lossless } from "./lossless.js";
export type { StreamOptions } from "./stream.js";
