// Reconnect delays after a close. Pure functions.

const FIRST_MS = 500;
const CEILING_MS = 30_000;
const LONGEST_ASKED_MS = 300_000;

/** Close codes after which a reconnect without changes cannot succeed, with their messages. */
const REFUSALS = new Map([
  [4401, 'a valid JWT is required'],
  [4403, 'this origin or client is not allowed'],
]);

const REASONS = new Map([
  [1001, 'the server is restarting'],
  [1006, 'the connection was lost'],
  [1009, 'a message was too large'],
  [4000, 'no heartbeat received in time'],
  [4008, 'this page read too slowly'],
  [4029, 'too many requests'],
  [4030, 'too many connections from this address'],
]);

/** Delay in ms before attempt number `attempt` (from 0): doubled each time, capped, with jitter over the upper half. */
export function backoffMs(attempt, random = Math.random) {
  const full = Math.min(CEILING_MS, FIRST_MS * 2 ** Math.min(attempt, 16));
  return Math.round(full / 2 + (random() * full) / 2);
}

/** The `retryAfterMs` of a close reason, which may be JSON or text; null without one. */
export function retryAfterMs(reason) {
  const match = /retryAfterMs["'\s:=]+(\d{1,9})/.exec(reason ?? '');
  return match ? Math.min(Number(match[1]), LONGEST_ASKED_MS) : null;
}

/** Whether the close code forbids a reconnect without changes. */
export function isRefusal(code) {
  return REFUSALS.has(code);
}

/** The message for a close. The server's own text is added, unless it is only the retry hint. */
export function closeText(code, reason) {
  const own = REFUSALS.get(code) ?? REASONS.get(code);
  const text = (reason ?? '').trim();
  if (text && !text.includes('retryAfterMs')) return own ? `${own} (${text})` : text;
  return own ?? `closed with code ${code}`;
}
