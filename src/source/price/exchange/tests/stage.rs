//! A venue on this machine, and the feeds that read it.

use super::super::super::running_feeds::{RunningFeeds, soon};
use crate::dev::venue::{Speaks, Venue};

pub(super) struct Stage {
    pub(super) venue: Venue,
    pub(super) feeds: RunningFeeds,
}

impl Stage {
    /// Feeds with short waits, and keys of `[prices.exchanges]` beside them.
    pub(super) async fn start(speaks: Speaks, symbols: &[&str], keys: &str) -> Self {
        Self::reading(
            Venue::start(speaks).await.unwrap(),
            speaks,
            symbols,
            keys,
            "",
        )
    }

    /// The same in front of a venue that there is, with `more` keys of each source.
    pub(super) fn reading(
        venue: Venue,
        speaks: Speaks,
        symbols: &[&str],
        keys: &str,
        more: &str,
    ) -> Self {
        let kind = match speaks {
            Speaks::Binance => "binance",
            Speaks::Coinbase => "coinbase",
            Speaks::Kraken => "kraken",
        };
        let mut text =
            format!("[exchanges]\nbackoff_ms = 10\nbackoff_max_ms = 100\nstable_ms = 0\n{keys}\n");
        for (at, symbol) in symbols.iter().enumerate() {
            text += &format!(
                "[[tokens]]\nsymbol = 'T{at}'\n[[sources]]\nkind = '{kind}'\ntoken = 'T{at}'\n\
                 symbol = '{symbol}'\nquote = 'USD'\nurl = '{}'\n{more}\n",
                venue.url()
            );
        }
        let feeds = RunningFeeds::start(&text);
        Self { venue, feeds }
    }

    /// Waits until the newest of so many connections gets these symbols.
    pub(super) async fn connected(&self, connections: u64, symbols: &[&str]) {
        let gets = self.venue.until(|seen| {
            seen.connections >= connections
                && symbols.iter().all(|symbol| seen.newest.contains(*symbol))
        });
        soon(&format!("connection {connections}"), gets).await;
    }
}
