// How long to wait before a connection is opened or a request is sent again.

import type { Failure } from "./types.js";

const FIRST_MS = 500;
const LONGEST_MS = 30_000;
const LONGEST_HINT_MS = 300_000;

/** The wait before attempt number `attempt`, from 0: a random part, from half to the whole, of a time that doubles. */
export function backoff(attempt: number, random: number): number {
  return Math.min(LONGEST_MS, FIRST_MS * 2 ** attempt) * (0.5 + random / 2);
}

/** The `retryAfterMs` in the reason of a close; undefined without one. */
export function retryAfter(reason: string): number | undefined {
  const hint = /"retryAfterMs":\s*(\d+)/.exec(reason);
  return hint ? Math.min(+hint[1]!, LONGEST_HINT_MS) : undefined;
}

/** Codes after which the same request can succeed later; any other one with `retryAfterMs` too. */
const PASSING = /^(RATE_LIMITED|INTERNAL|TOKEN_EXPIRED)$/;
const RETRY_ATTEMPT = 2;

/** How long to wait before a request that was refused is sent again; undefined if the refusal is final. */
export function retryIn({ code, retryAfterMs }: Failure, random: number): number | undefined {
  return retryAfterMs ?? (PASSING.test(code) ? backoff(RETRY_ATTEMPT, random) : undefined);
}
