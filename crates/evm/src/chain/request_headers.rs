//! Headers that a provider requires with every request, such as a key. Their values are secret: never shown or logged.

use std::collections::BTreeMap;

use alloy::transports::http::reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use chaincast_base::{
    Secret,
    settings::{Key, Problems, Setting, read_plain},
};

/// Most headers per provider.
const MAX_HEADERS: usize = 16;
/// Shorter words of a value are too common to be replaced in node texts.
const SHORTEST_KEY: usize = 6;
/// Set by the HTTP client; another value would break a request.
const RESERVED: [&str; 9] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// `headers` of a provider, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct NodeHeaders(BTreeMap<String, Secret>);

impl Setting for NodeHeaders {
    const IS_SECRET: bool = true;

    fn read(value: toml::Value, key: &Key, path: &str, problems: &mut Problems) -> Option<Self> {
        read_plain(value, key, path, problems)
    }
}

impl NodeHeaders {
    /// Whether no headers are configured.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The headers to send. The error does not contain a value.
    pub(super) fn map(&self) -> Result<HeaderMap, String> {
        if self.0.len() > MAX_HEADERS {
            return Err(format!("has more than {MAX_HEADERS} headers"));
        }
        let mut map = HeaderMap::new();
        for (name, value) in &self.0 {
            let parsed: HeaderName = name
                .parse()
                .map_err(|_| format!("{name:?} is not a valid header name"))?;
            let lower = parsed.as_str();
            if RESERVED.contains(&lower) || lower.starts_with("sec-websocket-") {
                return Err(format!("{name} is set by chaincast itself"));
            }
            let mut value: HeaderValue = value
                .expose()
                .parse()
                .map_err(|_| format!("the value of {name} is not a valid header value"))?;
            value.set_sensitive(true);
            if map.insert(parsed, value).is_some() {
                return Err(format!("{name} is set twice"));
            }
        }
        Ok(map)
    }

    /// Replaces what may be a key of these values in a node text.
    pub(super) fn scrub_text(&self, text: String) -> String {
        let words = self.0.values().flat_map(|value| {
            let value = value.expose();
            std::iter::once(value).chain(value.split_whitespace())
        });
        words
            .filter(|word| word.len() >= SHORTEST_KEY)
            .fold(text, |text, word| text.replace(word, "(hidden)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> NodeHeaders {
        let pairs = pairs.iter();
        NodeHeaders(
            pairs
                .map(|(name, value)| ((*name).to_owned(), Secret::new(*value)))
                .collect(),
        )
    }

    #[test]
    fn headers_reject_unsendable_names_and_values() {
        for (pairs, reason) in [
            (&[("no good", "x")][..], "not a valid header name"),
            (&[("X-Api-Key", "line\nbreak")], "the value of X-Api-Key"),
            (&[("Content-Length", "7")], "set by chaincast itself"),
            (&[("Sec-WebSocket-Key", "7")], "set by chaincast itself"),
            (&[("x-api-key", "a"), ("X-Api-Key", "b")], "twice"),
        ] {
            let error = headers(pairs).map().unwrap_err();
            assert!(error.contains(reason), "{error}");
            assert!(!error.contains("break"), "{error}");
        }
        let many: Vec<String> = (0..=MAX_HEADERS).map(|at| format!("x-{at}")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "v")).collect();
        assert!(headers(&many).map().unwrap_err().contains("more than 16"));
        assert_eq!(headers(&many[1..]).map().unwrap().len(), MAX_HEADERS);
    }

    #[test]
    fn headers_hide_values() {
        let some = headers(&[("Authorization", "Bearer 0123456789abc")]);
        let text = some.scrub_text("the token 0123456789abc is unknown".to_owned());
        assert_eq!(text, "the token (hidden) is unknown");
        assert!(!format!("{some:?} {:?}", some.map()).contains("0123456789"));
    }
}
