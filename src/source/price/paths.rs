//! How prices in other tokens come to USD: TOKEN/WETH × WETH/USD, over as many steps as it takes, and never in a circle.
//!
//! A token's *distance* is the fewest conversions from it to USD over the quotes of its sources: 1 with a source in
//! USD. Its USD rate, by which ticks that are counted in it are converted, is made only of its sources that lie on
//! such a shortest path. So a rate stands on rates of smaller distance alone, down to USD: no circle is possible, and
//! two tokens may still be priced in each other. Nothing is taken for a dollar: USDT is a token with a source.

use std::collections::{BTreeMap, BTreeSet};

use super::PriceConfig;
use crate::model::{Token, USD};

/// The longest path to USD, in conversions.
pub const MOST_STEPS: usize = 8;

/// Distances from the configured tokens to USD.
#[derive(Debug, Clone, Default)]
pub struct QuotePaths {
    distances: BTreeMap<String, usize>,
    /// The quotes of the sources that a token's rate is made of.
    next: BTreeMap<String, BTreeSet<String>>,
}

impl QuotePaths {
    /// Reads the tokens and quotes of all sources.
    pub fn new(config: &PriceConfig) -> Self {
        let mut paths = Self::default();
        paths.distances.insert(USD.to_owned(), 0);
        let edges = || {
            let sources = config.sources.iter();
            sources.map(|source| (source.token.as_str(), source.kind.quote()))
        };
        // Each round reaches the tokens that are one step farther.
        for steps in 1..=MOST_STEPS {
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
            if paths.is_shorter(token, quote) {
                let next = paths.next.entry(token.to_owned()).or_default();
                next.insert(quote.to_owned());
            }
        }
        paths
    }

    /// Conversions from a token to USD at least; `None` when no path leads there.
    pub fn distance(&self, token: &str) -> Option<usize> {
        self.distances.get(token).copied()
    }

    /// Whether there is a way from this quote to USD.
    pub fn reaches_usd(&self, quote: &str) -> bool {
        self.distances.contains_key(quote)
    }

    /// Whether the rate of `token` is made of its sources that are counted in `quote`.
    pub fn is_shorter(&self, token: &str, quote: &str) -> bool {
        match (self.distances.get(token), self.distances.get(quote)) {
            (Some(token), Some(quote)) => quote < token,
            _ => false,
        }
    }

    /// Whether the rate of `quote` stands on sources of `token`: then it cannot price that token.
    pub fn leads_back(&self, quote: &str, token: &Token) -> bool {
        if quote == token.as_str() {
            return true;
        }
        // Ends, for each step is nearer to USD.
        let mut next = self.next.get(quote).into_iter().flatten();
        next.any(|next| self.leads_back(next, token))
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
    fn a_rate_is_made_of_the_sources_on_the_shortest_path_alone() {
        let paths = paths(&[
            ("ETH", "USD"),
            ("ETH", "BTC"),
            ("BTC", "USD"),
            ("UNI", "ETH"),
            ("UNI", "PEPE"),
            ("PEPE", "UNI"),
        ]);
        assert!(paths.is_shorter("ETH", "USD") && !paths.is_shorter("ETH", "BTC"));
        assert!(paths.is_shorter("UNI", "ETH") && !paths.is_shorter("UNI", "PEPE"));
        assert!(paths.is_shorter("PEPE", "UNI"));
    }

    #[test]
    fn what_does_not_reach_usd_and_what_leads_back_is_told() {
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
        assert!(paths.leads_back("PEPE", &uni) && !paths.leads_back("ETH", &uni));
    }

    #[test]
    fn a_path_has_an_end() {
        let names: Vec<String> = (0..=MOST_STEPS).map(|at| format!("T{at}")).collect();
        let mut pairs = vec![("T0", USD)];
        pairs.extend(names.windows(2).map(|pair| (&*pair[1], &*pair[0])));
        let paths = paths(&pairs);
        assert!(paths.reaches_usd(&names[MOST_STEPS - 1]));
        assert!(!paths.reaches_usd(&names[MOST_STEPS]));
    }
}
