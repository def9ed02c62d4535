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
const TOO_OFTEN_CODES: [i64; 6] = [429, -32_005, -32_009, -32_029, -32_090, -32_097];

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
const RATE: [&str; 16] = [
    "concurrent requests",
    "concurrent calls",
    "queued requests",
    "queued calls",
    "rps limit",
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
const TOO_MUCH: [&str; 24] = [
    "too wide",
    "too many logs",
    "too many events",
    "too many blocks",
    "max logs",
    "range exceed",
    "exceeds range",
    "exceed range",
    "maximum range",
    "max range",
    "range limit",
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

const TOO_OFTEN: [&str; 12] = [
    "is busy",
    "server busy",
    "usage limit",
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

/// What answers say of a node, or of what stands before it, that cannot answer now.
const TROUBLE: [&str; 31] = [
    "internal error",
    "internal server error",
    "internal service error",
    "internal json-rpc error",
    "timed out",
    "timeout",
    "deadline exceeded",
    "context canceled",
    "request was cancel",
    "temporar",
    "try again",
    "unavailable",
    "unable to complete",
    "bad gateway",
    "backend",
    "upstream",
    "can't route",
    "connection refused",
    "connection reset",
    "broken pipe",
    "shutting down",
    "starting up",
    "too many open files",
    "method handler crashed",
    "unauthorized",
    "authenticat",
    "api key",
    "api-key",
    "apikey",
    "invalid token",
    "payment required",
];

/// Codes that say the same: an internal error and a resource that is not available (EIP-1474), Nethermind's timeouts; and
/// HTTP's for who may ask, which is about a key and not about a method.
const TROUBLE_CODES: [i64; 7] = [-32_603, -32_002, -32_016, -32_017, 401, 402, 407];

/// Codes for a method that is not there (JSON-RPC, EIP-1474, Besu).
const NO_METHOD_CODES: [i64; 3] = [-32_601, -32_004, -32_604];

/// What is said of a method, or of arrays of calls, that a node does not have.
const LACKS: [&str; 20] = [
    "not found",
    "not supported",
    "unsupported",
    "does not support",
    "doesn't support",
    "not available",
    "does not exist",
    "not allowed",
    "not enabled",
    "not permitted",
    "not implemented",
    "unimplemented",
    "whitelisted",
    "disabled",
    "restricted",
    "forbidden",
    "unknown",
    "does not include",
    "not included",
    "upgrade your plan",
];

fn says(message: &str, words: &[&str]) -> bool {
    words.iter().any(|word| message.contains(word))
}

/// Whether an error says that the node does not have a method, or not for this client.
pub(super) fn names_method(method: &str, code: i64, message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let named = message.contains("method") || message.contains(&method.to_ascii_lowercase());
    NO_METHOD_CODES.contains(&code)
        || named && says(&message, &LACKS)
        || says(&message, &["not implemented", "unimplemented"])
}

/// Whether an error says that the node answers no arrays of calls at all.
pub(super) fn names_batches(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    // "Batch of more than 3 requests are not allowed" is about their size.
    let of_size = || {
        says(
            &message,
            &["size", "more than", "limit", "max", "exceed", "too "],
        )
    };
    message.contains("batch") && says(&message, &LACKS) && !of_size()
}

/// Whether an error says that the node cannot answer now, and nothing of what it can do.
pub(super) fn is_trouble(code: i64, message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    (TROUBLE_CODES.contains(&code) || says(&message, &TROUBLE)) && !names_batches(&message)
}

/// Whether words have HTTP's status 429 in them, and not a number of something else: alone, or beside what it is.
fn has_status(message: &str) -> bool {
    const BESIDE: [&str; 4] = ["http", "status", "code", "error"];
    let words: Vec<&str> = message
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let is_number = |word: &&&str| word.bytes().all(|byte| byte.is_ascii_digit());
    words.iter().enumerate().any(|(at, word)| {
        // "HTTP/1.1 429"
        let before = words[..at].iter().rev().find(|word| !is_number(word));
        let after = words.get(1).filter(|_| at == 0);
        *word == "429"
            && (words.len() == 1
                || before.is_some_and(|word| BESIDE.contains(word))
                || after.is_some_and(|word| BESIDE.contains(word)))
    }) || message.contains("(429)")
}

/// Classifies an error of JSON-RPC (EIP-1474 for the codes), or words without a code, which is then 0.
pub(super) fn refusal(code: i64, message: &str) -> Refusal {
    let message = message.to_ascii_lowercase();
    let says = |words: &[&str]| says(&message, words);
    let about_results = says(&["results", "block range", "response size"]);
    if names_batches(&message) {
        // Whatever its code: jsonrpsee has -32005 here.
        return Refusal::Other;
    }
    if says(&BATCH) {
        Refusal::TooMuch
    } else if says(&[
        "invalid argument",
        "hex number",
        "hex string",
        "invalid block range",
    ]) {
        // Of a parameter: "hex number > 64 bits" is said of a hash where a number is expected.
        Refusal::Other
    } else if says(&RATE) && !about_results {
        Refusal::TooOften
    } else if says(&TOO_MUCH) {
        Refusal::TooMuch
    } else if TOO_OFTEN_CODES.contains(&code)
        || says(&RATE)
        || says(&TOO_OFTEN)
        || has_status(&message)
    {
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
#[path = "refusal_tests.rs"]
mod tests;
