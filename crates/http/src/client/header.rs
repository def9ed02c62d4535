//! Headers that name hosts.

use axum::http::HeaderMap;

pub(super) const FORWARDED_HOST: &str = "x-forwarded-host";
/// Most characters of a header value in an error.
const MAX_HEADER_CHARS: usize = 128;

/// The values of a header, truncated.
pub(super) fn header_text(headers: &HeaderMap, name: &str) -> String {
    let values = headers.get_all(name).iter();
    let texts: Vec<_> = values
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    texts.join(", ").chars().take(MAX_HEADER_CHARS).collect()
}

/// Splits a host from its port. The colons of an IPv6 address are in brackets.
pub(super) fn split_port(authority: &str) -> (&str, Option<&str>) {
    let after_brackets = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[after_brackets..].find(':') {
        Some(at) => {
            let at = after_brackets + at;
            (&authority[..at], Some(&authority[at + 1..]))
        }
        None => (authority, None),
    }
}
