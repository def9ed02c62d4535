//! Late prices: of one venue, whose connection is replaced, and of all venues, which means a wrong local clock.

use std::time::Duration;

use super::{
    super::super::running_feeds::{RunningFeeds, eventually, within_limit},
    fixture::Fixture,
};
use chaincast_protocol::now_ms;
use chaincast_testkit::venue::{Action, Venue, VenueProtocol, VenueTick};

const KEYS: &str = "late_ms = 1000\nlate_for_ms = 100\nmissed_heartbeats = 100";

/// Sends prices with this lateness until `wanted` completes.
async fn send_late(venues: &[(&Venue, &str)], late_ms: i64, wanted: impl Future<Output = ()>) {
    let sending = async {
        loop {
            for (venue, symbol) in venues {
                venue.perform(&Action::Tick(VenueTick {
                    time_ms: Some(now_ms() - late_ms),
                    ..VenueTick::new(symbol, "1")
                }));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = sending => {}
        () = wanted => {}
    }
}

#[tokio::test]
async fn replaces_late_connection() {
    let fixture = Fixture::start(VenueProtocol::Coinbase, &["BTC-USD"], KEYS).await;
    fixture.connected(1, &["BTC-USD"]).await;
    let venues = [(&fixture.venue, "BTC-USD")];
    send_late(&venues, 5_000, async {
        let another = fixture.venue.wait_until(|seen| seen.connections >= 2);
        within_limit("another connection", another).await;
    })
    .await;
    let seen = fixture.venue.observed();
    assert!(seen.open >= 1, "the old connection serves until then");
    fixture.feeds.end().await;
}

#[tokio::test]
async fn lateness_everywhere_means_local_clock() {
    for late_ms in [5_000, -5_000] {
        let coinbase = Venue::start(VenueProtocol::Coinbase).await.unwrap();
        let kraken = Venue::start(VenueProtocol::Kraken).await.unwrap();
        let feeds = RunningFeeds::start(&format!(
            "[exchanges]\n{KEYS}\n[[tokens]]\nsymbol = 'T0'\n\
             [[sources]]\nkind = 'coinbase'\ntoken = 'T0'\nsymbol = 'A-USD'\nquote = 'USD'\nurl = '{}'\n\
             [[sources]]\nkind = 'kraken'\ntoken = 'T0'\nsymbol = 'A/USD'\nquote = 'USD'\nurl = '{}'\n",
            coinbase.url(),
            kraken.url()
        ));
        for (venue, symbol) in [(&coinbase, "A-USD"), (&kraken, "A/USD")] {
            within_limit(
                "a request",
                venue.wait_until(|seen| seen.newest.contains(symbol)),
            )
            .await;
        }
        let both = [(&coinbase, "A-USD"), (&kraken, "A/USD")];
        send_late(&both, late_ms, async {
            eventually("a clock that is off", || {
                let off_ms = feeds.clock_off_ms();
                off_ms.is_some_and(|off_ms| (off_ms - late_ms).abs() < 2_000)
            })
            .await;
        })
        .await;
        // Lateness at two venues is not a fault of their connections.
        send_late(
            &both,
            late_ms,
            tokio::time::sleep(Duration::from_millis(500)),
        )
        .await;
        let connections = [&coinbase, &kraken].map(|venue| venue.observed().connections);
        if late_ms < 0 {
            assert_eq!(connections, [1, 1]);
        }
        // In time again.
        send_late(&both, 0, async {
            eventually("a clock that is right", || feeds.clock_off_ms().is_none()).await;
        })
        .await;
        feeds.end().await;
    }
}
