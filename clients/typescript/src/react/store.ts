// What the hooks show: one value for each subscription, shared by all components that ask for the same.
//
// Promises: a value is the same object until it changes, so nothing renders without a change, and all components of one
// render see the same. A subscription begins with its first component, and ends a turn after its last one, so that
// StrictMode and navigation do not repeat it.

/** A value that components read. */
export interface Store<T> {
  read(): T;
  /** Calls `changed` after each change, until the returned function is called. */
  watch(changed: () => void): () => void;
  /** Called when the last one left. */
  ended?: () => void;
}

/** A store that runs `start` while somebody watches. `start` sets the value, and returns a function that ends it. */
export function createStore<T>(initial: T, start: (set: (value: T) => void) => () => void): Store<T> {
  let value = initial;
  let end: (() => void) | undefined;
  const watchers = new Set<() => void>();
  const set = (next: T) => {
    if (Object.is(next, value)) return;
    value = next;
    for (const changed of [...watchers]) changed();
  };
  const leave = () => {
    if (watchers.size > 0) return;
    end?.();
    end = undefined;
    value = initial;
    store.ended?.();
  };
  const store: Store<T> = {
    read: () => value,
    watch(changed) {
      watchers.add(changed);
      end ??= start(set);
      return () => {
        watchers.delete(changed);
        if (watchers.size === 0) setTimeout(leave, 0);
      };
    },
  };
  return store;
}
