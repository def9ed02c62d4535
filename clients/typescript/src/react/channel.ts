import type { UpdateOf } from "../channels.js";
import type { ChannelOptions, Failure } from "../core/types.js";
import { useStore } from "./context.js";
import { createStore } from "./store.js";

/** The newest update of a channel. */
export interface ChannelState<U> {
  /** Undefined until the first update or snapshot. */
  update: U | undefined;
  /** Why the server refused the channel. */
  error: Failure | undefined;
}

const EMPTY: ChannelState<never> = { update: undefined, error: undefined };

/** The newest update of a channel, such as `useChannel("contract:usdc:transfer")`. */
export function useChannel<C extends string>(channel: C, options: ChannelOptions = {}): ChannelState<UpdateOf<C>> {
  return useStore(`channel ${channel} ${JSON.stringify(options)}`, (client) =>
    createStore<ChannelState<UpdateOf<C>>>(EMPTY, (set) =>
      client.subscribe(
        channel,
        { ...options, onError: (error) => set({ update: undefined, error }) },
        (update) => set({ update, error: undefined }),
      ),
    ),
  );
}
