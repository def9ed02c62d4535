//! Parses the time of a price as reported by a venue, in any unit.
//!
//! Pure. A number is seconds, ms, µs or ns since 1970, determined by its magnitude: each unit has three digits more
//! than the one before, so every instant from March 1973 to the year 5138 is unambiguous. A string is such a number, or
//! RFC 3339.
//!
//! Guarantees that no time keeps a price fresh forever: a time more than [`MAX_AHEAD_MS`] ahead of the reference clock
//! is rejected, and so is one that fits no unit.

use bigdecimal::{
    BigDecimal, RoundingMode,
    num_bigint::BigInt,
    num_traits::{Signed, ToPrimitive},
};
use chrono::DateTime;
use serde_json::value::RawValue;

use super::{PriceFault, max_age::MAX_AGE_LIMIT_MS, price_text::parse_price};

/// How far a time may be ahead of the reference clock, in ms; clocks differ by less.
pub const MAX_AHEAD_MS: u64 = 60_000;

/// Numbers below 10 to this power are seconds; below 1,000 times as much, ms; and so on.
const SECONDS_BELOW: u32 = 11;
/// Divisor to ms of each unit as a power of ten: seconds, ms, µs, ns.
const UNITS: [i64; 4] = [-3, 0, 3, 6];
/// Maximum length of an invalid time in errors, in characters.
const MAX_SHOWN: usize = 40;

/// Parses a JSON number or string to ms since the Unix epoch, rounding down.
pub(super) fn from_json(raw: &RawValue) -> Result<i64, PriceFault> {
    let text = raw.get();
    if !text.starts_with('"') {
        return from_number(text);
    }
    let text = serde_json::from_str::<String>(text)
        .map_err(|error| PriceFault::Malformed(format!("time: {error}")))?;
    from_text(text.trim())
}

/// Parses RFC 3339, or a number.
fn from_text(text: &str) -> Result<i64, PriceFault> {
    // A number has at most one minus sign, in its exponent; a date has two.
    if text.contains(':') || text.matches('-').count() > 1 {
        return DateTime::parse_from_rfc3339(text)
            .map(|time| time.timestamp_millis())
            .map_err(|error| {
                PriceFault::Malformed(format!("time {:?}: {error}", truncated(text)))
            });
    }
    from_number(text)
}

fn from_number(text: &str) -> Result<i64, PriceFault> {
    let number = parse_price(text).map_err(|fault| match fault {
        PriceFault::Malformed(_) => {
            PriceFault::Malformed(format!("time {:?} is not a number", truncated(text)))
        }
        _ => PriceFault::NoTime(truncated(text)),
    })?;
    in_ms(&number).ok_or_else(|| PriceFault::NoTime(truncated(text)))
}

/// Converts an integer of any unit to ms; `None` if it fits no unit.
pub(super) fn from_integer(number: impl Into<BigInt>) -> Option<i64> {
    in_ms(&BigDecimal::new(number.into(), 0))
}

fn in_ms(number: &BigDecimal) -> Option<i64> {
    if !number.is_positive() {
        return None;
    }
    let mut below = BigInt::from(10).pow(SECONDS_BELOW);
    for unit in UNITS {
        if *number < BigDecimal::new(below.clone(), 0) {
            let ms = number * BigDecimal::new(1.into(), unit);
            return ms.with_scale_round(0, RoundingMode::Down).to_i64();
        }
        below *= 1_000;
    }
    None
}

/// Checks that a time is at most a year before and a minute after `now_ms`.
pub(super) fn check_recent(at: i64, now_ms: i64) -> Result<i64, PriceFault> {
    let distance = now_ms.abs_diff(at);
    if at > now_ms && distance > MAX_AHEAD_MS {
        return Err(PriceFault::Ahead(distance));
    }
    if at < now_ms && distance > MAX_AGE_LIMIT_MS {
        return Err(PriceFault::Timestamp(at));
    }
    Ok(at)
}

fn truncated(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    /// 9 September 2001 and 20 November 2286: seconds of ten digits.
    const FIRST: i64 = 1_000_000_000_000;
    const LAST: i64 = 9_999_999_999_999;

    fn read(json: &str) -> Result<i64, PriceFault> {
        from_json(serde_json::from_str(json).unwrap())
    }

    /// The instant in each unit, as an integer.
    fn in_each_unit(ms: i64) -> [String; 4] {
        [
            (ms / 1_000).to_string(),
            ms.to_string(),
            format!("{ms}000"),
            format!("{ms}000000"),
        ]
    }

    #[test]
    fn parses_2001_to_2286_in_each_unit() {
        let mut random = StdRng::seed_from_u64(11);
        let drawn = (0..2_000).map(|_| random.random_range(FIRST..=LAST));
        for ms in [FIRST, LAST, FIRST + 999, LAST - 999]
            .into_iter()
            .chain(drawn)
        {
            let [seconds, rest @ ..] = in_each_unit(ms);
            assert_eq!(read(&seconds), Ok(ms / 1_000 * 1_000), "{seconds}");
            for text in rest {
                assert_eq!(read(&text), Ok(ms), "{text}");
                assert_eq!(read(&format!("\"{text}\"")), Ok(ms), "{text}");
            }
        }
    }

    #[test]
    fn unit_boundaries_are_exact() {
        for (text, ms) in [
            ("99999999999", 99_999_999_999_000),
            ("100000000000", 100_000_000_000),
            ("99999999999999", 99_999_999_999_999),
            ("100000000000000", 100_000_000_000),
            ("99999999999999999", 99_999_999_999_999),
            ("100000000000000000", 100_000_000_000),
            ("99999999999999999999", 99_999_999_999_999),
        ] {
            assert_eq!(read(text), Ok(ms), "{text}");
        }
        assert_eq!(
            read("100000000000000000000").unwrap_err().reason(),
            "timestamp"
        );
    }

    #[test]
    fn rounds_down_to_ms() {
        for (text, ms) in [
            ("1714746101", 1_714_746_101_000),
            ("1714746101.1239", 1_714_746_101_123),
            ("1.714746101e9", 1_714_746_101_000),
            ("17147461011239e-4", 1_714_746_101_123),
            ("1714746101123.999", 1_714_746_101_123),
            ("1714746101123999", 1_714_746_101_123),
            ("1714746101123999999", 1_714_746_101_123),
            ("\"1714746101.5\"", 1_714_746_101_500),
            ("\" 1714746101123456789 \"", 1_714_746_101_123),
            ("\"2024-05-03T14:21:41.123456789Z\"", 1_714_746_101_123),
            ("\"2024-05-03T16:21:41+02:00\"", 1_714_746_101_000),
            ("\"2024\\u002d05-03t14:21:41z\"", 1_714_746_101_000),
        ] {
            assert_eq!(read(text), Ok(ms), "{text}");
        }
    }

    #[test]
    fn rejects_invalid_time() {
        for text in ["0", "-5", "1e23", "1e999999999", "1e-30", "\"-1714746101\""] {
            assert_eq!(read(text).unwrap_err().reason(), "timestamp", "{text}");
        }
        for text in [
            "null",
            "true",
            "{}",
            "[1714746101]",
            "\"\"",
            "\"yesterday\"",
            "\"2024-13-03T00:00:00Z\"",
            "\"2024-05-03\"",
            "\"1714746101s\"",
        ] {
            assert_eq!(read(text).unwrap_err().reason(), "malformed", "{text}");
        }
    }

    #[test]
    fn rejects_time_too_far_from_now() {
        let now = 1_714_746_101_000;
        for at in [now, now + 60_000, now - 365 * 86_400_000] {
            assert_eq!(check_recent(at, now), Ok(at));
        }
        for at in [now + 60_001, i64::MAX, now - 365 * 86_400_000 - 1, i64::MIN] {
            let fault = check_recent(at, now).unwrap_err();
            assert_eq!(fault.reason(), "timestamp", "{at}: {fault}");
        }
    }

    #[test]
    fn integer_without_unit_is_none() {
        assert_eq!(from_integer(1_714_746_101_u64), Some(1_714_746_101_000));
        assert_eq!(
            from_integer(1_714_746_101_123_456_789_u64),
            Some(1_714_746_101_123)
        );
        assert_eq!(from_integer(0), None);
        assert_eq!(from_integer(-1), None);
        assert_eq!(from_integer(u128::MAX), None);
    }
}
