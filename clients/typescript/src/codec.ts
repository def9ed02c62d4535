import type { Incoming, Outgoing } from "./core/types.js";

/** `lossless` of this package. */
export type Lossless = (text: string) => string;

/** A wire format: JSON is built in, MessagePack is `chaincast/msgpack`. */
export interface Codec {
  /** The WebSocket subprotocol that selects it. */
  protocol: string;
  encode(message: Outgoing): string | Uint8Array<ArrayBuffer>;
  decode(data: string | ArrayBuffer, lossless: Lossless | undefined): Incoming;
}
