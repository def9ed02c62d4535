//! Parses prices from text without losing digits, and combines best bid and best ask.

use std::str::FromStr;

use bigdecimal::BigDecimal;
use serde_json::value::RawValue;

use super::{PriceFault, decimal::half};

/// Maximum length of a price in bytes.
const MAX_TEXT: usize = 64;
/// Maximum absolute exponent.
const MAX_EXPONENT: u64 = 128;
/// A price is below 10 to this power, and at least 10 to minus this power.
const MAX_MAGNITUDE: i64 = 24;
/// Maximum length of unreadable text in errors, in characters.
const MAX_SHOWN: usize = 40;

/// Parses a price from a JSON number or string.
pub(super) fn price_from_json(raw: &RawValue) -> Result<BigDecimal, PriceFault> {
    let text = raw.get();
    let quoted = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    parse_price(quoted.unwrap_or(text))
}

/// Parses a price with all its digits: above zero and of plausible size.
pub(super) fn parse_price(text: &str) -> Result<BigDecimal, PriceFault> {
    let excerpt = || text.chars().take(MAX_SHOWN).collect::<String>();
    if text.len() > MAX_TEXT {
        return Err(PriceFault::OutOfRange(excerpt()));
    }
    let malformed = || PriceFault::Malformed(format!("{:?} is not a number", excerpt()));
    if !is_decimal(text) {
        return Err(malformed());
    }
    // Check the exponent first: 1e999999999 is a short text but does not fit into memory.
    if let Some((_, exponent)) = text.split_once(['e', 'E'])
        && !matches!(exponent.parse::<i64>(), Ok(power) if power.unsigned_abs() <= MAX_EXPONENT)
    {
        return Err(PriceFault::OutOfRange(excerpt()));
    }
    let value = BigDecimal::from_str(text).map_err(|_| malformed())?;
    if value <= BigDecimal::default() {
        return Err(PriceFault::NotPositive(excerpt()));
    }
    if !is_plausible_size(&value) {
        return Err(PriceFault::OutOfRange(excerpt()));
    }
    Ok(value)
}

/// Whether a positive number is of plausible size for a price.
pub(super) fn is_plausible_size(value: &BigDecimal) -> bool {
    // Number of digits before the point; 0 for 0.1, negative for less.
    let magnitude = value.digits() as i64 - value.fractional_digit_count();
    -MAX_MAGNITUDE < magnitude && magnitude <= MAX_MAGNITUDE
}

/// Whether a text is a JSON number, except that digits on one side of the point suffice.
fn is_decimal(text: &str) -> bool {
    let is_digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    let (number, power) = match text.split_once(['e', 'E']) {
        Some((number, power)) => (number, power.strip_prefix(['-', '+']).unwrap_or(power)),
        None => (text, "0"),
    };
    let number = number.strip_prefix('-').unwrap_or(number);
    let (whole, rest) = number.split_once('.').unwrap_or((number, ""));
    let is_missing_digits = power.is_empty() || (whole.is_empty() && rest.is_empty());
    !is_missing_digits && is_digits(whole) && is_digits(rest) && is_digits(power)
}

/// The mean of best bid and best ask, and half the spread. Both are exact.
///
/// An ask below the bid is invalid. An ask of more than twice the bid means an empty book, whose mean is meaningless.
pub(super) fn mid_price(
    bid: BigDecimal,
    ask: BigDecimal,
) -> Result<(BigDecimal, BigDecimal), PriceFault> {
    let excerpt =
        |bid: &BigDecimal, ask: &BigDecimal| (bid.to_plain_string(), ask.to_plain_string());
    if bid > ask {
        let (bid, ask) = excerpt(&bid, &ask);
        return Err(PriceFault::Crossed { bid, ask });
    }
    let spread = &ask - &bid;
    if spread > bid {
        let (bid, ask) = excerpt(&bid, &ask);
        return Err(PriceFault::Wide { bid, ask });
    }
    Ok((half(bid + ask), half(spread)))
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn parse_keeps_every_digit() {
        let mut random = StdRng::seed_from_u64(5);
        for _ in 0..5_000 {
            let before = random.random_range(0..=18);
            let after = random.random_range(0..=22);
            let mut digit = || char::from(b'0' + random.random_range(0..10_u8));
            let whole: String = (0..before).map(|_| digit()).collect();
            let rest: String = (0..after).map(|_| digit()).collect();
            let text = match (whole.trim_start_matches('0'), rest.as_str()) {
                ("", "") => continue,
                (whole, "") => whole.to_owned(),
                ("", rest) => format!("0.{rest}"),
                (whole, rest) => format!("{whole}.{rest}"),
            };
            match parse_price(&text) {
                Ok(price) => assert_eq!(price.to_plain_string(), text),
                Err(fault) => {
                    let zero = text.chars().all(|c| matches!(c, '0' | '.'));
                    assert!(zero, "{text}: {fault}");
                }
            }
            let number: &RawValue = serde_json::from_str(&text).unwrap();
            let quoted = format!("\"{text}\"");
            let string: &RawValue = serde_json::from_str(&quoted).unwrap();
            assert_eq!(price_from_json(number), parse_price(&text));
            assert_eq!(price_from_json(string), parse_price(&text));
        }
    }

    #[test]
    fn parses_exponent_exactly() {
        for (text, plain) in [("1e-7", "0.0000001"), ("2.5E3", "2500"), ("1.50e1", "15.0")] {
            assert_eq!(parse_price(text).unwrap().to_plain_string(), plain);
        }
    }

    #[test]
    fn rejects_invalid_price_with_reason() {
        let long = "1".repeat(65);
        for (text, reason) in [
            ("0", "not_positive"),
            ("0.000", "not_positive"),
            ("-1", "not_positive"),
            ("-0.00000001", "not_positive"),
            ("1e25", "absurd"),
            ("1e-25", "absurd"),
            ("9e999999999", "absurd"),
            ("1e-999999999", "absurd"),
            ("1e99999999999999999999", "absurd"),
            ("1e-9223372036854775808", "absurd"),
            (long.as_str(), "absurd"),
            ("NaN", "malformed"),
            ("inf", "malformed"),
            ("-Infinity", "malformed"),
            ("", "malformed"),
            ("1,5", "malformed"),
            ("1.2.3", "malformed"),
            ("--1", "malformed"),
            (".+5", "malformed"),
            (".", "malformed"),
            ("-", "malformed"),
            ("1e", "malformed"),
            ("e5", "malformed"),
            ("1_000", "malformed"),
            ("null", "malformed"),
            ("0x10", "malformed"),
            ("١", "malformed"),
        ] {
            let fault = parse_price(text).unwrap_err();
            assert_eq!(fault.reason(), reason, "{text}: {fault}");
            assert!(PriceFault::REASONS.contains(&fault.reason()));
        }
    }

    #[test]
    fn parse_returns_for_any_text() {
        let mut random = StdRng::seed_from_u64(6);
        let letters = *b"0123456789.-+eE";
        for _ in 0..20_000 {
            let length = random.random_range(0..70);
            let mut letter = || char::from(letters[random.random_range(0..letters.len())]);
            let text: String = (0..length).map(|_| letter()).collect();
            if let Ok(price) = parse_price(&text) {
                assert!(price > BigDecimal::default(), "{text}");
            }
        }
    }

    #[test]
    fn mid_price_and_half_spread_are_exact() {
        let decimal = |text| BigDecimal::from_str(text).unwrap();
        let (price, confidence) =
            mid_price(decimal("25.35190000"), decimal("25.36520000")).unwrap();
        assert_eq!(price, decimal("25.35855"));
        assert_eq!(confidence, decimal("0.00665"));
        let (price, confidence) = mid_price(decimal("1"), decimal("1")).unwrap();
        assert_eq!((price, confidence), (decimal("1"), decimal("0")));
        assert!(mid_price(decimal("1"), decimal("2")).is_ok());

        let fault = mid_price(decimal("2"), decimal("1.99")).unwrap_err();
        assert_eq!(fault.reason(), "crossed");
        let fault = mid_price(decimal("1"), decimal("2.01")).unwrap_err();
        assert_eq!(fault.reason(), "wide");
    }
}
