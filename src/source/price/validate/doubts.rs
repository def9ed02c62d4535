//! What is allowed in `[prices]` and hardly meant.

use super::super::PriceConfig;

impl PriceConfig {
    /// Entries that do less than they seem to: the dotted path of the key, where entries count from 0, and what comes of
    /// it. Nothing here keeps the service from running.
    pub fn doubts(&self) -> Vec<(String, String)> {
        let mut doubts = Vec::new();
        for (at, token) in self.tokens.iter().enumerate() {
            let symbol = &token.symbol;
            let entry = format!("prices.tokens.{at}");
            let sources = self.sources.iter();
            let sources = sources.filter(|source| source.token == *symbol).count();
            let needed = self.aggregate_rules(token).min_sources;
            if sources == 0 {
                let doubt = format!("{symbol} has no source, so it never has a price");
                doubts.push((entry.clone(), doubt));
            } else if sources < needed {
                let doubt = format!(
                    "{symbol} needs {needed} sources to be ok and has {sources}, so its price is always degraded"
                );
                doubts.push((format!("{entry}.min_sources"), doubt));
            }
            let rules = self.publish_rules(token);
            if rules.heartbeat_ms != 0 && rules.min_interval_ms > rules.heartbeat_ms {
                let doubt = format!(
                    "{symbol} is announced every {} ms at most, so its publish_heartbeat_ms of {} is never kept",
                    rules.min_interval_ms, rules.heartbeat_ms
                );
                doubts.push((format!("{entry}.min_interval_ms"), doubt));
            }
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
        config.doubts()
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
            [
                "prices.tokens.0.min_sources",
                "prices.tokens.1",
                "prices.tokens.1.min_interval_ms"
            ]
        );
        assert!(found[0].1.contains("needs 3 sources"), "{found:?}");
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
