// The message for the end of a connection. Pure functions.

const REASONS = new Map([
  [1001, 'the server is restarting'],
  [1006, 'the connection was lost'],
  [1009, 'a message was too large'],
  [4000, 'no heartbeat received in time'],
  [4008, 'this page read too slowly'],
  [4029, 'too many requests'],
  [4030, 'too many connections from this address'],
  [4401, 'a valid JWT is required'],
  [4403, 'this origin or client is not allowed'],
]);

/** The message for a close. The server's own text is added, unless it is only the retry hint. */
export function closeText(code, reason) {
  const own = REASONS.get(code);
  const text = (reason ?? '').trim();
  if (text && !text.includes('retryAfterMs')) return own ? `${own} (${text})` : text;
  return own ?? `closed with code ${code}`;
}
