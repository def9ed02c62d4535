//! Prices from a venue's text, digit by digit, and what is made of a best bid and a best ask.

use std::str::FromStr;

use bigdecimal::BigDecimal;
use serde_json::value::RawValue;

use super::{super::decimal::half, PriceFault};

/// Longest text of a price, in bytes: more digits than anything is counted in.
const MAX_TEXT: usize = 64;
/// Largest exponent that is looked at, either way.
const MAX_POWER: u64 = 128;
/// A price is below 10 to this power and not below 10 to minus this power.
const MAX_MAGNITUDE: i64 = 24;
/// Shown of a price that cannot be read, in characters.
const SHOWN: usize = 40;

/// A price in a JSON number or string.
pub(in super::super) fn price(raw: &RawValue) -> Result<BigDecimal, PriceFault> {
    let text = raw.get();
    let quoted = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    price_of(quoted.unwrap_or(text))
}

/// A price in plain text, with all its digits. Above zero, and of a size that can be a price.
pub(in super::super) fn price_of(text: &str) -> Result<BigDecimal, PriceFault> {
    let shown = || text.chars().take(SHOWN).collect::<String>();
    if text.len() > MAX_TEXT {
        return Err(PriceFault::Absurd(shown()));
    }
    let malformed = || PriceFault::Malformed(format!("{:?} is not a number", shown()));
    if !is_decimal(text) {
        return Err(malformed());
    }
    // The exponent is looked at first: 1e999999999 is a short text and a number that no memory holds.
    if let Some((_, exponent)) = text.split_once(['e', 'E'])
        && !matches!(exponent.parse::<i64>(), Ok(power) if power.unsigned_abs() <= MAX_POWER)
    {
        return Err(PriceFault::Absurd(shown()));
    }
    let value = BigDecimal::from_str(text).map_err(|_| malformed())?;
    if value <= BigDecimal::default() {
        return Err(PriceFault::NotPositive(shown()));
    }
    if !has_size(&value) {
        return Err(PriceFault::Absurd(shown()));
    }
    Ok(value)
}

/// Whether a number above zero is of a size that can be a price.
pub(super) fn has_size(value: &BigDecimal) -> bool {
    // How many digits stand before the point; 0 for 0.1, below for less.
    let magnitude = value.digits() as i64 - value.fractional_digit_count();
    -MAX_MAGNITUDE < magnitude && magnitude <= MAX_MAGNITUDE
}

/// Digits with a sign, a point and an exponent where JSON has them; digits on one side of the point are enough.
fn is_decimal(text: &str) -> bool {
    let is_digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    let (number, power) = match text.split_once(['e', 'E']) {
        Some((number, power)) => (number, power.strip_prefix(['-', '+']).unwrap_or(power)),
        None => (text, "0"),
    };
    let number = number.strip_prefix('-').unwrap_or(number);
    let (whole, rest) = number.split_once('.').unwrap_or((number, ""));
    let lacks_digits = power.is_empty() || (whole.is_empty() && rest.is_empty());
    !lacks_digits && is_digits(whole) && is_digits(rest) && is_digits(power)
}

/// The middle of a best bid and a best ask, and half their distance. Both are exact.
///
/// An ask below the bid is no market. One that is more than twice the bid is an empty book, whose middle says nothing.
pub(super) fn middle(
    bid: BigDecimal,
    ask: BigDecimal,
) -> Result<(BigDecimal, BigDecimal), PriceFault> {
    let shown = |bid: &BigDecimal, ask: &BigDecimal| (bid.to_plain_string(), ask.to_plain_string());
    if bid > ask {
        let (bid, ask) = shown(&bid, &ask);
        return Err(PriceFault::Crossed { bid, ask });
    }
    let spread = &ask - &bid;
    if spread > bid {
        let (bid, ask) = shown(&bid, &ask);
        return Err(PriceFault::Wide { bid, ask });
    }
    Ok((half(bid + ask), half(spread)))
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn digits_in_are_digits_out() {
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
            match price_of(&text) {
                Ok(price) => assert_eq!(price.to_plain_string(), text),
                Err(fault) => {
                    let zero = text.chars().all(|c| matches!(c, '0' | '.'));
                    assert!(zero, "{text}: {fault}");
                }
            }
            let number: &RawValue = serde_json::from_str(&text).unwrap();
            let quoted = format!("\"{text}\"");
            let string: &RawValue = serde_json::from_str(&quoted).unwrap();
            assert_eq!(price(number), price_of(&text));
            assert_eq!(price(string), price_of(&text));
        }
    }

    #[test]
    fn an_exponent_is_read_exactly() {
        for (text, plain) in [("1e-7", "0.0000001"), ("2.5E3", "2500"), ("1.50e1", "15.0")] {
            assert_eq!(price_of(text).unwrap().to_plain_string(), plain);
        }
    }

    #[test]
    fn what_is_no_price_is_told_by_its_kind() {
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
            let fault = price_of(text).unwrap_err();
            assert_eq!(fault.reason(), reason, "{text}: {fault}");
            assert!(PriceFault::REASONS.contains(&fault.reason()));
        }
    }

    #[test]
    fn whatever_the_text_is_it_is_read_or_refused() {
        let mut random = StdRng::seed_from_u64(6);
        let letters = *b"0123456789.-+eE";
        for _ in 0..20_000 {
            let length = random.random_range(0..70);
            let mut letter = || char::from(letters[random.random_range(0..letters.len())]);
            let text: String = (0..length).map(|_| letter()).collect();
            if let Ok(price) = price_of(&text) {
                assert!(price > BigDecimal::default(), "{text}");
            }
        }
    }

    #[test]
    fn the_middle_and_half_the_spread_are_exact() {
        let decimal = |text| BigDecimal::from_str(text).unwrap();
        let (price, confidence) = middle(decimal("25.35190000"), decimal("25.36520000")).unwrap();
        assert_eq!(price, decimal("25.35855"));
        assert_eq!(confidence, decimal("0.00665"));
        let (price, confidence) = middle(decimal("1"), decimal("1")).unwrap();
        assert_eq!((price, confidence), (decimal("1"), decimal("0")));
        assert!(middle(decimal("1"), decimal("2")).is_ok());

        let fault = middle(decimal("2"), decimal("1.99")).unwrap_err();
        assert_eq!(fault.reason(), "crossed");
        let fault = middle(decimal("1"), decimal("2.01")).unwrap_err();
        assert_eq!(fault.reason(), "wide");
    }
}
