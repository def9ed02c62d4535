//! Prices from JSON documents that are polled over HTTP.
//!
//! The price is located by a JSON Pointer (RFC 6901), as a number or a string, and read with all its digits. Sources
//! with the same URL, headers and limits share their fetches. `Retry-After` (RFC 9110, section 10.2.3) is honored. A
//! fetch is bounded in time and size and follows no redirects.

mod config;
mod fetch;
mod page;
mod pointer;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use self::{
    config::{Group, HttpConfig},
    fetch::{FetchRules, PageFeed},
    page::PriceLocation,
};
use super::{
    Feed, PriceConfig,
    feed_name::FeedNames,
    kind_entry::{KindEntry, read},
    stream::{StreamReader, Streams},
};
use chaincast_base::settings::Kind;

pub(super) static KIND: KindEntry = KindEntry {
    kind: Kind {
        name: "http",
        text: "a JSON document that is polled",
        keys: HttpConfig::KEYS,
    },
    read: read::<HttpConfig>,
    feeds,
};

/// One feed for each document.
fn feeds(config: &PriceConfig) -> Vec<Box<dyn Feed>> {
    // In order of first use in the configuration.
    let mut documents = Vec::<(&HttpConfig, Streams, BTreeMap<String, PriceLocation>)>::new();
    let mut groups = BTreeMap::<Group<'_>, usize>::new();
    for source in &config.sources {
        let Some(page) = source.kind.settings_as::<HttpConfig>() else {
            continue;
        };
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
