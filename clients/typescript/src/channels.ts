// Which messages a channel has, by its name.

import type { Gap, Update } from "./core/types.js";

type Of<Event extends string> = Extract<Update, { event: Event }>;

/** `-` → `Lower`: names are in canonical form here; others have every kind of message. */
export type UpdateOf<Channel extends string> = string extends Channel
  ? Update
  : Channel extends `price:${string}`
    ? Of<"price-update">
    : Channel extends `candle:${string}`
      ? Of<"candle-update">
      : Channel extends "new-block" | `new-block:${string}`
        ? Of<"new-block" | "reorg" | "block-finalized">
        : Channel extends `tx:${string}`
          ? Of<"transaction-update">
          : Channel extends `address:${string}`
            ? Of<"address-transaction" | "address-transfer" | "address-reorg">
            : Channel extends `contract:${string}`
              ? Of<"contract-event" | "contract-reorg">
              : Channel extends "heartbeat"
                ? Of<"heartbeat">
                : Update;

/** What a stream has: updates, and gaps where updates are missing. */
export type Item<Channel extends string> = UpdateOf<Channel> | Gap;
