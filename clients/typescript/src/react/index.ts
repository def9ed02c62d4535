// Hooks for React 18 and 19. Each one renders only when its value changed.

export { type Block, useBlocks } from "./blocks.js";
export { type Candle, useCandles } from "./candles.js";
export { type ChannelState, useChannel } from "./channel.js";
export { useConnection } from "./connection.js";
export { ChaincastProvider, useClient } from "./context.js";
export { type Presence, usePresence } from "./presence.js";
export { usePrice, usePrices } from "./price.js";
export { useTransaction } from "./transaction.js";
