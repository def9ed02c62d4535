//! The table of the kinds of sources. Everything that names kinds follows from it, and from the exchanges, which are a kind
//! each: the keys of sources, error messages, feeds and `config/default.toml`.

use std::sync::Arc;

use toml::Value;

use super::{
    Feed, PriceConfig, SourceKind, chainlink, exchange, hermes, http_poll, kind_entry::KindEntry,
    uniswap_v2, uniswap_v3,
};
use chaincast_base::settings::{Key, Kind, Problems};

/// The kinds beside the exchanges, in the order of error messages.
static KINDS: &[&KindEntry] = &[
    &chainlink::KIND,
    &uniswap_v2::KIND,
    &uniswap_v3::KIND,
    &hermes::KIND,
    &http_poll::KIND,
];

/// Every kind of source.
pub(super) fn all() -> Vec<Kind> {
    let kinds = KINDS.iter().map(|entry| entry.kind);
    kinds.chain(exchange::kinds()).collect()
}

/// Reads the keys of a kind; `None` if it is unknown.
pub(super) fn read(
    name: &str,
    keys: Value,
    key: &Key,
    path: &str,
    problems: &mut Problems,
) -> Option<SourceKind> {
    if let Some(entry) = KINDS.iter().find(|entry| entry.kind.name == name) {
        let settings = (entry.read)(keys, key, path, problems)?;
        return Some(SourceKind::new(entry.kind.name, settings));
    }
    let listing = exchange::read_listing(name, keys, key, path, problems)?;
    Some(SourceKind::new(listing.kind(), Arc::new(listing)))
}

/// The feeds of all configured sources outside the chains; sources share connections where possible.
pub fn feeds(config: &PriceConfig) -> Vec<Box<dyn Feed>> {
    let mut feeds = exchange::feeds(config);
    feeds.extend(KINDS.iter().flat_map(|entry| (entry.feeds)(config)));
    feeds
}
