//! The keys of `http` sources.

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::{
    super::{
        http_client,
        max_age::DEFAULT_FEED_MAX_AGE_MS,
        source_config::{Instrument, KeyProblem, SourceConfig, SourceSettings},
        spelling::{lower_secret_scheme, upper_case},
        venue_url,
    },
    pointer,
};
use chaincast_base::{Secret, settings::settings};
use chaincast_protocol::ChainId;

/// Maximum headers of a source.
const MAX_HEADERS: usize = 16;

settings! {
    /// A document that contains a price.
    pub struct HttpConfig {
        /// URL of the document, http or https; only its host is ever printed.
        url: Secret as lower_url_scheme = Secret::default(), required(),
            example("\"https://api.example/price?pair=ETH-USD\"");
        /// JSON pointer of the price (RFC 6901), a number or a string; empty for the whole document; at most 1024 bytes and
        /// 32 steps.
        pointer: String = String::new(), required(), example("\"/data/price\"");
        /// Pointer of the time of the price: s, ms, µs or ns since 1970 as a number or a string, or RFC 3339; default: the
        /// time of the request.
        timestamp_pointer: Option<String> = None, example("\"/data/at\"");
        /// `"USD"`, or a tracked token whose price converts it to USD.
        quote: String as upper_case = String::new(), required(), example("\"USD\"");
        /// Poll interval.
        interval_ms: u64 = 10_000, range(100, 86_400_000);
        /// Time limit of a request.
        timeout_ms: u64 = 5_000, range(100, 60_000);
        /// Maximum size of the document.
        max_bytes: u64 = 1_048_576, range(64, 16_777_216), unit("bytes");
        /// Request headers; at most 16, never printed.
        headers: BTreeMap<String, Secret> = BTreeMap::new(), example("{ \"X-Api-Key\" = \"…\" }");
    }
}

fn lower_url_scheme(url: Secret) -> Secret {
    lower_secret_scheme(Some(url)).unwrap_or_default()
}

impl SourceSettings for HttpConfig {
    fn quote(&self) -> &str {
        &self.quote
    }

    fn default_max_age_ms(&self) -> u64 {
        DEFAULT_FEED_MAX_AGE_MS.max(self.interval_ms.saturating_mul(3))
    }

    fn instrument(&self) -> Option<Instrument> {
        Some(Instrument {
            description: "value of a document",
            keys: &["url", "pointer"],
            venue: venue_url::document(self.url.expose()),
            name: self.pointer.clone(),
        })
    }

    /// Any pointer: the document has one publisher.
    fn venue(&self, _first_chain: Option<ChainId>) -> String {
        format!("document {}", venue_url::document(self.url.expose()))
    }

    fn problems(
        &self,
        _source: &SourceConfig,
        _has_address: bool,
        _is_reported: &dyn Fn(&str) -> bool,
    ) -> Vec<KeyProblem> {
        let mut found = Vec::new();
        if !http_client::is_url(self.url.expose()) {
            let expected = "must be http:// or https:// with a host";
            found.push(("url", expected.to_owned()));
        }
        if let Err(expected) = pointer::parse(&self.pointer) {
            found.push(("pointer", expected));
        }
        if let Some(Err(expected)) = self.timestamp_pointer.as_deref().map(pointer::parse) {
            found.push(("timestamp_pointer", expected));
        }
        found.extend(self.header_map().err());
        found
    }

    fn timeout_ms(&self) -> u64 {
        self.timeout_ms
    }
}

impl HttpConfig {
    /// The request headers; fails with the key and the reason.
    pub(super) fn header_map(&self) -> Result<HeaderMap, KeyProblem> {
        let wrong = |what: &str| ("headers", what.to_owned());
        if self.headers.len() > MAX_HEADERS {
            return Err(wrong("must be at most 16"));
        }
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            let name: HeaderName = name
                .parse()
                .map_err(|_| wrong("has an invalid header name"))?;
            let mut value: HeaderValue = value
                .expose()
                .parse()
                .map_err(|_| wrong("has an invalid header value"))?;
            value.set_sensitive(true);
            map.insert(name, value);
        }
        Ok(map)
    }

    /// The settings that sources must have in common to share their fetches.
    pub(super) fn group(&self) -> Group<'_> {
        let headers = self.headers.iter();
        Group {
            url: self.url.expose(),
            headers: headers
                .map(|(name, value)| (name.as_str(), value.expose()))
                .collect(),
            limits: [self.interval_ms, self.timeout_ms, self.max_bytes],
        }
    }
}

/// What decides whether sources share their fetches.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group<'a> {
    url: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    limits: [u64; 3],
}
