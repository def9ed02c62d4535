//! A price in a JSON document that is fetched again and again: for anything that has an HTTP API.
//!
//! The price is found by a JSON Pointer (RFC 6901), as a number or as text, and read with all its digits. Sources of
//! one URL with the same headers and interval share their fetches. `Retry-After` (RFC 9110, section 10.2.3) is
//! honoured. A fetch is bounded in time and size, and follows no redirect.

mod fetch;
mod page;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use self::{fetch::PageFeed, page::Place};
use super::{
    Feed, PriceConfig, SourceKind,
    config::upper_case,
    exchange::{Reader, Streams},
    feed_name::FeedNames,
    web,
};
use crate::model::Secret;

const INTERVAL_MS: RangeInclusive<u64> = 100..=86_400_000;
const TIMEOUT_MS: RangeInclusive<u64> = 100..=60_000;
const MAX_BYTES: RangeInclusive<u64> = 64..=16_777_216;
/// Most headers of a source.
const MOST_HEADERS: usize = 16;

/// A document with a price in it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// `http://…` or `https://…`; of it only the host is ever shown.
    pub url: Secret,
    /// Where the price is in the document (RFC 6901), such as `/data/0/price`; empty for the whole of it.
    pub pointer: String,
    /// Where it says when the price was: seconds, ms, µs or ns since 1970, or a time as of RFC 3339. The time of the
    /// fetch counts when left out.
    pub timestamp_pointer: Option<String>,
    /// What the price is counted in: `USD`, or a tracked token whose own price converts. Upper case.
    #[serde(deserialize_with = "upper_case")]
    pub quote: String,
    /// Between two fetches, in ms: 100 to a day.
    #[serde(default = "default_interval")]
    pub interval_ms: u64,
    /// How long a fetch may take, in ms: 100 to 60,000.
    #[serde(default = "default_timeout")]
    pub timeout_ms: u64,
    /// Most bytes of a document: 64 to 16,777,216.
    #[serde(default = "default_bytes")]
    pub max_bytes: u64,
    /// Sent with each fetch; their values are never shown.
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
    /// The first key that is wrong, and how.
    pub(super) fn validate(&self) -> Result<(), (&'static str, String)> {
        if !web::is_url(self.url.expose()) {
            let wanted = "must be http:// or https:// with a host";
            return Err(("url", wanted.to_owned()));
        }
        page::parse(&self.pointer).map_err(|wanted| ("pointer", wanted))?;
        if let Some(pointer) = &self.timestamp_pointer {
            page::parse(pointer).map_err(|wanted| ("timestamp_pointer", wanted))?;
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
        if self.headers.len() > MOST_HEADERS {
            return Err(wrong("has more than 16 of them"));
        }
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            let name: HeaderName = name
                .parse()
                .map_err(|_| wrong("has a name that is not valid for a header"))?;
            let mut value: HeaderValue = value
                .expose()
                .parse()
                .map_err(|_| wrong("has a value that no header can have"))?;
            value.set_sensitive(true);
            map.insert(name, value);
        }
        Ok(map)
    }

    /// What sources that share their fetches have in common.
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
pub(super) struct Rules {
    url: Secret,
    headers: HeaderMap,
    interval: Duration,
    timeout: Duration,
    max_bytes: u64,
}

/// One feed for each document.
pub(super) fn feeds(config: &PriceConfig) -> Vec<Box<dyn Feed>> {
    // In the order in which the configuration first names them.
    let mut documents = Vec::<(&HttpConfig, Streams, BTreeMap<String, Place>)>::new();
    let mut groups = BTreeMap::<Group<'_>, usize>::new();
    for source in &config.sources {
        let SourceKind::Http(page) = &source.kind else {
            continue;
        };
        let page: &HttpConfig = page;
        // Validated before; what is not is left out.
        let Ok(place) = Place::of(page) else { continue };
        let at = *groups.entry(page.group()).or_insert(documents.len());
        if at == documents.len() {
            documents.push((page, Streams::new(), BTreeMap::new()));
        }
        let (_, streams, places) = &mut documents[at];
        let name = place.name();
        streams.entry(name.clone()).or_default().push(Reader {
            token: source.token.clone(),
            source: source.source_name(),
            quote: page.quote.as_str().into(),
            unit: source.unit.clone(),
        });
        places.insert(name, place);
    }
    let mut names = FeedNames::default();
    let mut feeds = Vec::<Box<dyn Feed>>::new();
    for (page, streams, places) in documents {
        let Ok(headers) = page.header_map() else {
            continue;
        };
        let rules = Rules {
            url: page.url.clone(),
            headers,
            interval: Duration::from_millis(page.interval_ms),
            timeout: Duration::from_millis(page.timeout_ms),
            max_bytes: page.max_bytes,
        };
        let name = names.give("http", page.url.expose(), None);
        let longest = Duration::from_millis(config.exchanges.backoff_max_ms);
        // In the order of the streams, which are sorted by name too.
        let places = places.into_values().collect();
        feeds.push(Box::new(PageFeed::new(
            name, rules, longest, streams, places,
        )));
    }
    feeds
}
