//! Warnings about valid but suspicious `[prices]` settings.

use std::collections::BTreeSet;

use super::super::{PriceConfig, QuotePaths};
use chaincast_protocol::ChainId;

impl PriceConfig {
    /// Suspicious settings: the dotted path of the key (entries count from 0) and the effect. The service still runs.
    /// `first_chain` is the chain of sources without `chain_id`.
    pub fn warnings(&self, first_chain: ChainId) -> Vec<(String, String)> {
        let mut warnings = Vec::new();
        // A warning about a common setting is given once, not per token.
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
            let required = self.aggregate_rules(token).min_sources;
            if sources == 0 {
                let warning = format!("{symbol} has no source and will never have a price");
                warnings.push((entry, warning));
                // Without a price, intervals do not matter.
                continue;
            }
            if sources < required {
                let warning = format!(
                    "{symbol} requires {required} venues but its sources read {sources}, so its price is always degraded"
                );
                warnings.push((format!("{entry}.min_sources"), warning));
            }
            let nearer_venues = self.sources.iter().zip(&venues).filter(|(source, _)| {
                source.token == *symbol
                    && paths.is_nearer_to_usd(symbol.as_str(), source.kind.quote())
            });
            let nearer_venues: BTreeSet<usize> = nearer_venues.map(|(_, venue)| *venue).collect();
            let is_quote = self
                .sources
                .iter()
                .any(|one| one.kind.quote() == symbol.as_str());
            if is_quote && nearer_venues.len() < required && required <= sources {
                let warning = format!(
                    "the rate of {symbol} uses {} of the {required} required venues, only those nearest to USD, so every \
                     price quoted in {symbol} is always degraded",
                    nearer_venues.len()
                );
                warnings.push((format!("{entry}.min_sources"), warning));
            }
            let rules = self.publish_rules(token);
            if rules.heartbeat_ms != 0 && rules.min_interval_ms > rules.heartbeat_ms {
                let effect = format!(
                    "is published at most every {} ms, so its publish_heartbeat_ms of {} has no effect",
                    rules.min_interval_ms, rules.heartbeat_ms
                );
                // Report the key that the token sets.
                let key = match (token.min_interval_ms, token.publish_heartbeat_ms) {
                    (Some(_), _) => format!("{entry}.min_interval_ms"),
                    (None, Some(_)) => format!("{entry}.publish_heartbeat_ms"),
                    (None, None) => {
                        for_all = Some(format!("a token {effect}"));
                        continue;
                    }
                };
                warnings.push((key, format!("{symbol} {effect}")));
            }
        }
        for (at, source) in self.sources.iter().enumerate() {
            if let Some((key, warning)) = source.kind.settings().warning() {
                let (token, name) = (&source.token, source.source_name());
                warnings.push((
                    format!("prices.sources.{at}.{key}"),
                    format!("{token} from {name}: {warning}"),
                ));
            }
        }
        if let Some(warning) = for_all {
            warnings.push(("prices.min_interval_ms".to_owned(), warning));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(text: &str) -> Vec<(String, String)> {
        let config: PriceConfig = toml::from_str(text).unwrap();
        config.validate().unwrap();
        config.warnings(1)
    }

    fn source(token: &str, kind: &str, symbol: &str) -> String {
        format!(
            "[[sources]]\nkind = '{kind}'\ntoken = '{token}'\nsymbol = '{symbol}'\nquote = 'USD'\n"
        )
    }

    #[test]
    fn warns_of_unreachable_min_sources() {
        let two = [
            source("A", "kraken", "A/USD"),
            source("A", "coinbase", "A-USD"),
        ];
        let two = two.concat();
        let valid = warnings(&format!("min_sources = 2\n[[tokens]]\nsymbol = 'A'\n{two}"));
        assert!(valid.is_empty(), "{valid:?}");
        let found = warnings(&format!(
            "min_sources = 3\npublish_heartbeat_ms = 1000\n[[tokens]]\nsymbol = 'A'\n\
             [[tokens]]\nsymbol = 'B'\nmin_interval_ms = 1001\n{two}"
        ));
        let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(
            keys,
            ["prices.tokens.0.min_sources", "prices.tokens.1"],
            "one warning for a token without a source"
        );
        assert!(found[0].1.contains("requires 3 venues"), "{found:?}");
    }

    #[test]
    fn warns_of_rate_with_too_few_venues() {
        let text = [
            "min_sources = 2\n[[tokens]]\nsymbol = 'A'\nmin_sources = 1\n[[tokens]]\nsymbol = 'B'\n",
            "[[tokens]]\nsymbol = 'C'\nmin_sources = 1\n",
            &source("B", "kraken", "B/USD"),
            &source("B", "coinbase", "B-C").replace("'USD'", "'C'"),
            &source("C", "kraken", "C/USD"),
            &source("A", "kraken", "A/B").replace("'USD'", "'B'"),
        ];
        let found = warnings(&text.concat());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, "prices.tokens.1.min_sources");
        assert!(found[0].1.contains("quoted in B"), "{found:?}");
    }

    #[test]
    fn streams_of_one_venue_count_once() {
        let two = [
            source("A", "binance", "AUSD"),
            source("A", "binance", "AUSD") + "name = 'trades'\nstream = 'trade'\n",
        ];
        let found = warnings(&format!(
            "min_sources = 2\n[[tokens]]\nsymbol = 'A'\n{}",
            two.concat()
        ));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].1.contains("its sources read 1"), "{found:?}");
    }

    #[test]
    fn pool_with_and_without_chain_is_one_venue() {
        let pool = |keys: &str| {
            format!(
                "[[sources]]\nkind = 'uniswap-v3'\ntoken = 'A'\nbase = 0\nquote = 'USD'\nbase_decimals = 18\n\
                 quote_decimals = 6\naddress = '0x0000000000000000000000000000000000000001'\n{keys}"
            )
        };
        let found = warnings(&format!(
            "min_sources = 2\n[[tokens]]\nsymbol = 'A'\n{}{}",
            pool(""),
            pool("chain_id = 1\nname = 'average'\nprice = 'twap'\ntwap_seconds = 60\n")
        ));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].1.contains("its sources read 1"), "{found:?}");
    }

    #[test]
    fn warns_of_pyth_source_without_key() {
        let found = |keys: &str| {
            let id = "0".repeat(64);
            let found = warnings(&format!(
                "[[tokens]]\nsymbol = 'A'\n[[sources]]\nkind = 'pyth'\ntoken = 'A'\nquote = 'USD'\n\
                 id = '{id}'\n{keys}"
            ));
            found.into_iter().next()
        };
        for without in ["", "url = 'https://Pyth.dourolabs.app./hermes/'"] {
            let (key, warning) = found(without).unwrap();
            assert_eq!(key, "prices.sources.0.key");
            assert!(warning.contains("set `key`"), "{warning}");
        }
        let (key, warning) = found("key = 'k'\nurl = 'https://hermes.pyth.network'").unwrap();
        assert_eq!(key, "prices.sources.0.url");
        assert!(
            warning.contains("https://pyth.dourolabs.app/hermes"),
            "{warning}"
        );
        for fine in ["key = 'k'", "url = 'http://hermes.internal:4160'"] {
            assert_eq!(found(fine), None, "{fine}");
        }
    }

    #[test]
    fn common_interval_warning_is_given_once() {
        let keys = |all: &str, c: &str| {
            let sources = ["A", "B", "C"].map(|token| source(token, "kraken", "X/USD"));
            let found = warnings(&format!(
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
    fn no_interval_warning_without_heartbeat() {
        let text = format!(
            "min_interval_ms = 5000\n[[tokens]]\nsymbol = 'A'\n{}",
            source("A", "kraken", "A/USD")
        );
        let found = warnings(&text);
        assert!(found.is_empty(), "{found:?}");
    }
}
