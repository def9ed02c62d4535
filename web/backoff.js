// When to connect again after a close. Pure functions.

const FIRST_MS = 500;
const CEILING_MS = 30_000;
const LONGEST_ASKED_MS = 300_000;

/** Closes after which coming back unchanged cannot help, with what to tell the reader. */
const REFUSALS = new Map([
  [4401, 'a valid token is needed'],
  [4403, 'this origin or client is not allowed'],
]);

const REASONS = new Map([
  [1001, 'the server is restarting'],
  [1006, 'the connection was lost'],
  [1009, 'a message was too big'],
  [4000, 'the heartbeat was missed'],
  [4008, 'this page read too slowly'],
  [4029, 'too many requests'],
  [4030, 'too many connections from this address'],
]);

/** Waiting time in ms before try number `attempt` (from 0): doubling, capped, with the upper half left to chance. */
export function backoffMs(attempt, random = Math.random) {
  const full = Math.min(CEILING_MS, FIRST_MS * 2 ** Math.min(attempt, 16));
  return Math.round(full / 2 + (random() * full) / 2);
}

/** The `retryAfterMs` of a close reason, be it JSON or text that holds it; null when there is none. */
export function retryAfterMs(reason) {
  const match = /retryAfterMs["'\s:=]+(\d{1,9})/.exec(reason ?? '');
  return match ? Math.min(Number(match[1]), LONGEST_ASKED_MS) : null;
}

/** True when the close code says not to come back without a change. */
export function isRefusal(code) {
  return REFUSALS.has(code);
}

/** A close as a person would say it; a server's own text wins over ours unless it is only the retry hint. */
export function closeText(code, reason) {
  const own = REFUSALS.get(code) ?? REASONS.get(code);
  const said = (reason ?? '').trim();
  if (said && !said.includes('retryAfterMs')) return own ? `${own} (${said})` : said;
  return own ?? `closed with code ${code}`;
}
