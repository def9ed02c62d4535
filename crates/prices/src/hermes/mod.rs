//! Prices of Pyth from Hermes, streamed as server-sent events.
//!
//! Follows Pyth's reference of `GET /v2/updates/price/stream` (Pyth Core, Hermes): `ids[]`, `parsed`,
//! `ignore_invalid_price_ids`; each event has `parsed[]` with `id` and `price: {price, conf, expo, publish_time}`. The
//! service ends a stream after 24 hours and allows at most 30 requests in 10 seconds from one address. The price is
//! `price × 10^expo`, exactly, and its confidence `conf × 10^expo`.
//!
//! Guarantees: a bad event affects only itself, and a bad price only itself; an unknown id affects only that id; a
//! stream that ends, stalls or reaches its maximum age is replaced, with no more attempts than the backoff and the
//! service allow.

mod codec;
mod config;
mod events;
mod stream;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use self::{
    config::{PUBLIC_URL, PythConfig},
    stream::HermesFeed,
};
use super::{
    Feed, PriceConfig,
    feed_name::FeedNames,
    kind_entry::{KindEntry, read},
    stream::{StreamReader, Streams},
};
use chaincast_base::{Secret, settings::Kind};

pub(super) static KIND: KindEntry = KindEntry {
    kind: Kind {
        name: "pyth",
        text: "a Pyth price feed, streamed by Hermes",
        keys: PythConfig::KEYS,
    },
    read: read::<PythConfig>,
    feeds,
};

/// Maximum ids of one stream: keeps the URL below the limits of servers.
const IDS_A_STREAM: usize = 64;

/// One feed per URL and key, and further ones beyond the maximum ids of a stream.
fn feeds(config: &PriceConfig) -> Vec<Box<dyn Feed>> {
    // In order of first use in the configuration.
    let mut services = Vec::<(&PythConfig, Streams)>::new();
    let mut positions = BTreeMap::<(&str, &str, u64), usize>::new();
    for source in &config.sources {
        let Some(feed) = source.kind.settings_as::<PythConfig>() else {
            continue;
        };
        let key = feed.key.as_ref().map_or("", Secret::expose);
        let at = *positions
            .entry((feed.url(), key, feed.silence_ms))
            .or_insert(services.len());
        if at == services.len() {
            services.push((feed, Streams::new()));
        }
        let (_, streams) = &mut services[at];
        streams
            .entry(feed.id.clone())
            .or_default()
            .push(StreamReader {
                token: source.token.clone(),
                source: source.source_name(),
                quote: feed.quote.as_str().into(),
                unit: source.unit.clone(),
            });
    }
    let mut names = FeedNames::default();
    let mut feeds = Vec::<Box<dyn Feed>>::new();
    for (service, mut streams) in services {
        while !streams.is_empty() {
            let first_beyond = streams.keys().nth(IDS_A_STREAM).cloned();
            let rest = first_beyond.map_or_else(Streams::new, |first| streams.split_off(&first));
            let exchange_config = config.exchanges.clone();
            feeds.push(Box::new(HermesFeed::new(
                names.assign("pyth", service.url(), Some(PUBLIC_URL)),
                &Secret::new(service.url()),
                service.key.clone(),
                Duration::from_millis(service.silence_ms),
                streams,
                exchange_config,
            )));
            streams = rest;
        }
    }
    feeds
}
