//! A local venue, and feeds that read it.

use super::super::{
    super::running_feeds::{RunningFeeds, within_limit},
    venues::find,
};
use chaincast_testkit::venue::{Venue, VenueProtocol};

pub(super) struct Fixture {
    pub(super) venue: Venue,
    pub(super) feeds: RunningFeeds,
}

/// Every venue that has a local server, with an example of its symbols.
pub(super) fn venues() -> impl Iterator<Item = (VenueProtocol, &'static str)> {
    VenueProtocol::ALL.into_iter().map(|protocol| {
        let exchange = find(protocol.name()).expect("the server's protocol is that of an exchange");
        (protocol, exchange.example())
    })
}

/// Those whose heartbeats are messages.
pub(super) fn venues_with_heartbeat_messages() -> impl Iterator<Item = (VenueProtocol, &'static str)>
{
    venues().filter(|(protocol, symbol)| protocol.heartbeat(symbol).is_some())
}

impl Fixture {
    /// Starts a venue and its feeds with short delays and more keys of `[prices.exchanges]`.
    pub(super) async fn start(
        protocol: VenueProtocol,
        symbols: &[&str],
        exchange_keys: &str,
    ) -> Self {
        Self::with_venue(
            Venue::start(protocol).await.unwrap(),
            protocol,
            symbols,
            exchange_keys,
            "",
        )
    }

    /// Starts feeds of an existing venue, with more keys of each source.
    pub(super) fn with_venue(
        venue: Venue,
        protocol: VenueProtocol,
        symbols: &[&str],
        exchange_keys: &str,
        source_keys: &str,
    ) -> Self {
        let kind = protocol.name();
        let mut text = format!(
            "[exchanges]\nbackoff_ms = 10\nbackoff_max_ms = 100\nstable_ms = 0\n{exchange_keys}\n"
        );
        for (at, symbol) in symbols.iter().enumerate() {
            text += &format!(
                "[[tokens]]\nsymbol = 'T{at}'\n[[sources]]\nkind = '{kind}'\ntoken = 'T{at}'\n\
                 symbol = '{symbol}'\nquote = 'USD'\nurl = '{}'\n{source_keys}\n",
                venue.url()
            );
        }
        let feeds = RunningFeeds::start(&text);
        Self { venue, feeds }
    }

    /// Waits until this many connections were made and the newest has these symbols.
    pub(super) async fn connected(&self, connections: u64, symbols: &[&str]) {
        let subscribed = self.venue.wait_until(|seen| {
            seen.connections >= connections
                && symbols.iter().all(|symbol| seen.newest.contains(*symbol))
        });
        within_limit(&format!("connection {connections}"), subscribed).await;
    }
}
