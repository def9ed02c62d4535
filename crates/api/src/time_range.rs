//! Time parameters.

use chrono::DateTime;

use super::error::{Problem, shortened};

/// The end of the year 9999, in ms since the Unix epoch.
pub(super) const LAST: i64 = 253_402_300_799_999;

/// Parses a time in ms since the Unix epoch or in RFC 3339 format. Returns ms.
pub(super) fn parse(name: &'static str, text: &str) -> Result<i64, Problem> {
    let millis = match text.parse::<i64>() {
        Ok(millis) => Some(millis),
        // The unescaped `+` of an offset is decoded as a space.
        Err(_) => DateTime::parse_from_rfc3339(&text.trim().replace(' ', "+"))
            .ok()
            .map(|time| time.timestamp_millis()),
    };
    millis.filter(|at| (0..=LAST).contains(at)).ok_or_else(|| {
        Problem::bad_parameter(
            name,
            format!(
                "{name} must be a time from 1970 to 9999, in ms since the Unix epoch or in RFC 3339 format, such as \
                 2026-01-31T12:00:00Z, not {:?}",
                shortened(text)
            ),
        )
    })
}

/// `from` (inclusive; defaults to the Unix epoch) and `to` (exclusive; defaults to `default_to`).
pub(super) fn range(
    from: Option<&str>,
    to: Option<&str>,
    default_to: i64,
) -> Result<(i64, i64), Problem> {
    let from = from.map_or(Ok(0), |text| parse("from", text))?;
    // Without a given end, a range that begins in the future is empty.
    let to = to.map_or(Ok(default_to.max(from)), |text| parse("to", text))?;
    if to < from {
        return Err(Problem::bad_parameter("to", "to must not be before from"));
    }
    Ok((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_milliseconds_and_rfc_3339() {
        for text in [
            "1790000000000",
            "2026-09-21T14:13:20Z",
            "2026-09-21T16:13:20+02:00",
            "2026-09-21T16:13:20 02:00",
        ] {
            assert_eq!(parse("from", text).unwrap(), 1_790_000_000_000, "{text}");
        }
        for bad in ["", "yesterday", "-1", "99999999999999999", "2026-09-21"] {
            assert!(parse("from", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rejects_given_end_before_start() {
        assert!(range(Some("5"), Some("4"), 0).is_err());
        assert_eq!(range(None, None, 9).unwrap(), (0, 9));
        assert_eq!(range(None, Some("7"), 9).unwrap(), (0, 7));
        assert_eq!(range(Some("9"), Some("9"), 9).unwrap(), (9, 9));
        // Without `to`, any `from` is valid.
        assert_eq!(range(Some("10"), None, 9).unwrap(), (10, 10));
    }
}
