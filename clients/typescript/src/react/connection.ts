import type { State } from "../core/types.js";
import { useStore } from "./context.js";

/** The state of the connection. */
export function useConnection(): State {
  return useStore("connection", (client) => ({
    read: () => client.state,
    watch: (changed) => client.on("state", changed),
  }));
}
