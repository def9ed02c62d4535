// The client that the hooks of a tree of components use.

import { type ReactNode, createContext, createElement, useContext, useSyncExternalStore } from "react";
import type { Client } from "../client.js";
import { type Store } from "./store.js";

interface Shared {
  client: Client;
  stores: Map<string, Store<any>>;
}

const Context = createContext<Shared | null>(null);
const shared = new WeakMap<Client, Shared>();

/** Gives a client to the hooks below it. The application makes the client, outside of components, and closes it. */
export function ChaincastProvider({ client, children }: { client: Client; children?: ReactNode }) {
  let value = shared.get(client);
  if (!value) shared.set(client, (value = { client, stores: new Map() }));
  return createElement(Context.Provider, { value }, children);
}

function useShared(): Shared {
  const value = useContext(Context);
  if (!value) throw new Error("The hooks of chaincast need a <ChaincastProvider client={…}> above them");
  return value;
}

/** The client of the provider. */
export function useClient(): Client {
  return useShared().client;
}

/** The value of a store that all components with this key share. */
export function useStore<T>(key: string, create: (client: Client) => Store<T>): T {
  const { client, stores } = useShared();
  let store = stores.get(key);
  if (!store) {
    stores.set(key, (store = create(client)));
    store.ended = () => stores.delete(key);
  }
  return useSyncExternalStore(store.watch, store.read, store.read);
}
