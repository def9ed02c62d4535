//! Prices of Pyth through Hermes, which streams them as server-sent events.
//!
//! Follows Pyth's reference of `GET /v2/updates/price/stream` (Pyth Core, Hermes): `ids[]`, `parsed`,
//! `ignore_invalid_price_ids`; each event has `parsed[]` with `id` and `price: {price, conf, expo, publish_time}`. The
//! service ends a stream after 24 hours, and wants at most 30 requests in 10 seconds from one address. The price is
//! `price × 10^expo`, exactly, and its confidence `conf × 10^expo`.
//!
//! Promises: one bad event costs that event, and one bad price in it that price; an id that the service does not know
//! costs that id; a stream that ends, stalls or grows old is replaced, and never by more attempts than the backoff or
//! the service allows.

mod codec;
mod events;
mod stream;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer};

use self::stream::HermesFeed;
use super::{
    Feed, PriceConfig, SourceKind,
    config::upper_case,
    exchange::{Reader, Streams},
    feed_name::FeedNames,
    web,
};
use crate::model::Secret;

/// Where Pyth runs a service of its own. It has required an API key since 26 August 2026.
pub(super) const PUBLIC: &str = "https://pyth.dourolabs.app/hermes";
/// Where it ran before; requests there are redirected.
const FORMER_HOST: &str = "hermes.pyth.network";
/// Most ids of one stream: their URL stays below what servers take.
const IDS_A_STREAM: usize = 64;
/// Hexadecimal digits of an id.
const ID_DIGITS: usize = 64;
/// Limits of `silence_ms`.
const SILENCE_MS: std::ops::RangeInclusive<u64> = 100..=600_000;

/// A price feed of Pyth.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PythConfig {
    /// The feed's id: 64 hexadecimal digits, in any case, with or without `0x`.
    #[serde(deserialize_with = "bare")]
    pub id: String,
    /// What it is counted in: `USD`, or a tracked token whose own price converts. Upper case.
    #[serde(deserialize_with = "upper_case")]
    pub quote: String,
    /// Another place that speaks as Hermes does; what comes before `/v2/updates/price/stream`.
    pub url: Option<Secret>,
    /// Sent as a bearer token; never shown.
    pub key: Option<Secret>,
    /// A stream that says nothing at all for so long is given up, in ms: 100 to 600,000.
    #[serde(default = "default_silence")]
    pub silence_ms: u64,
}

/// Three of the comments that the service sends, every 15 seconds, when it has no price to tell.
fn default_silence() -> u64 {
    45_000
}

impl PythConfig {
    pub(super) fn url(&self) -> &str {
        self.url.as_ref().map_or(PUBLIC, Secret::expose)
    }

    /// What the service of Pyth's own will refuse: the key of the entry, and why. Other places have rules of their own.
    pub(super) fn doubt(&self) -> Option<(&'static str, String)> {
        let host = |url: &str| {
            let url = reqwest::Url::parse(url).ok()?;
            let host = url.host_str()?.trim_end_matches('.');
            Some(host.to_ascii_lowercase())
        };
        let asked = host(self.url())?;
        if asked == FORMER_HOST {
            let doubt = format!(
                "{FORMER_HOST} redirects to {PUBLIC}, and redirects are not followed; leave `url` out or set it to that"
            );
            return Some(("url", doubt));
        }
        if self.key.is_none() && host(PUBLIC) == Some(asked) {
            let doubt = format!(
                "no API key is set, and {PUBLIC} has refused requests without one since 26 August 2026; set `key`"
            );
            return Some(("key", doubt));
        }
        None
    }

    /// The id as Hermes writes it.
    pub(super) fn bare_id(&self) -> &str {
        &self.id
    }

    /// The first key that is wrong, and how.
    pub(super) fn validate(&self) -> Result<(), (&'static str, String)> {
        let is_id = self.id.len() == ID_DIGITS && self.id.bytes().all(|c| c.is_ascii_hexdigit());
        if !is_id {
            return Err(("id", format!("must be {ID_DIGITS} hexadecimal digits")));
        }
        if !web::is_url(self.url()) {
            let wanted = "must be http:// or https:// with a host";
            return Err(("url", wanted.to_owned()));
        }
        if !SILENCE_MS.contains(&self.silence_ms) {
            let (least, most) = (SILENCE_MS.start(), SILENCE_MS.end());
            let wanted = format!("must be {least} to {most}, not {}", self.silence_ms);
            return Err(("silence_ms", wanted));
        }
        match &self.key {
            Some(key) if key.is_empty() => Err(("key", "must not be empty".to_owned())),
            Some(key) if !key.expose().bytes().all(|c| c.is_ascii_graphic()) => {
                Err(("key", "has characters that no key has".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

/// Lower case, without `0x`.
fn bare<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?.to_ascii_lowercase();
    Ok(text.strip_prefix("0x").unwrap_or(&text).to_owned())
}

/// One feed for all sources of a URL and key, and further ones where that is too many ids for one stream.
pub(super) fn feeds(config: &PriceConfig) -> Vec<Box<dyn Feed>> {
    // In the order in which the configuration first names them.
    let mut services = Vec::<(&PythConfig, Streams)>::new();
    let mut places = BTreeMap::<(&str, &str, u64), usize>::new();
    for source in &config.sources {
        let SourceKind::Pyth(feed) = &source.kind else {
            continue;
        };
        let key = feed.key.as_ref().map_or("", Secret::expose);
        let at = *places
            .entry((feed.url(), key, feed.silence_ms))
            .or_insert(services.len());
        if at == services.len() {
            services.push((feed, Streams::new()));
        }
        let (_, streams) = &mut services[at];
        streams.entry(feed.id.clone()).or_default().push(Reader {
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
            let beyond = streams.keys().nth(IDS_A_STREAM).cloned();
            let rest = beyond.map_or_else(Streams::new, |first| streams.split_off(&first));
            let rules = config.exchanges.clone();
            feeds.push(Box::new(HermesFeed::new(
                names.give("pyth", service.url(), Some(PUBLIC)),
                &Secret::new(service.url()),
                service.key.clone(),
                Duration::from_millis(service.silence_ms),
                streams,
                rules,
            )));
            streams = rest;
        }
    }
    feeds
}
