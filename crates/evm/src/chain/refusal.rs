//! Classifies refusals: too many requests, a request that is too large, or something else. Nodes agree on few codes, so
//! the message decides. Pure.

/// The kind of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Too many requests.
    RateLimited,
    /// Too much in one request.
    TooLarge,
    /// Neither.
    Other,
}

/// Codes of nodes and providers for too many requests; -32005 has other meanings too.
const RATE_LIMIT_CODES: [i64; 6] = [429, -32_005, -32_009, -32_029, -32_090, -32_097];

/// About a batch, regardless of the rest of the message.
const BATCH: [&str; 6] = [
    "batch size",
    "batch limit",
    "batch too",
    "batch is too",
    "in batch",
    "in a batch",
];

/// Unambiguous terms for rate limits; checked before [`TOO_LARGE`].
const RATE_LIMIT: [&str; 16] = [
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

/// Checked before [`OVERLOAD`]: `-32005` means both, and "limit exceeded" occurs in messages of both kinds.
const TOO_LARGE: [&str; 24] = [
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

const OVERLOAD: [&str; 12] = [
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

/// Terms of a node, or of a proxy before it, that cannot answer now.
const TRANSIENT: [&str; 31] = [
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

/// Codes with that meaning: an internal error and an unavailable resource (EIP-1474), timeouts of Nethermind; and HTTP
/// statuses about credentials, not methods.
const TRANSIENT_CODES: [i64; 7] = [-32_603, -32_002, -32_016, -32_017, 401, 402, 407];

/// Codes of an unsupported method (JSON-RPC, EIP-1474, Besu).
const NO_METHOD_CODES: [i64; 3] = [-32_601, -32_004, -32_604];

/// Terms of a method, or of batches, that a node does not support.
const UNAVAILABLE: [&str; 20] = [
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

fn contains_any(message: &str, words: &[&str]) -> bool {
    words.iter().any(|word| message.contains(word))
}

/// Whether a node does not support a method, or not for this client.
pub(super) fn is_method_unavailable(method: &str, code: i64, message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let named = message.contains("method") || message.contains(&method.to_ascii_lowercase());
    NO_METHOD_CODES.contains(&code)
        || named && contains_any(&message, &UNAVAILABLE)
        || contains_any(&message, &["not implemented", "unimplemented"])
}

/// Whether a node does not support batches at all.
pub(super) fn rejects_batches(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    // "Batch of more than 3 requests are not allowed" is about the batch size.
    let is_about_size = || {
        contains_any(
            &message,
            &["size", "more than", "limit", "max", "exceed", "too "],
        )
    };
    message.contains("batch") && contains_any(&message, &UNAVAILABLE) && !is_about_size()
}

/// Whether a node cannot answer now, which says nothing about what it supports.
pub(super) fn is_transient(code: i64, message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    (TRANSIENT_CODES.contains(&code) || contains_any(&message, &TRANSIENT))
        && !rejects_batches(&message)
}

/// Whether a message contains the HTTP status 429, and not another number: alone, or next to a word that introduces it.
fn contains_status_429(message: &str) -> bool {
    const STATUS_WORDS: [&str; 4] = ["http", "status", "code", "error"];
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
                || before.is_some_and(|word| STATUS_WORDS.contains(word))
                || after.is_some_and(|word| STATUS_WORDS.contains(word)))
    }) || message.contains("(429)")
}

/// Classifies a JSON-RPC error (EIP-1474 for the codes), or a message without a code, then 0.
pub(super) fn classify(code: i64, message: &str) -> Refusal {
    let message = message.to_ascii_lowercase();
    let has = |words: &[&str]| contains_any(&message, words);
    let is_about_results = has(&["results", "block range", "response size"]);
    if rejects_batches(&message) {
        // For any code: jsonrpsee uses -32005 here.
        return Refusal::Other;
    }
    if has(&BATCH) {
        Refusal::TooLarge
    } else if has(&[
        "invalid argument",
        "hex number",
        "hex string",
        "invalid block range",
    ]) {
        // About a parameter: "hex number > 64 bits" is the error for a hash in place of a number.
        Refusal::Other
    } else if has(&RATE_LIMIT) && !is_about_results {
        Refusal::RateLimited
    } else if has(&TOO_LARGE) {
        Refusal::TooLarge
    } else if RATE_LIMIT_CODES.contains(&code)
        || has(&RATE_LIMIT)
        || has(&OVERLOAD)
        || contains_status_429(&message)
    {
        Refusal::RateLimited
    } else if message.contains("limit exceeded") {
        Refusal::TooLarge
    } else {
        Refusal::Other
    }
}

#[cfg(test)]
#[path = "refusal_tests.rs"]
mod tests;
