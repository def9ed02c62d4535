//! Prices from JSON documents that are polled over HTTP.
//!
//! The price is located by a JSON Pointer (RFC 6901), as a number or a string, and read with all its digits. Sources
//! with the same URL, headers and limits share their fetches. `Retry-After` (RFC 9110, section 10.2.3) is honored. A
//! fetch is bounded in time and size and follows no redirects.

mod fetch;
mod page;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use self::{fetch::PageFeed, page::PriceLocation};
use super::{
    Feed, PriceConfig, SourceKind,
    config::upper_case,
    feed_name::FeedNames,
    http_client,
    stream::{StreamReader, Streams},
};
use crate::model::Secret;

const INTERVAL_MS: RangeInclusive<u64> = 100..=86_400_000;
const TIMEOUT_MS: RangeInclusive<u64> = 100..=60_000;
const MAX_BYTES: RangeInclusive<u64> = 64..=16_777_216;
/// Maximum headers of a source.
const MAX_HEADERS: usize = 16;

/// A document that contains a price.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// `http://…` or `https://…`; only its host is ever shown.
    pub url: Secret,
    /// Pointer to the price (RFC 6901), such as `/data/0/price`; empty for the whole document.
    pub pointer: String,
    /// Pointer to the time of the price: seconds, ms, µs or ns since 1970, or RFC 3339. The time of the fetch if
    /// omitted.
    pub timestamp_pointer: Option<String>,
    /// Quote currency: `USD`, or a tracked token whose own price converts. Upper case.
    #[serde(deserialize_with = "upper_case")]
    pub quote: String,
    /// Interval between fetches, in ms: 100 to a day.
    #[serde(default = "default_interval")]
    pub interval_ms: u64,
    /// Timeout of a fetch, in ms: 100 to 60,000.
    #[serde(default = "default_timeout")]
    pub timeout_ms: u64,
    /// Maximum size of a document in bytes: 64 to 16,777,216.
    #[serde(default = "default_bytes")]
    pub max_bytes: u64,
    /// Request headers; their values are never shown.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
}

fn default_interval() -> u64 {
    10_000
}

fn default_timeout() -> u64 {
    5_000
}

fn default_bytes() -> u64 {
    1_048_576
}

impl HttpConfig {
    /// Fails with the first invalid key and the reason.
    pub(super) fn validate(&self) -> Result<(), (&'static str, String)> {
        if !http_client::is_url(self.url.expose()) {
            let expected = "must be http:// or https:// with a host";
            return Err(("url", expected.to_owned()));
        }
        page::parse(&self.pointer).map_err(|expected| ("pointer", expected))?;
        if let Some(pointer) = &self.timestamp_pointer {
            page::parse(pointer).map_err(|expected| ("timestamp_pointer", expected))?;
        }
        for (key, given, limits) in [
            ("interval_ms", self.interval_ms, INTERVAL_MS),
            ("timeout_ms", self.timeout_ms, TIMEOUT_MS),
            ("max_bytes", self.max_bytes, MAX_BYTES),
        ] {
            if !limits.contains(&given) {
                let (least, most) = (limits.start(), limits.end());
                return Err((key, format!("must be {least} to {most}, not {given}")));
            }
        }
        self.header_map().map(drop)
    }

    fn header_map(&self) -> Result<HeaderMap, (&'static str, String)> {
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
    fn group(&self) -> Group<'_> {
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

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Group<'a> {
    url: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    limits: [u64; 3],
}

/// How a document is fetched.
pub(super) struct FetchRules {
    url: Secret,
    headers: HeaderMap,
    interval: Duration,
    timeout: Duration,
    max_bytes: u64,
}

/// One feed for each document.
pub(super) fn feeds(config: &PriceConfig) -> Vec<Box<dyn Feed>> {
    // In order of first use in the configuration.
    let mut documents = Vec::<(&HttpConfig, Streams, BTreeMap<String, PriceLocation>)>::new();
    let mut groups = BTreeMap::<Group<'_>, usize>::new();
    for source in &config.sources {
        let SourceKind::Http(page) = &source.kind else {
            continue;
        };
        let page: &HttpConfig = page;
        // Already validated; invalid ones are skipped.
        let Ok(location) = PriceLocation::from_config(page) else {
            continue;
        };
        let at = *groups.entry(page.group()).or_insert(documents.len());
        if at == documents.len() {
            documents.push((page, Streams::new(), BTreeMap::new()));
        }
        let (_, streams, locations) = &mut documents[at];
        let name = location.name();
        streams.entry(name.clone()).or_default().push(StreamReader {
            token: source.token.clone(),
            source: source.source_name(),
            quote: page.quote.as_str().into(),
            unit: source.unit.clone(),
        });
        locations.insert(name, location);
    }
    let mut names = FeedNames::default();
    let mut feeds = Vec::<Box<dyn Feed>>::new();
    for (page, streams, locations) in documents {
        let Ok(headers) = page.header_map() else {
            continue;
        };
        let rules = FetchRules {
            url: page.url.clone(),
            headers,
            interval: Duration::from_millis(page.interval_ms),
            timeout: Duration::from_millis(page.timeout_ms),
            max_bytes: page.max_bytes,
        };
        let name = names.assign("http", page.url.expose(), None);
        let max_delay = Duration::from_millis(config.exchanges.backoff_max_ms);
        // In the order of the streams, which are sorted by name too.
        let locations = locations.into_values().collect();
        feeds.push(Box::new(PageFeed::new(
            name, rules, max_delay, streams, locations,
        )));
    }
    feeds
}
