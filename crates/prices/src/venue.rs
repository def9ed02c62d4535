//! Assigns sources to venues: sources that read the same instrument at the same venue are one venue, whatever their
//! names, URL spelling, streams or averages. One venue has one vote.

use std::collections::HashMap;

use super::PriceConfig;
use chaincast_protocol::ChainId;

impl PriceConfig {
    /// The venue number of each source, in order; equal for sources of one venue. `first_chain` is the chain of sources
    /// without `chain_id`.
    pub fn venues(&self, first_chain: Option<ChainId>) -> Vec<usize> {
        let mut known = HashMap::new();
        let keys = self
            .sources
            .iter()
            .map(|source| source.kind.settings().venue(first_chain));
        keys.enumerate()
            .map(|(at, key)| *known.entry(key).or_insert(at))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether two sources, given by their keys, are one venue.
    fn is_same_venue(one: &str, other: &str) -> bool {
        let entry =
            |keys: &str| format!("[[sources]]\ntoken = 'A'\n{}\n", keys.replace("; ", "\n"));
        let config: PriceConfig = toml::from_str(&(entry(one) + &entry(other))).unwrap();
        let venues = config.venues(Some(1));
        venues[0] == venues[1]
    }

    #[test]
    fn streams_of_a_symbol_are_one_venue() {
        let book = "kind = 'binance'; symbol = 'ETHUSDT'; quote = 'USDT'";
        assert!(is_same_venue(
            book,
            "kind = 'binance'; symbol = 'ethusdt'; quote = 'USDT'; stream = 'trade'"
        ));
        assert!(is_same_venue(
            book,
            "kind = 'binance'; symbol = 'ETHUSDT'; quote = 'USDT'; stream = 'trade'; \
             url = 'wss://data-stream.binance.vision/stream'"
        ));
        for other in [
            "kind = 'binance'; symbol = 'ETHUSDC'; quote = 'USDT'",
            "kind = 'binance'; symbol = 'ETHUSDT'; quote = 'USDT'; url = 'ws://127.0.0.1:47001'",
            "kind = 'kraken'; symbol = 'ETH/USDT'; quote = 'USDT'",
        ] {
            assert!(!is_same_venue(book, other), "{other}");
        }
    }

    #[test]
    fn venue_ignores_host_spelling() {
        let at = |url: &str| {
            format!("kind = 'kraken'; symbol = 'ETH/USD'; quote = 'USD'; url = '{url}'")
        };
        for same in [
            "ws://localhost:47001/v2",
            "ws://LOCALHOST.:47001",
            "ws://[::1]:47001",
        ] {
            assert!(
                is_same_venue(&at("ws://127.0.0.1:47001"), &at(same)),
                "{same}"
            );
        }
        assert!(is_same_venue(
            &at("wss://ws.kraken.com/v2"),
            &at("wss://WS.Kraken.com:443")
        ));
        assert!(!is_same_venue(
            &at("ws://127.0.0.1:47001"),
            &at("ws://127.0.0.1:47002")
        ));
    }

    #[test]
    fn pool_and_averages_are_one_venue() {
        let pool = |more: &str| {
            format!(
                "kind = 'uniswap-v3'; base = 0; quote = 'USD'; \
                 address = '0x0000000000000000000000000000000000000001'; {more}"
            )
        };
        let spot = pool("");
        assert!(is_same_venue(
            &spot,
            &pool("price = 'twap'; twap_seconds = 60")
        ));
        assert!(is_same_venue(
            &spot,
            &pool("chain_id = 1; price = 'twap'; twap_seconds = 60")
        ));
        assert!(!is_same_venue(
            &spot,
            &pool("chain_id = 10; price = 'twap'; twap_seconds = 60")
        ));
        assert!(!is_same_venue(&spot, &spot.replace("0001", "0002")));
    }

    #[test]
    fn pyth_id_and_document_are_one_venue_each() {
        let id = "0".repeat(64);
        let pyth = |more: &str| format!("kind = 'pyth'; id = '{id}'; quote = 'USD'; {more}");
        assert!(is_same_venue(
            &pyth(""),
            &pyth("url = 'https://hermes.example'")
        ));
        assert!(!is_same_venue(&pyth(""), &pyth("").replace("000'", "001'")));
        let page = |url: &str, at: &str| {
            format!("kind = 'http'; url = '{url}'; pointer = '{at}'; quote = 'USD'")
        };
        let bid = page("https://api.example/eth", "/bid");
        assert!(is_same_venue(
            &bid,
            &page("https://API.example/eth/", "/ask")
        ));
        assert!(!is_same_venue(
            &bid,
            &page("https://api.example/btc", "/bid")
        ));
    }
}
