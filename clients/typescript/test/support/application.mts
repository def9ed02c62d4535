// Compiled by package.test.mjs against the packed package. Each @ts-expect-error is an error that the types must find.

import { type ChaincastError, type PriceUpdate, createClient, lossless } from "chaincast";
import { msgpack } from "chaincast/msgpack";
import { useBlocks, useCandles, useChannel, usePrice } from "chaincast/react";

const client = createClient("http://127.0.0.1:3000", { token: async () => "eyJ…", lossless, msgpack });

const end: () => void = client.subscribe("price:ETH", { interval: 1000, onGap: ({ from }) => from }, ({ data }) => {
  const price: number = data.price;
  // @ts-expect-error: a price has no hash
  data.hash;
  return price;
});
end();

// @ts-expect-error: not an interval of the protocol
client.subscribe("price:ETH", { interval: 7 }, () => {});

for await (const item of client.stream("new-block", { from: "start" })) {
  if (item.event === "gap") item.reason satisfies "deleted" | "epoch";
  else if (item.event === "reorg") item.data.dropped.map(({ hash }) => hash);
  else if (item.event === "new-block") item.data.parentHash.length;
}

declare const name: string;
client.subscribe(name, (update) => update.channel.length);

client.publish("room:lobby", { type: "chat", payload: { text: "hi" } }).then(({ seq }) => seq.toFixed(), (error: ChaincastError) => error.code);
client.on("state", ({ phase }) => phase === "live");

export function Component() {
  const price: PriceUpdate | undefined = usePrice("ETH");
  const { update, error } = useChannel("contract:usdc:transfer");
  useBlocks(3).map(({ finalized }) => finalized);
  useCandles("ETH", "1m").map(({ close }) => close);
  // @ts-expect-error: not an interval of candles
  useCandles("ETH", "2m");
  return [price?.status, update?.event, error?.code];
}
