// Formats numbers, ages and hashes. Pure functions, no DOM. Prices stay decimal text, and big integers stay integers,
// from the message to the screen: a double would round them.

const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const PRICES = new Set(['"price"', '"open"', '"high"', '"low"', '"close"']);
const MAX_DIGITS = 400;

/**
 * JSON.parse, but each number under a price key (price, open, high, low, close) is returned as its text
 * ("3456.120000000000000001") instead of the nearest double.
 */
export function parseLossless(text) {
  let key = '';
  return JSON.parse(
    text.replace(TOKENS, (token) => {
      if (token.startsWith('"')) {
        key = token;
        return token;
      }
      const isPrice = PRICES.has(key);
      key = '';
      return isPrice ? `"${token}"` : token;
    }),
  );
}

/** Parses a decimal number as {units, scale}, with the value units / 10^scale; null if it is not one. */
export function decimal(text) {
  const match = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(String(text ?? '').trim());
  if (!match) return null;
  const [, sign, whole, fraction = '', exponent = '0'] = match;
  const scale = fraction.length - Number(exponent);
  if (whole.length + fraction.length > MAX_DIGITS || Math.abs(scale) > MAX_DIGITS) return null;
  const digits = BigInt(sign + whole + fraction);
  return scale >= 0 ? { units: digits, scale } : { units: digits * 10n ** BigInt(-scale), scale: 0 };
}

/** -1, 0 or 1 if a is less than, equal to or greater than b (both from `decimal`). */
export function compare(a, b) {
  const left = a.units * 10n ** BigInt(b.scale);
  const right = b.units * 10n ** BigInt(a.scale);
  return left < right ? -1 : left > right ? 1 : 0;
}

/** The value rounded half away from zero to `places` digits, with thousands grouped: "3,456.12". */
export function fixed(value, places) {
  const negative = value.units < 0n;
  let units = negative ? -value.units : value.units;
  if (value.scale > places) {
    const divisor = 10n ** BigInt(value.scale - places);
    units = (units + divisor / 2n) / divisor;
  } else {
    units *= 10n ** BigInt(places - value.scale);
  }
  const digits = units.toString().padStart(places + 1, '0');
  const whole = digits.slice(0, digits.length - places).replace(/\B(?=(\d{3})+$)/g, ',');
  const fraction = places > 0 ? `.${digits.slice(digits.length - places)}` : '';
  return `${negative && units > 0n ? '-' : ''}${whole}${fraction}`;
}

/** The decimal exponent of the value: 3456 → 3, 0.012 → -2, 0 → 0. */
export function magnitude(value) {
  const units = value.units < 0n ? -value.units : value.units;
  return units === 0n ? 0 : units.toString().length - 1 - value.scale;
}

/** The number of decimals for a price of this magnitude: two for large prices, five significant digits for small ones. */
export function placesFor(power) {
  if (power >= 2) return 2;
  if (power >= 0) return 4;
  return Math.min(12, 4 - power);
}

/** Whether a price of this magnitude needs scientific notation. */
export function isFar(power) {
  return power < -8 || power >= 12;
}

/** The price, formatted for its magnitude: "3,456.12", "0.012346", "1.2346e-13". */
export function priceText(value, power) {
  if (!isFar(power)) return fixed(value, placesFor(power));
  return `${fixed({ units: value.units, scale: value.scale + power }, 4)}e${power < 0 ? '-' : '+'}${Math.abs(power)}`;
}

/** The change between two prices in percent, "+0.42 %"; null if there is nothing to compare. */
export function percentChange(from, to) {
  if (!from || !to || from.units === 0n) return null;
  const scale = Math.max(from.scale, to.scale);
  const start = from.units * 10n ** BigInt(scale - from.scale);
  const end = to.units * 10n ** BigInt(scale - to.scale);
  const basisPoints = ((end - start) * 100_000n) / start;
  const text = fixed({ units: basisPoints, scale: 3 }, 2);
  return text.startsWith('-') ? `−${text.slice(1)} %` : `+${text} %`;
}

/** A duration in ms as "4 s", "3 min", "2 h", "5 d". */
export function duration(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** An age in ms as "now", "4 s ago". */
export function age(ms) {
  return ms < 1000 ? 'now' : `${duration(ms)} ago`;
}

/** "0x1234…cdef" */
export function shortHash(hash) {
  return hash.length > 14 ? `${hash.slice(0, 6)}…${hash.slice(-4)}` : hash;
}

/** A non-negative whole number, grouped: 1234567 → "1,234,567". */
export function grouped(value) {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** Wei (decimal text, number or null) in a suitable unit: "7 wei", "1.25 gwei". */
export function fee(wei) {
  const value = decimal(wei);
  if (!value || value.scale !== 0) return '–';
  if (value.units < 1_000_000n) return `${grouped(value.units)} wei`;
  const gwei = { units: value.units, scale: 9 };
  return `${fixed(gwei, value.units < 1_000_000_000n ? 4 : 2)} gwei`;
}

/** gasUsed / gasLimit in percent with one digit (a number between 0 and 100), or null if either is missing. */
export function gasPercent(used, limit) {
  const part = decimal(used);
  const whole = decimal(limit);
  if (!part || !whole || part.scale || whole.scale || whole.units <= 0n) return null;
  return Math.min(100, Number((part.units * 1000n) / whole.units) / 10);
}
