//! Conversion of prices in other tokens to USD: TOKEN/WETH × WETH/USD, over any number of steps, without cycles.
//!
//! The *distance* of a token is the minimum number of conversions to USD over the quotes of its sources: 1 with a
//! source in USD. Its USD rate, which converts ticks quoted in it, uses only sources on a shortest path. So a rate
//! depends only on rates of smaller distance, down to USD: cycles are impossible, and two tokens can still be priced in
//! each other. No token is assumed to be worth a dollar: USDT is a token with a source.

use std::collections::{BTreeMap, BTreeSet};

use super::PriceConfig;
use chaincast_protocol::{Token, USD};

/// Maximum path to USD, in conversions.
pub const MAX_QUOTE_STEPS: usize = 8;

/// Distances of the configured tokens from USD.
#[derive(Debug, Clone, Default)]
pub struct QuotePaths {
    distances: BTreeMap<String, usize>,
    /// The quotes that a token's rate uses.
    next: BTreeMap<String, BTreeSet<String>>,
}

impl QuotePaths {
    /// Calculates the distances from the tokens and quotes of all sources.
    pub fn new(config: &PriceConfig) -> Self {
        Self::with_quotes(config, [])
    }

    /// As if there were a path from each of these quotes to USD.
    pub(super) fn with_quotes<'a>(
        config: &PriceConfig,
        quotes: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut paths = Self::default();
        let ends = [USD].into_iter().chain(quotes);
        let ends = ends.map(|quote| (quote.to_owned(), 0));
        paths.distances.extend(ends);
        let edges = || {
            let sources = config.sources.iter();
            sources.map(|source| (source.token.as_str(), source.kind.quote()))
        };
        // Each round adds the tokens that are one step farther.
        for steps in 1..=MAX_QUOTE_STEPS {
            let reached: BTreeSet<&str> = edges()
                .filter(|(token, quote)| {
                    !paths.distances.contains_key(*token)
                        && paths.distances.get(*quote) == Some(&(steps - 1))
                })
                .map(|(token, _)| token)
                .collect();
            if reached.is_empty() {
                break;
            }
            let reached = reached.into_iter().map(|token| (token.to_owned(), steps));
            paths.distances.extend(reached);
        }
        for (token, quote) in edges() {
            if paths.is_nearer_to_usd(token, quote) {
                let next = paths.next.entry(token.to_owned()).or_default();
                next.insert(quote.to_owned());
            }
        }
        paths
    }

    /// Distance of a token from USD; `None` without a path.
    pub fn distance(&self, token: &str) -> Option<usize> {
        self.distances.get(token).copied()
    }

    /// Whether there is a path from this quote to USD.
    pub(super) fn reaches_usd(&self, quote: &str) -> bool {
        self.distances.contains_key(quote)
    }

    /// Whether the rate of `token` uses its sources in `quote`: `quote` is nearer to USD.
    pub fn is_nearer_to_usd(&self, token: &str, quote: &str) -> bool {
        match (self.distances.get(token), self.distances.get(quote)) {
            (Some(token), Some(quote)) => quote < token,
            _ => false,
        }
    }

    /// Whether the rate of `quote` depends on sources of `token`: then it cannot price that token.
    pub(super) fn depends_on(&self, quote: &str, token: &Token) -> bool {
        if quote == token.as_str() {
            return true;
        }
        // Terminates, since each step is nearer to USD.
        let mut next = self.next.get(quote).into_iter().flatten();
        next.any(|next| self.depends_on(next, token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(pairs: &[(&str, &str)]) -> QuotePaths {
        let source = |(token, quote): &(&str, &str)| {
            format!(
                "[[sources]]\nkind = 'uniswap-v2'\ntoken = '{token}'\nquote = '{quote}'\nbase = 0\n\
                 base_decimals = 18\nquote_decimals = 18\n\
                 address = '0x0000000000000000000000000000000000000001'\n"
            )
        };
        let text: String = pairs.iter().map(source).collect();
        QuotePaths::new(&toml::from_str(&text).unwrap())
    }

    #[test]
    fn rate_uses_shortest_paths_only() {
        let paths = paths(&[
            ("ETH", "USD"),
            ("ETH", "BTC"),
            ("BTC", "USD"),
            ("UNI", "ETH"),
            ("UNI", "PEPE"),
            ("PEPE", "UNI"),
        ]);
        assert!(paths.is_nearer_to_usd("ETH", "USD") && !paths.is_nearer_to_usd("ETH", "BTC"));
        assert!(paths.is_nearer_to_usd("UNI", "ETH") && !paths.is_nearer_to_usd("UNI", "PEPE"));
        assert!(paths.is_nearer_to_usd("PEPE", "UNI"));
    }

    #[test]
    fn detects_missing_path_and_cycle() {
        let paths = paths(&[
            ("ETH", "USD"),
            ("UNI", "ETH"),
            ("UNI", "PEPE"),
            ("PEPE", "UNI"),
            ("X", "Y"),
            ("Y", "X"),
        ]);
        assert!(paths.reaches_usd("PEPE") && !paths.reaches_usd("X") && !paths.reaches_usd("Z"));
        let uni = "UNI".parse().unwrap();
        assert!(paths.depends_on("PEPE", &uni) && !paths.depends_on("ETH", &uni));
    }

    #[test]
    fn path_length_is_limited() {
        let names: Vec<String> = (0..=MAX_QUOTE_STEPS).map(|at| format!("T{at}")).collect();
        let mut pairs = vec![("T0", USD)];
        pairs.extend(names.windows(2).map(|pair| (&*pair[1], &*pair[0])));
        let paths = paths(&pairs);
        assert!(paths.reaches_usd(&names[MAX_QUOTE_STEPS - 1]));
        assert!(!paths.reaches_usd(&names[MAX_QUOTE_STEPS]));
    }
}
