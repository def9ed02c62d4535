//! What a node means when it refuses: that it was asked too often, for too much, or something else. Nodes agree on
//! few codes, so the words decide. Pure.

use std::time::{Duration, SystemTime};

/// What a node's error asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Ask less often.
    TooOften,
    /// Ask for less at once.
    TooMuch,
    /// Neither.
    Other,
}

/// Tried before [`TOO_OFTEN`]: `-32005` means both, and "limit exceeded" stands in messages of both kinds.
const TOO_MUCH: [&str; 16] = [
    "more than",
    "too large",
    "too big",
    "too long",
    "response size",
    "response exceed",
    "size exceed",
    "size limit",
    "exceeds the size",
    "batch size",
    "batch limit",
    "batch too",
    "too many results",
    "max results",
    "block range",
    "too many calls",
];

const TOO_OFTEN: [&str; 11] = [
    "rate limit",
    "ratelimit",
    "rate exceeded",
    "too many requests",
    "throttl",
    "compute units",
    "throughput",
    "capacity",
    "quota",
    "request limit",
    "requests per",
];

/// Classifies a JSON-RPC error (EIP-1474 for the codes).
pub(super) fn refusal(code: i64, message: &str) -> Refusal {
    const LIMIT_EXCEEDED: i64 = -32005;
    const TOO_MANY_REQUESTS: i64 = 429;
    let message = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&TOO_MUCH) {
        Refusal::TooMuch
    } else if code == LIMIT_EXCEEDED || code == TOO_MANY_REQUESTS || says(&TOO_OFTEN) {
        Refusal::TooOften
    } else if message.contains("limit exceeded") {
        Refusal::TooMuch
    } else {
        Refusal::Other
    }
}

/// The wait that `Retry-After` asks for: seconds, or a date (RFC 9110, section 10.2.3).
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = chrono::DateTime::parse_from_rfc2822(value).ok()?;
    let date: SystemTime = date.into();
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_code_is_read_by_its_words() {
        for (code, message, meant) in [
            (
                -32005,
                "query returned more than 10000 results",
                Refusal::TooMuch,
            ),
            (
                -32005,
                "daily request count exceeded, request rate limited",
                Refusal::TooOften,
            ),
            (-32005, "limit exceeded", Refusal::TooOften),
            (-32000, "limit exceeded", Refusal::TooMuch),
            (-32008, "Response is too big", Refusal::TooMuch),
            (
                -32003,
                "response size should not greater than 10000000 bytes",
                Refusal::TooMuch,
            ),
            (-32600, "batch too large", Refusal::TooMuch),
            (-32007, "50/second request limit reached", Refusal::TooOften),
            (429, "", Refusal::TooOften),
            (
                -32000,
                "Your app has exceeded its compute units per second capacity",
                Refusal::TooOften,
            ),
            (
                -32601,
                "the method does not exist/is not available",
                Refusal::Other,
            ),
            (-32000, "header not found", Refusal::Other),
        ] {
            assert_eq!(refusal(code, message), meant, "{code} {message}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_700);
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now),
            Some(Duration::from_secs(77))
        );
        let later = now + Duration::from_secs(3_600);
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:37 GMT", later),
            Some(Duration::ZERO)
        );
        assert_eq!(retry_after("soon", now), None);
    }
}
