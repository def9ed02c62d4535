//! Prices from JSON documents that are polled over HTTP.
//!
//! The price is located by a JSON Pointer (RFC 6901), as a number or a string, and read with all its digits. Sources
//! with the same URL, headers and limits share their fetches. `Retry-After` (RFC 9110, section 10.2.3) is honored. A
//! fetch is bounded in time and size and follows no redirects.

mod fetch;
mod page;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use self::{fetch::PageFeed, page::PriceLocation};
use super::{
    Feed, PriceConfig, SourceKind,
    config::{lower_secret_scheme, upper_case},
    feed_name::FeedNames,
    http_client,
    stream::{StreamReader, Streams},
};
use chaincast_base::{Secret, settings::settings};

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

impl HttpConfig {
    /// The invalid keys, each with the reason.
    pub(super) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if !http_client::is_url(self.url.expose()) {
            let expected = "must be http:// or https:// with a host";
            found.push(("url", expected.to_owned()));
        }
        if let Err(expected) = page::parse(&self.pointer) {
            found.push(("pointer", expected));
        }
        if let Some(Err(expected)) = self.timestamp_pointer.as_deref().map(page::parse) {
            found.push(("timestamp_pointer", expected));
        }
        found.extend(self.header_map().err());
        found
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
