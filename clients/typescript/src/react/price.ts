import type { ChannelOptions } from "../core/types.js";
import type { PriceUpdate } from "../protocol.js";
import { useChannel } from "./channel.js";
import { useStore } from "./context.js";
import { createStore } from "./store.js";

type PriceOptions = Pick<ChannelOptions, "interval" | "mode">;

/** The price of a token; undefined until it is known. Its `status` says whether it can be trusted. */
export function usePrice(token: string, options: PriceOptions = {}): PriceUpdate | undefined {
  return useChannel(`price:${token}`, options).update?.data;
}

/** The prices of several tokens, by the names that were given; those that are not known yet are missing. */
export function usePrices(tokens: readonly string[], options: PriceOptions = {}): Readonly<Record<string, PriceUpdate>> {
  return useStore(`prices ${tokens.join()} ${JSON.stringify(options)}`, (client) => {
    const none: Record<string, PriceUpdate> = {};
    return createStore(none, (set) => {
      let prices = none;
      const ends = tokens.map((token) => client.subscribe(`price:${token}`, options, ({ data }) => set((prices = { ...prices, [token]: data }))));
      return () => ends.forEach((end) => end());
    });
  });
}
