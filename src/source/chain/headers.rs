//! Headers that a provider wants with every request, such as a key. Their values are secret: never shown or logged.

use std::collections::BTreeMap;

use alloy::transports::http::reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use crate::model::Secret;

/// Most headers of a provider.
const MOST: usize = 16;
/// Shorter words of a value are too common to be hidden in a node's own text.
const SHORTEST_KEY: usize = 6;
/// What the client itself sets, and another value of which would break a request.
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

/// `headers` of a provider: values by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct NodeHeaders(BTreeMap<String, Secret>);

impl NodeHeaders {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The headers as they are sent, or what is wrong with them, without a value in it.
    pub fn map(&self) -> Result<HeaderMap, String> {
        if self.0.len() > MOST {
            return Err(format!("has more than {MOST} of them"));
        }
        let mut map = HeaderMap::new();
        for (name, value) in &self.0 {
            let parsed: HeaderName = name
                .parse()
                .map_err(|_| format!("{name:?} is not the name of a header"))?;
            let lower = parsed.as_str();
            if RESERVED.contains(&lower) || lower.starts_with("sec-websocket-") {
                return Err(format!("{name} is set by chaincast itself"));
            }
            let mut value: HeaderValue = value
                .expose()
                .parse()
                .map_err(|_| format!("the value of {name} is not one that a header can have"))?;
            value.set_sensitive(true);
            if map.insert(parsed, value).is_some() {
                return Err(format!("{name} is there twice"));
            }
        }
        Ok(map)
    }

    /// A text of the node's own without what may be a key in these values.
    pub(super) fn hidden_in(&self, text: String) -> String {
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

    fn headers(given: &[(&str, &str)]) -> NodeHeaders {
        let pairs = given.iter();
        NodeHeaders(
            pairs
                .map(|(name, value)| ((*name).to_owned(), Secret::new(*value)))
                .collect(),
        )
    }

    #[test]
    fn refuses_headers_that_cannot_be_sent() {
        for (given, reason) in [
            (&[("no good", "x")][..], "not the name of a header"),
            (&[("X-Api-Key", "line\nbreak")], "the value of X-Api-Key"),
            (&[("Content-Length", "7")], "set by chaincast itself"),
            (&[("Sec-WebSocket-Key", "7")], "set by chaincast itself"),
            (&[("x-api-key", "a"), ("X-Api-Key", "b")], "twice"),
        ] {
            let error = headers(given).map().unwrap_err();
            assert!(error.contains(reason), "{error}");
            assert!(!error.contains("break"), "{error}");
        }
        let many: Vec<String> = (0..=MOST).map(|at| format!("x-{at}")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "v")).collect();
        assert!(headers(&many).map().unwrap_err().contains("more than 16"));
        assert_eq!(headers(&many[1..]).map().unwrap().len(), MOST);
    }

    #[test]
    fn shows_no_value() {
        let some = headers(&[("Authorization", "Bearer 0123456789abc")]);
        let text = some.hidden_in("the token 0123456789abc is unknown".to_owned());
        assert_eq!(text, "the token (hidden) is unknown");
        assert!(!format!("{some:?} {:?}", some.map()).contains("0123456789"));
    }
}
