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

/// Codes that nodes and providers give to requests that come too often; beside them stands what else -32005 means.
const TOO_OFTEN_CODES: [i64; 5] = [429, -32_005, -32_029, -32_090, -32_097];

/// About an array of calls, whatever else the words say.
const BATCH: [&str; 6] = [
    "batch size",
    "batch limit",
    "batch too",
    "batch is too",
    "in batch",
    "in a batch",
];

/// What only rates are called; tried before [`TOO_MUCH`].
const RATE: [&str; 11] = [
    "rate limit",
    "rate-limit",
    "ratelimit",
    "rate exceeded",
    "too many requests",
    "throttl",
    "requests per",
    "per second",
    "/second",
    "/sec",
    "slow down",
];

/// Tried before [`TOO_OFTEN`]: `-32005` means both, and "limit exceeded" stands in messages of both kinds.
const TOO_MUCH: [&str; 13] = [
    "more than",
    "too large",
    "too big",
    "too long",
    "response size",
    "response exceed",
    "size exceed",
    "size limit",
    "exceeds the size",
    "too many results",
    "max results",
    "block range",
    "too many calls",
];

const TOO_OFTEN: [&str; 9] = [
    "compute units",
    "throughput",
    "capacity",
    "quota",
    "request limit",
    "credits",
    "daily limit",
    "overloaded",
    "too busy",
];

/// Classifies an error of JSON-RPC (EIP-1474 for the codes), or words without a code, which is then 0.
pub(super) fn refusal(code: i64, message: &str) -> Refusal {
    let message = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let about_results = says(&["results", "block range", "response size"]);
    // The status of HTTP as a word of its own.
    let status = || {
        let mut words = message.split(|letter: char| !letter.is_ascii_alphanumeric());
        words.any(|word| word == "429")
    };
    if says(&BATCH) {
        Refusal::TooMuch
    } else if says(&["invalid argument", "hex number", "hex string"]) {
        // Of a parameter: "hex number > 64 bits" is said of a hash where a number is expected.
        Refusal::Other
    } else if says(&RATE) && !about_results {
        Refusal::TooOften
    } else if says(&TOO_MUCH) {
        Refusal::TooMuch
    } else if TOO_OFTEN_CODES.contains(&code) || says(&RATE) || says(&TOO_OFTEN) || status() {
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
            (-32_097, "no", Refusal::TooOften),
            (0, "HTTP 429", Refusal::TooOften),
            (0, "block 0x4290 is not there", Refusal::Other),
            (
                0,
                "Too Many Requests: more than 25 per second",
                Refusal::TooOften,
            ),
            (
                -32_600,
                "too many requests in batch, 100 at most",
                Refusal::TooMuch,
            ),
            (
                -32_602,
                "invalid argument 0: hex number too large",
                Refusal::Other,
            ),
            (-32_001, "not whitelisted", Refusal::Other),
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
