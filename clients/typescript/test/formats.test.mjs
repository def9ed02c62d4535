// MessagePack and the digits of prices, against the reference encoder and the server's own examples.

import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode } from "@msgpack/msgpack";
import { dist } from "./packed.mjs";

const { lossless } = await import(dist("index.js"));
const { msgpack } = await import(dist("msgpack.js"));
const { json } = await import(dist("json.js"));

const buffer = (bytes) => bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);

test("every type that the server sends is decoded", () => {
  const message = {
    event: "new-block",
    numbers: [0, 1, 127, 128, 255, 256, 65_535, 65_536, 4_294_967_295, 4_294_967_296, Number.MAX_SAFE_INTEGER, -1, -32, -33, -128, -129, -32_769, -2_147_483_649],
    texts: ["", "a".repeat(31), "b".repeat(32), "c".repeat(256), "ü€😀", "d".repeat(70_000)],
    lists: [[], Array.from({ length: 16 }, (_, index) => index), Array.from({ length: 70_000 }, () => true)],
    maps: [{}, Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`k${index}`, null]))],
    others: [null, true, false, 1.5],
  };
  assert.deepEqual(msgpack.decode(buffer(encode(message)), undefined), message);
});

test("requests are encoded as the reference decoder reads them", () => {
  const request = { id: 70_000, event: "publish", data: { payload: { list: [1.5, -1, -70_000, 2 ** 40, "é", null, true], long: "x".repeat(70_000), none: undefined }, channels: Array.from({ length: 100 }, (_, index) => `price:T${index}`) } };
  assert.deepEqual(decode(msgpack.encode(request)), JSON.parse(JSON.stringify(request)));
});

test("a message that is cut off or unknown is an error", () => {
  const bytes = encode({ event: "connected", data: { epoch: "a".repeat(100) } });
  assert.throws(() => msgpack.decode(buffer(bytes.slice(0, 40)), undefined), RangeError);
  assert.throws(() => msgpack.decode(new Uint8Array([0xc1]).buffer, undefined), /0xc1/);
});

const PRICE = `{"event":"price-update","channel":"price:ETH","seq":42,"prev":41,"data":{"token":"ETH","price":3456.120000000000000001,"confidence":0.42,"sources":["a \\"price\\":1"],"ageMs":120}}`;
const WHOLE = { token: "ETH", price: 3456.12, priceText: "3456.120000000000000001", confidence: 0.42, confidenceText: "0.42", sources: ['a "price":1'], ageMs: 120 };

test("lossless prices have their digits beside the number, in both formats", () => {
  assert.deepEqual(json.decode(PRICE, lossless).data, WHOLE);
  const { data, ...rest } = JSON.parse(PRICE);
  const packed = encode({ ...rest, data: { ...data, price: "3456.120000000000000001", confidence: "0.42" } });
  assert.deepEqual(msgpack.decode(buffer(packed), lossless).data, WHOLE);
});

test("without the option a price is a number in both formats", () => {
  assert.deepEqual(json.decode(PRICE, undefined).data.price, 3456.12);
  const packed = encode({ event: "price-update", data: { price: "3456.12" } });
  assert.deepEqual(msgpack.decode(buffer(packed), undefined).data, { price: 3456.12 });
});

test("payloads of messages are not changed", () => {
  const text = `{"event":"room-message","channel":"room:a","seq":1,"data":{"payload":{"price":1.10,"open":2}}}`;
  assert.deepEqual(json.decode(text, lossless), JSON.parse(text));
  const page = `{"data":[${PRICE},${text}],"next":null}`;
  assert.deepEqual(JSON.parse(lossless(page)).data.map(({ data }) => data), [WHOLE, { payload: { price: 1.1, open: 2 } }]);
});
