// A channel as an async iterator: stored updates over REST, then the live stream from the next one.
//
// Promises: each update once and in order, or a gap that says what is missing. Bounded: a consumer that is slower than the
// channel reads from REST again what its buffer did not hold.

import type { Item } from "./channels.js";
import type { Client } from "./client.js";
import { backoff } from "./core/backoff.js";
import type { ChannelOptions, Failure, Gap, Update } from "./core/types.js";
import { ChaincastError } from "./error.js";

export interface StreamOptions extends Omit<ChannelOptions, "interval"> {
  /**
   * `live`, the default: the current state, then each update. `start`: from the oldest stored update on. A number: the
   * updates after this seq.
   */
  from?: "live" | "start" | number | undefined;
  /** The epoch of the seq in `from`. */
  epoch?: string | undefined;
  /** Ends the iteration. */
  signal?: AbortSignal | undefined;
  /** Updates that wait for the consumer; 10,000 by default. */
  buffer?: number | undefined;
}

const PAGE = 1000;

export async function* stream<C extends string>(client: Client, channel: C, options: StreamOptions = {}): AsyncGenerator<Item<C>, void, undefined> {
  const { from = "live", signal, buffer = 10_000, ...rest } = options;
  // Prices are the one channel that is conflated unless it is asked for.
  const mode = rest.mode ?? (/^price:/i.test(channel) ? "all" : undefined);
  let since = typeof from === "number" ? from : undefined;
  let epoch = options.epoch;
  let isStored = from === "start";
  let gap: Gap | undefined;

  while (client.state.phase !== "closed") {
    let cursor: string | null | undefined;
    let attempt = 0;
    let unauthorized = 0;
    while (isStored) {
      const position = since === undefined ? "" : `&since=${since}${epoch ? `&epoch=${epoch}` : ""}`;
      const after = cursor ? `&cursor=${encodeURIComponent(cursor)}` : position;
      try {
        const page = await client.get(`/channels/${encodeURIComponent(channel)}/updates?limit=${PAGE}${after}`, signal);
        attempt = 0;
        epoch = page.epoch;
        for (const update of page.data) {
          since = update.seq;
          yield update;
        }
        since ??= page.seq as number;
        cursor = page.next;
        isStored = !!cursor;
      } catch (caught) {
        const { status = 0, retryAfterMs, problem } = caught as ChaincastError;
        if (signal?.aborted) return;
        if (status === 410) {
          const isOther = problem.parameter === "epoch" || problem.newest! < since!;
          const end = isOther ? undefined : problem.oldest! - 1;
          yield { event: "gap", channel, from: since! + 1, to: end ?? null, reason: isOther ? "epoch" : "deleted" };
          since = end;
          if (isOther) epoch = undefined;
        } else if (status < 400 || status > 499 || status === 429 || (status === 401 && ++unauthorized < 4)) {
          const wait = retryAfterMs ?? backoff(attempt++, Math.random());
          await new Promise((resolve) => {
            setTimeout(resolve, wait);
            signal?.addEventListener("abort", resolve);
          });
        } else if (gap) {
          // These updates are not in the REST API.
          yield gap;
          since = gap.to ?? undefined;
          isStored = false;
        } else if (!cursor) throw caught;
        cursor = undefined;
      }
    }
    gap = undefined;

    const waiting: Update[] = [];
    let isEnded = false;
    let failure: Failure | undefined;
    let resume = () => {};
    const end = () => {
      isEnded = true;
      stop();
      resume();
    };
    const onGap = (found: Gap) => {
      gap = found;
      end();
    };
    const onError = (found: Failure) => {
      failure = found;
      end();
    };
    const stop = client.subscribe(channel, { ...rest, mode, since, epoch, onGap, onError }, (update) => {
      epoch = client.epoch;
      if (waiting.length < buffer) waiting.push(update);
      else {
        isStored = true;
        end();
      }
      resume();
    });
    const off = client.on("state", ({ phase }) => phase === "closed" && end());
    signal?.addEventListener("abort", end);
    try {
      while (!isEnded || waiting.length) {
        for (const update of waiting.splice(0)) {
          if (signal?.aborted) return;
          since = (update as { seq?: number }).seq ?? since;
          yield update as Item<C>;
        }
        if (!isEnded && !waiting.length) await new Promise<void>((resolve) => (resume = resolve));
      }
    } finally {
      stop();
      off();
      signal?.removeEventListener("abort", end);
    }
    if (failure) throw new ChaincastError(failure);
    if (signal?.aborted) return;
    const { reason, from: lost } = (gap ?? {}) as Partial<Gap>;
    if (reason === "epoch") {
      yield gap!;
      since = epoch = gap = undefined;
      isStored = from !== "live";
    } else if (reason) {
      since = lost! - 1;
      isStored = true;
    }
  }
}
