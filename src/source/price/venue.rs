//! Which sources are one venue: those that read the same instrument of the same venue, whatever they are called, however
//! their addresses are written, and whichever of its streams or averages they read. One venue has one vote.

use std::collections::HashMap;

use super::{
    PriceConfig, SourceKind,
    exchange::Listing,
    validate::reading::{document, venue},
};
use crate::model::ChainId;

impl PriceConfig {
    /// The venue of each source, in their order: sources of one venue have the same number. `first_chain` is the chain
    /// of the sources that name none.
    pub fn venues(&self, first_chain: Option<ChainId>) -> Vec<usize> {
        let mut known = HashMap::new();
        let keys = self
            .sources
            .iter()
            .map(|source| key(&source.kind, first_chain));
        keys.enumerate()
            .map(|(at, key)| *known.entry(key).or_insert(at))
            .collect()
    }
}

fn key(kind: &SourceKind, first_chain: Option<ChainId>) -> String {
    if let Some((chain_id, address)) = kind.contract() {
        // The price of a pool and its averages are of one pool.
        return format!("contract {:?} {address}", chain_id.or(first_chain));
    }
    match kind {
        // Whoever serves it: the number is signed by the same publishers.
        SourceKind::Pyth(feed) => format!("pyth {}", feed.bare_id()),
        // Whatever else it has is of the same publisher.
        SourceKind::Http(page) => format!("document {}", document(page.url.expose())),
        kind => {
            let listing = Listing::of(kind);
            let place = listing
                .as_ref()
                .map(|listing| venue(listing.url(), listing.own_url()));
            let stream = listing.as_ref().map(|listing| symbol_of(&listing.stream));
            format!("{} {place:?} {stream:?}", kind.name())
        }
    }
}

/// The symbol of a stream: Binance puts the kind of the stream behind it.
fn symbol_of(stream: &str) -> &str {
    stream.split_once('@').map_or(stream, |(symbol, _)| symbol)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether two sources are one venue, by their keys.
    fn is_one(one: &str, other: &str) -> bool {
        let entry =
            |keys: &str| format!("[[sources]]\ntoken = 'A'\n{}\n", keys.replace("; ", "\n"));
        let config: PriceConfig = toml::from_str(&(entry(one) + &entry(other))).unwrap();
        let venues = config.venues(Some(1));
        venues[0] == venues[1]
    }

    #[test]
    fn two_streams_of_a_symbol_are_one_venue() {
        let book = "kind = 'binance'; symbol = 'ETHUSDT'; quote = 'USDT'";
        assert!(is_one(
            book,
            "kind = 'binance'; symbol = 'ethusdt'; quote = 'USDT'; stream = 'trade'"
        ));
        assert!(is_one(
            book,
            "kind = 'binance'; symbol = 'ETHUSDT'; quote = 'USDT'; stream = 'trade'; \
             url = 'wss://data-stream.binance.vision/stream'"
        ));
        for other in [
            "kind = 'binance'; symbol = 'ETHUSDC'; quote = 'USDT'",
            "kind = 'binance'; symbol = 'ETHUSDT'; quote = 'USDT'; url = 'ws://127.0.0.1:47001'",
            "kind = 'kraken'; symbol = 'ETH/USDT'; quote = 'USDT'",
        ] {
            assert!(!is_one(book, other), "{other}");
        }
    }

    #[test]
    fn a_host_is_the_same_in_any_spelling() {
        let at = |url: &str| {
            format!("kind = 'kraken'; symbol = 'ETH/USD'; quote = 'USD'; url = '{url}'")
        };
        for same in [
            "ws://localhost:47001/v2",
            "ws://LOCALHOST.:47001",
            "ws://[::1]:47001",
        ] {
            assert!(is_one(&at("ws://127.0.0.1:47001"), &at(same)), "{same}");
        }
        assert!(is_one(
            &at("wss://ws.kraken.com/v2"),
            &at("wss://WS.Kraken.com:443")
        ));
        assert!(!is_one(
            &at("ws://127.0.0.1:47001"),
            &at("ws://127.0.0.1:47002")
        ));
    }

    #[test]
    fn a_pool_and_its_averages_are_one_venue() {
        let pool = |more: &str| {
            format!(
                "kind = 'uniswap-v3'; base = 0; quote = 'USD'; \
                 address = '0x0000000000000000000000000000000000000001'; {more}"
            )
        };
        let spot = pool("");
        assert!(is_one(&spot, &pool("price = 'twap'; twap_seconds = 60")));
        assert!(is_one(
            &spot,
            &pool("chain_id = 1; price = 'twap'; twap_seconds = 60")
        ));
        assert!(!is_one(
            &spot,
            &pool("chain_id = 10; price = 'twap'; twap_seconds = 60")
        ));
        assert!(!is_one(&spot, &spot.replace("0001", "0002")));
    }

    #[test]
    fn an_id_of_pyth_and_a_document_are_one_venue_each() {
        let id = "0".repeat(64);
        let pyth = |more: &str| format!("kind = 'pyth'; id = '{id}'; quote = 'USD'; {more}");
        assert!(is_one(&pyth(""), &pyth("url = 'https://hermes.example'")));
        assert!(!is_one(&pyth(""), &pyth("").replace("000'", "001'")));
        let page = |url: &str, at: &str| {
            format!("kind = 'http'; url = '{url}'; pointer = '{at}'; quote = 'USD'")
        };
        let bid = page("https://api.example/eth", "/bid");
        assert!(is_one(&bid, &page("https://API.example/eth/", "/ask")));
        assert!(!is_one(&bid, &page("https://api.example/btc", "/bid")));
    }
}
