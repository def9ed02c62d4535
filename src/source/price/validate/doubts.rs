//! What is allowed in `[prices]` and probably a mistake.

use std::collections::BTreeSet;

use super::super::{PriceConfig, QuotePaths, SourceKind};
use crate::model::ChainId;

impl PriceConfig {
    /// Entries that do less than they seem to: the dotted path of the key, where entries count from 0, and what comes of
    /// it. Nothing here keeps the service from running. `first_chain` is the chain of the sources that name none.
    pub fn doubts(&self, first_chain: ChainId) -> Vec<(String, String)> {
        let mut doubts = Vec::new();
        // What holds for all tokens is told once, not once a token.
        let mut for_all = None;
        let venues = self.venues(Some(first_chain));
        let paths = QuotePaths::new(self);
        for (at, token) in self.tokens.iter().enumerate() {
            let symbol = &token.symbol;
            let entry = format!("prices.tokens.{at}");
            let sources = self.sources.iter().zip(&venues);
            let of_token = sources.filter(|(source, _)| source.token == *symbol);
            let sources: BTreeSet<usize> = of_token.map(|(_, venue)| *venue).collect();
            let sources = sources.len();
            let needed = self.aggregate_rules(token).min_sources;
            if sources == 0 {
                let doubt = format!("{symbol} has no source, so it never has a price");
                doubts.push((entry, doubt));
                // What never is has no intervals.
                continue;
            }
            if sources < needed {
                let doubt = format!(
                    "{symbol} needs {needed} venues to be ok and its sources read {sources}, so its price is always degraded"
                );
                doubts.push((format!("{entry}.min_sources"), doubt));
            }
            let nearer = self.sources.iter().zip(&venues).filter(|(source, _)| {
                source.token == *symbol && paths.is_shorter(symbol.as_str(), source.kind.quote())
            });
            let nearer: BTreeSet<usize> = nearer.map(|(_, venue)| *venue).collect();
            let is_quote = self
                .sources
                .iter()
                .any(|one| one.kind.quote() == symbol.as_str());
            if is_quote && nearer.len() < needed && needed <= sources {
                let doubt = format!(
                    "the rate of {symbol} stands on {} of the {needed} venues that it needs, those nearest to USD, so every \
                     price that is counted in {symbol} is always degraded",
                    nearer.len()
                );
                doubts.push((format!("{entry}.min_sources"), doubt));
            }
            let rules = self.publish_rules(token);
            if rules.heartbeat_ms != 0 && rules.min_interval_ms > rules.heartbeat_ms {
                let never = format!(
                    "is announced every {} ms at most, so its publish_heartbeat_ms of {} is never kept",
                    rules.min_interval_ms, rules.heartbeat_ms
                );
                // Where one of the two is written.
                let key = match (token.min_interval_ms, token.publish_heartbeat_ms) {
                    (Some(_), _) => format!("{entry}.min_interval_ms"),
                    (None, Some(_)) => format!("{entry}.publish_heartbeat_ms"),
                    (None, None) => {
                        for_all = Some(format!("a token {never}"));
                        continue;
                    }
                };
                doubts.push((key, format!("{symbol} {never}")));
            }
        }
        for (at, source) in self.sources.iter().enumerate() {
            if let SourceKind::Pyth(feed) = &source.kind
                && let Some((key, doubt)) = feed.doubt()
            {
                let (token, name) = (&source.token, source.source_name());
                doubts.push((
                    format!("prices.sources.{at}.{key}"),
                    format!("{token} from {name}: {doubt}"),
                ));
            }
        }
        if let Some(doubt) = for_all {
            doubts.push(("prices.min_interval_ms".to_owned(), doubt));
        }
        doubts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubts(text: &str) -> Vec<(String, String)> {
        let config: PriceConfig = toml::from_str(text).unwrap();
        config.validate().unwrap();
        config.doubts(1)
    }

    fn source(token: &str, kind: &str, symbol: &str) -> String {
        format!(
            "[[sources]]\nkind = '{kind}'\ntoken = '{token}'\nsymbol = '{symbol}'\nquote = 'USD'\n"
        )
    }

    #[test]
    fn what_can_never_be_is_doubted_and_what_can_is_not() {
        let two = [
            source("A", "kraken", "A/USD"),
            source("A", "coinbase", "A-USD"),
        ];
        let two = two.concat();
        let enough = doubts(&format!("min_sources = 2\n[[tokens]]\nsymbol = 'A'\n{two}"));
        assert!(enough.is_empty(), "{enough:?}");
        let found = doubts(&format!(
            "min_sources = 3\npublish_heartbeat_ms = 1000\n[[tokens]]\nsymbol = 'A'\n\
             [[tokens]]\nsymbol = 'B'\nmin_interval_ms = 1001\n{two}"
        ));
        let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(
            keys,
            ["prices.tokens.0.min_sources", "prices.tokens.1"],
            "a token without a source has one doubt"
        );
        assert!(found[0].1.contains("needs 3 venues"), "{found:?}");
    }

    #[test]
    fn a_rate_of_too_few_venues_is_doubted() {
        let text = [
            "min_sources = 2\n[[tokens]]\nsymbol = 'A'\nmin_sources = 1\n[[tokens]]\nsymbol = 'B'\n",
            "[[tokens]]\nsymbol = 'C'\nmin_sources = 1\n",
            &source("B", "kraken", "B/USD"),
            &source("B", "coinbase", "B-C").replace("'USD'", "'C'"),
            &source("C", "kraken", "C/USD"),
            &source("A", "kraken", "A/B").replace("'USD'", "'B'"),
        ];
        let found = doubts(&text.concat());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, "prices.tokens.1.min_sources");
        assert!(found[0].1.contains("counted in B"), "{found:?}");
    }

    #[test]
    fn streams_of_one_venue_are_not_two() {
        let two = [
            source("A", "binance", "AUSD"),
            source("A", "binance", "AUSD") + "name = 'trades'\nstream = 'trade'\n",
        ];
        let found = doubts(&format!(
            "min_sources = 2\n[[tokens]]\nsymbol = 'A'\n{}",
            two.concat()
        ));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].1.contains("its sources read 1"), "{found:?}");
    }

    #[test]
    fn a_pool_with_and_without_its_chain_is_one_venue() {
        let pool = |keys: &str| {
            format!(
                "[[sources]]\nkind = 'uniswap-v3'\ntoken = 'A'\nbase = 0\nquote = 'USD'\nbase_decimals = 18\n\
                 quote_decimals = 6\naddress = '0x0000000000000000000000000000000000000001'\n{keys}"
            )
        };
        let found = doubts(&format!(
            "min_sources = 2\n[[tokens]]\nsymbol = 'A'\n{}{}",
            pool(""),
            pool("chain_id = 1\nname = 'average'\nprice = 'twap'\ntwap_seconds = 60\n")
        ));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].1.contains("its sources read 1"), "{found:?}");
    }

    #[test]
    fn a_source_of_pyth_without_a_key_is_doubted() {
        let found = |keys: &str| {
            let id = "0".repeat(64);
            let found = doubts(&format!(
                "[[tokens]]\nsymbol = 'A'\n[[sources]]\nkind = 'pyth'\ntoken = 'A'\nquote = 'USD'\n\
                 id = '{id}'\n{keys}"
            ));
            found.into_iter().next()
        };
        for without in ["", "url = 'https://Pyth.dourolabs.app./hermes/'"] {
            let (key, doubt) = found(without).unwrap();
            assert_eq!(key, "prices.sources.0.key");
            assert!(doubt.contains("set `key`"), "{doubt}");
        }
        let (key, doubt) = found("key = 'k'\nurl = 'https://hermes.pyth.network'").unwrap();
        assert_eq!(key, "prices.sources.0.url");
        assert!(
            doubt.contains("https://pyth.dourolabs.app/hermes"),
            "{doubt}"
        );
        for fine in ["key = 'k'", "url = 'http://hermes.internal:4160'"] {
            assert_eq!(found(fine), None, "{fine}");
        }
    }

    #[test]
    fn an_interval_that_is_too_long_for_all_tokens_is_told_once_where_it_is_written() {
        let keys = |all: &str, c: &str| {
            let sources = ["A", "B", "C"].map(|token| source(token, "kraken", "X/USD"));
            let found = doubts(&format!(
                "{all}\n[[tokens]]\nsymbol = 'A'\n[[tokens]]\nsymbol = 'B'\n\
                 [[tokens]]\nsymbol = 'C'\n{c}\n{}",
                sources.concat()
            ));
            let keys = found.into_iter().map(|(key, _)| key);
            keys.collect::<Vec<String>>()
        };
        let both = "publish_heartbeat_ms = 1000\nmin_interval_ms = 60000";
        assert_eq!(keys(both, ""), ["prices.min_interval_ms"]);
        assert_eq!(
            keys(both, "min_interval_ms = 1001"),
            ["prices.tokens.2.min_interval_ms", "prices.min_interval_ms"]
        );
        assert_eq!(
            keys("min_interval_ms = 60000", "publish_heartbeat_ms = 1000"),
            ["prices.tokens.2.publish_heartbeat_ms"]
        );
        assert_eq!(
            keys("publish_heartbeat_ms = 1000", "min_interval_ms = 1001"),
            ["prices.tokens.2.min_interval_ms"]
        );
    }

    #[test]
    fn without_a_heartbeat_no_interval_is_too_long() {
        let text = format!(
            "min_interval_ms = 5000\n[[tokens]]\nsymbol = 'A'\n{}",
            source("A", "kraken", "A/USD")
        );
        let found = doubts(&text);
        assert!(found.is_empty(), "{found:?}");
    }
}
