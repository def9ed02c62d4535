import type { CandleInterval, CandleUpdate } from "../protocol.js";
import { useStore } from "./context.js";
import { createStore } from "./store.js";

/** One candle. `synthetic`: nothing was published in it, so it has the close of the one before. */
export interface Candle extends Omit<CandleUpdate, "token" | "interval" | "synthetic"> {
  synthetic: boolean;
}

const STEPS: Record<CandleInterval, number> = { "1m": 60_000, "5m": 300_000, "15m": 900_000, "1h": 3_600_000, "4h": 14_400_000, "1d": 86_400_000 };

/** The newest `count` candles of a token, oldest first: history, then live. The last one may still be open. */
export function useCandles(token: string, interval: CandleInterval, count = 100): readonly Candle[] {
  return useStore(`candles ${token} ${interval} ${count}`, (client) =>
    createStore<readonly Candle[]>([], (set) => {
      const abort = new AbortController();
      const { signal } = abort;
      const read = async () => {
        for (let isWhole = false; !isWhole; ) {
          const page = await client.get(`/prices/${encodeURIComponent(token)}/candles?interval=${interval}&limit=${count}`, signal);
          let candles: readonly Candle[] = page.data;
          set(candles);
          isWhole = true;
          for await (const item of client.stream(page.channel as `candle:${string}`, { from: page.seq, epoch: page.epoch, signal })) {
            isWhole = item.event !== "gap";
            if (item.event === "gap") break; // history has what is missing
            const next = added(candles, item.data, STEPS[interval]);
            if (next !== candles) set((candles = next.slice(-count)));
          }
        }
      };
      read().catch(() => {}); // refused: `useChannel` of the same channel says why
      return () => abort.abort();
    }),
  );
}

/** With this candle; the same list if it has it. Counts only grow, so an older state changes nothing. */
function added(candles: readonly Candle[], { token, interval, ...candle }: CandleUpdate, step: number): readonly Candle[] {
  const last = candles.at(-1);
  if (!last) return [candle];
  if (candle.timestamp > last.timestamp) {
    const between: Candle[] = [];
    const { close } = last;
    for (let timestamp = last.timestamp + step; timestamp < candle.timestamp && between.length < 5_000; timestamp += step) {
      between.push({ timestamp, open: close, high: close, low: close, close, count: 0, closed: true, synthetic: true });
    }
    return [...candles, ...between, candle];
  }
  const known = candles.find(({ timestamp }) => timestamp === candle.timestamp);
  const isNewer = known && (candle.count > known.count || (candle.count === known.count && candle.closed && !known.closed));
  return isNewer ? candles.map((one) => (one === known ? candle : one)) : candles;
}
