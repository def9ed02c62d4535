//! The `Retry-After` header (RFC 9110, section 10.2.3).

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Longer delays count as this. Callers have lower bounds of their own.
const MAX: Duration = Duration::from_secs(u32::MAX as u64);

/// The delay that a response asks for. A date in the past is no delay; `None` without the header or if it is malformed.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    parse(value, Utc::now())
}

/// Seconds, or a date.
fn parse(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|c| c.is_ascii_digit()) {
        // A number that overflows exceeds the maximum.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(MAX));
    }
    let wait = date(value)?.signed_duration_since(now);
    Some(wait.to_std().unwrap_or(Duration::ZERO).min(MAX))
}

/// Parses an HTTP-date (RFC 9110, section 5.6.7), including its two obsolete formats.
fn date(value: &str) -> Option<DateTime<Utc>> {
    if let Ok(date) = DateTime::parse_from_rfc2822(value) {
        return Some(date.with_timezone(&Utc));
    }
    let mut forms = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"].into_iter();
    let date = forms.find_map(|form| NaiveDateTime::parse_from_str(value, form).ok())?;
    Some(date.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_seconds_and_dates() {
        let now = DateTime::parse_from_rfc3339("2015-10-21T07:27:00Z").unwrap();
        let parse = |value| parse(value, now.with_timezone(&Utc));
        assert_eq!(parse("120"), Some(Duration::from_secs(120)));
        assert_eq!(parse(" 0 "), Some(Duration::ZERO));
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        assert_eq!(parse(date), Some(Duration::from_secs(60)));
        for old in [
            "Wednesday, 21-Oct-15 07:28:00 GMT",
            "Wed Oct 21 07:28:00 2015",
        ] {
            assert_eq!(parse(old), Some(Duration::from_secs(60)), "{old}");
        }
        let past = "Wed, 21 Oct 2015 07:26:00 GMT";
        assert_eq!(parse(past), Some(Duration::ZERO));
        assert_eq!(parse("99999"), Some(Duration::from_secs(99_999)));
        for much in ["4294967296", "99999999999999999999999"] {
            assert_eq!(parse(much), Some(MAX));
        }
        for wrong in ["", "-1", "soon", "1.5"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn missing_header_asks_for_no_delay() {
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), None);
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(7)));
    }
}
