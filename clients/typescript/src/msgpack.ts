// MessagePack, as far as the protocol uses it: docs/protocol.md of the server describes the format.

import type { Codec } from "./codec.js";
import type { Incoming } from "./core/types.js";
import { hasPrices } from "./lossless.js";

const PRICES = /^(price|confidence|threshold|open|high|low|close)$/;

/** The option `msgpack` of `createClient`. */
export const msgpack: Codec = {
  protocol: "chaincast.v1.msgpack",
  encode: (message) => new Writer().bytes(message),
  decode: (data, lossless) => {
    const message = new Reader(data as ArrayBuffer).value() as Incoming;
    if (hasPrices(message.event)) numbers(message.data, !!lossless);
    return message;
  },
};

/** Prices come as text with all digits: they become numbers, as in JSON, and keep the text beside them if asked to. */
function numbers(data: Record<string, unknown>, lossless: boolean): void {
  for (const [key, value] of Object.entries(data)) {
    if (typeof value !== "string" || !PRICES.test(key)) continue;
    data[key] = Number(value);
    if (lossless) data[`${key}Text`] = value;
  }
}

class Reader {
  #view: DataView;
  #at = 0;

  constructor(data: ArrayBuffer) {
    this.#view = new DataView(data);
  }

  value(): unknown {
    const byte = this.#int(1);
    if (byte < 0x80) return byte;
    if (byte < 0x90) return this.#map(byte & 15);
    if (byte < 0xa0) return this.#array(byte & 15);
    if (byte < 0xc0) return this.#text(byte & 31);
    if (byte >= 0xe0) return byte - 256;
    switch (byte) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xca:
        return this.#view.getFloat32(this.#skip(4));
      case 0xcb:
        return this.#view.getFloat64(this.#skip(8));
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#int(1 << (byte - 0xcc));
      case 0xcf:
        return Number(this.#view.getBigUint64(this.#skip(8)));
      case 0xd0:
        return this.#view.getInt8(this.#skip(1));
      case 0xd1:
        return this.#view.getInt16(this.#skip(2));
      case 0xd2:
        return this.#view.getInt32(this.#skip(4));
      case 0xd3:
        return Number(this.#view.getBigInt64(this.#skip(8)));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#text(this.#int(1 << (byte - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.#array(this.#int(2 << (byte - 0xdc)));
      case 0xde:
      case 0xdf:
        return this.#map(this.#int(2 << (byte - 0xde)));
      default:
        throw new Error(`MessagePack type 0x${byte.toString(16)} is not part of the protocol`);
    }
  }

  #skip(length: number): number {
    this.#at += length;
    return this.#at - length;
  }

  #int(size: number): number {
    const at = this.#skip(size);
    return size === 1 ? this.#view.getUint8(at) : size === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  #text(length: number): string {
    const at = this.#skip(length);
    if (this.#at > this.#view.byteLength) throw new RangeError("The MessagePack message is cut off");
    return decoder.decode(new Uint8Array(this.#view.buffer, at, length));
  }

  #array(length: number): unknown[] {
    const list = [];
    for (let index = 0; index < length; index += 1) list.push(this.value());
    return list;
  }

  #map(length: number): Record<string, unknown> {
    const entries = [];
    for (let index = 0; index < length; index += 1) entries.push([this.value(), this.value()]);
    return Object.fromEntries(entries);
  }
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();

class Writer {
  #bytes = new Uint8Array(256);
  #at = 0;

  bytes(value: unknown): Uint8Array<ArrayBuffer> {
    this.#value(value);
    return this.#bytes.slice(0, this.#at);
  }

  #value(value: any): void {
    if (value?.toJSON) value = value.toJSON();
    if (value === null || value === undefined) this.#put(0xc0);
    else if (typeof value === "boolean") this.#put(value ? 0xc3 : 0xc2);
    else if (typeof value === "number") this.#number(value);
    else if (typeof value === "string") {
      const text = encoder.encode(value);
      this.#head(text.length, 0xa0, 32, 0xda);
      this.#room(text.length).set(text, this.#at);
      this.#at += text.length;
    } else if (Array.isArray(value)) {
      this.#head(value.length, 0x90, 16, 0xdc);
      for (const each of value) this.#value(each);
    } else if (typeof value === "object") {
      const entries = Object.entries(value).filter(([, each]) => each !== undefined && typeof each !== "function");
      this.#head(entries.length, 0x80, 16, 0xde);
      for (const [key, each] of entries) {
        this.#value(key);
        this.#value(each);
      }
    } else throw new TypeError(`A ${typeof value} cannot be sent`);
  }

  /** Integers are integers; the server takes other numbers only in payloads. */
  #number(value: number): void {
    const isInteger = Number.isSafeInteger(value);
    if (isInteger && value >= 0 && value < 128) this.#put(value);
    else if (isInteger && value >= 0 && value < 2 ** 32) this.#put(0xce, 4, (view, at) => view.setUint32(at, value));
    else if (isInteger) this.#put(0xd3, 8, (view, at) => view.setBigInt64(at, BigInt(value)));
    else if (Number.isFinite(value)) this.#put(0xcb, 8, (view, at) => view.setFloat64(at, value));
    else this.#put(0xc0);
  }

  /** The length of a string, array or map: in the type itself if it is short, else in two or four bytes. */
  #head(length: number, short: number, below: number, type: number): void {
    if (length < below) this.#put(short | length);
    else if (length < 2 ** 16) this.#put(type, 2, (view, at) => view.setUint16(at, length));
    else this.#put(type + 1, 4, (view, at) => view.setUint32(at, length));
  }

  #put(type: number, size = 0, write?: (view: DataView, at: number) => void): void {
    const bytes = this.#room(1 + size);
    bytes[this.#at] = type;
    write?.(new DataView(bytes.buffer), this.#at + 1);
    this.#at += 1 + size;
  }

  /** The buffer, with space for this many more bytes. */
  #room(size: number): Uint8Array<ArrayBuffer> {
    if (this.#at + size > this.#bytes.length) {
      const larger = new Uint8Array(2 * (this.#at + size));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    return this.#bytes;
  }
}
