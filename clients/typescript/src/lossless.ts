// The digits of prices, which a JavaScript number rounds.

const TOKENS = /"event":"([^"]*)"|"(price|confidence|threshold|open|high|low|close)":(-?\d[\d.eE+-]*)|"(?:[^"\\]|\\.)*"/g;

/** The option `lossless` of `createClient`: in JSON text, a price gets its digits as a second field, `priceText`. */
export function lossless(text: string): string {
  let isPrice = false;
  return text.replace(TOKENS, (found, event, key, digits) => {
    if (event !== undefined) isPrice = hasPrices(event);
    return digits && isPrice ? `${found},"${key}Text":"${digits}"` : found;
  });
}

/** Whether an event has prices. The payloads of messages are never interpreted. */
export function hasPrices(event: string): boolean {
  return /^(price|candle)-/.test(event);
}
