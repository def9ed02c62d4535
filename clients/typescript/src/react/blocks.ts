import type { NewBlock } from "../protocol.js";
import { useStore } from "./context.js";
import { createStore } from "./store.js";

/** A block of `useBlocks`. */
export interface Block extends NewBlock {
  /** No reorg will drop it. */
  finalized: boolean;
}

/** The newest `count` blocks of a chain, newest first. Blocks that a reorg drops are gone. `chain` is the first one by default. */
export function useBlocks(count = 10, chain?: number): readonly Block[] {
  const channel = chain === undefined ? "new-block" : (`new-block:${chain}` as const);
  return useStore(`blocks ${channel} ${count}`, (client) => {
    const none: readonly Block[] = [];
    return createStore(none, (set) => {
      let blocks = none;
      const abort = new AbortController();
      const read = async () => {
        const { seq, epoch } = await client.get(`/channels/${channel}/updates?limit=1`, abort.signal).catch(() => ({}));
        // Finalized blocks and reorgs are updates too: half of these may be blocks.
        const from = seq === undefined ? "live" : Math.max(0, seq - 2 * count);
        for await (const item of client.stream(channel, { from, epoch, signal: abort.signal })) {
          if (item.event === "new-block") blocks = [{ ...item.data, finalized: false }, ...blocks.filter(({ hash }) => hash !== item.data.hash)].slice(0, count);
          else if (item.event === "reorg") blocks = blocks.filter(({ number }) => number <= item.data.commonAncestor.number);
          else if (item.event === "block-finalized") {
            if (blocks.every(({ number, finalized }) => finalized || number > item.data.number)) continue;
            blocks = blocks.map((block) => (block.finalized || block.number > item.data.number ? block : { ...block, finalized: true }));
          } else blocks = none; // a gap: what follows is another state
          set(blocks);
        }
      };
      read().catch(() => {}); // refused: `useChannel` of the same channel says why
      return () => abort.abort();
    });
  });
}
