import type { TransactionUpdate } from "../protocol.js";
import { useChannel } from "./channel.js";

/** The state of a transaction, from the pool to finality; undefined until it is known. */
export function useTransaction(hash: string): TransactionUpdate | undefined {
  return useChannel(`tx:${hash}`).update?.data;
}
