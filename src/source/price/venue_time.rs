//! When a venue says that a price was, in whatever unit it counts.
//!
//! Pure. A number is seconds, ms, µs or ns since 1970 by its size alone: each unit has three digits more than the one
//! before, so that every instant from March 1973 to the year 5138 is unambiguous in each of them. Text is such a number,
//! or a time as of RFC 3339.
//!
//! Promises that no time makes a price fresh for ever: one that is more than [`MOST_AHEAD_MS`] ahead of the clock that
//! it is compared with is refused, and so is one that no unit explains.

use bigdecimal::{
    BigDecimal, RoundingMode,
    num_bigint::BigInt,
    num_traits::{Signed, ToPrimitive},
};
use chrono::DateTime;
use serde_json::value::RawValue;

use super::{MAX_AGE_LIMIT_MS, PriceFault, exchange::price_of};

/// How far a time may be ahead of the clock that it is compared with, in ms: clocks differ, and by less than this.
pub const MOST_AHEAD_MS: u64 = 60_000;

/// Numbers below 10 to this power are seconds, those below 1,000 times as much are ms, and so on.
const SECONDS_BELOW: u32 = 11;
/// What a number of each unit is divided by to be in ms, as a power of ten: seconds, ms, µs, ns.
const UNITS: [i64; 4] = [-3, 0, 3, 6];
/// Shown of what is no time, in characters.
const SHOWN: usize = 40;

/// A time in JSON, a number or a string, in ms since the Unix epoch; what is finer is cut off.
pub(super) fn of_json(raw: &RawValue) -> Result<i64, PriceFault> {
    let text = raw.get();
    if !text.starts_with('"') {
        return of_number(text);
    }
    let text = serde_json::from_str::<String>(text)
        .map_err(|error| PriceFault::Malformed(format!("its time: {error}")))?;
    of_text(text.trim())
}

/// A time as of RFC 3339, or a number as text.
fn of_text(text: &str) -> Result<i64, PriceFault> {
    // A number may have a sign in its exponent, and a date has two more.
    if text.contains(':') || text.matches('-').count() > 1 {
        return DateTime::parse_from_rfc3339(text)
            .map(|time| time.timestamp_millis())
            .map_err(|error| {
                PriceFault::Malformed(format!("its time {:?}: {error}", shown(text)))
            });
    }
    of_number(text)
}

fn of_number(text: &str) -> Result<i64, PriceFault> {
    let number = price_of(text).map_err(|fault| match fault {
        PriceFault::Malformed(_) => {
            PriceFault::Malformed(format!("its time {:?} is not a number", shown(text)))
        }
        _ => PriceFault::NoTime(shown(text)),
    })?;
    in_ms(&number).ok_or_else(|| PriceFault::NoTime(shown(text)))
}

/// An integer of some unit in ms; `None` for what no unit explains.
pub(super) fn of_integer(number: impl Into<BigInt>) -> Option<i64> {
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

/// A time in ms, when a price of it may be used at `now_ms`: neither more than a year ago nor more than a minute ahead.
pub(super) fn recent(at: i64, now_ms: i64) -> Result<i64, PriceFault> {
    let apart = now_ms.abs_diff(at);
    if at > now_ms && apart > MOST_AHEAD_MS {
        return Err(PriceFault::Ahead(apart));
    }
    if at < now_ms && apart > MAX_AGE_LIMIT_MS {
        return Err(PriceFault::Timestamp(at));
    }
    Ok(at)
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    /// 9 September 2001 and 20 November 2286: seconds of ten digits.
    const FIRST: i64 = 1_000_000_000_000;
    const LAST: i64 = 9_999_999_999_999;

    fn read(json: &str) -> Result<i64, PriceFault> {
        of_json(serde_json::from_str(json).unwrap())
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
    fn reads_any_instant_from_2001_to_2286_in_each_unit() {
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
    fn units_begin_where_the_one_before_ends() {
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
    fn cuts_off_what_is_finer_than_ms() {
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
    fn refuses_what_is_no_time() {
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
    fn refuses_more_than_a_minute_ahead_or_a_year_ago() {
        let now = 1_714_746_101_000;
        for at in [now, now + 60_000, now - 365 * 86_400_000] {
            assert_eq!(recent(at, now), Ok(at));
        }
        for at in [now + 60_001, i64::MAX, now - 365 * 86_400_000 - 1, i64::MIN] {
            let fault = recent(at, now).unwrap_err();
            assert_eq!(fault.reason(), "timestamp", "{at}: {fault}");
        }
    }

    #[test]
    fn an_integer_of_no_unit_has_no_time() {
        assert_eq!(of_integer(1_714_746_101_u64), Some(1_714_746_101_000));
        assert_eq!(
            of_integer(1_714_746_101_123_456_789_u64),
            Some(1_714_746_101_123)
        );
        assert_eq!(of_integer(0), None);
        assert_eq!(of_integer(-1), None);
        assert_eq!(of_integer(u128::MAX), None);
    }
}
