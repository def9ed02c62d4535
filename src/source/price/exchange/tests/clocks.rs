//! Prices that come late: of one venue, whose connection is replaced, and of all, where the clock is ours.

use std::time::Duration;

use super::{
    super::super::running_feeds::{RunningFeeds, eventually, soon},
    stage::Stage,
};
use crate::{
    dev::venue::{Act, Speaks, Told, Venue},
    model::now_ms,
};

const KEYS: &str = "late_ms = 1000\nlate_for_ms = 100\nmissed_heartbeats = 100";

/// Tells prices that come so late, until `wanted`.
async fn late(venues: &[(&Venue, &str)], late_ms: i64, wanted: impl Future<Output = ()>) {
    let telling = async {
        loop {
            for (venue, symbol) in venues {
                venue.act(&Act::Tick(Told {
                    time_ms: Some(now_ms() - late_ms),
                    ..Told::at(symbol, "1")
                }));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = telling => {}
        () = wanted => {}
    }
}

#[tokio::test]
async fn a_connection_that_stays_late_is_replaced() {
    let stage = Stage::start(Speaks::Coinbase, &["BTC-USD"], KEYS).await;
    stage.connected(1, &["BTC-USD"]).await;
    let venues = [(&stage.venue, "BTC-USD")];
    late(&venues, 5_000, async {
        let another = stage.venue.until(|seen| seen.connections >= 2);
        soon("another connection", another).await;
    })
    .await;
    let seen = stage.venue.seen();
    assert!(seen.open >= 1, "the old one serves until then");
    stage.feeds.end().await;
}

#[tokio::test]
async fn what_is_late_everywhere_is_our_clock_and_replaces_nothing() {
    for late_ms in [5_000, -5_000] {
        let coinbase = Venue::start(Speaks::Coinbase).await.unwrap();
        let kraken = Venue::start(Speaks::Kraken).await.unwrap();
        let feeds = RunningFeeds::start(&format!(
            "[exchanges]\n{KEYS}\n[[tokens]]\nsymbol = 'T0'\n\
             [[sources]]\nkind = 'coinbase'\ntoken = 'T0'\nsymbol = 'A-USD'\nquote = 'USD'\nurl = '{}'\n\
             [[sources]]\nkind = 'kraken'\ntoken = 'T0'\nsymbol = 'A/USD'\nquote = 'USD'\nurl = '{}'\n",
            coinbase.url(),
            kraken.url()
        ));
        for (venue, symbol) in [(&coinbase, "A-USD"), (&kraken, "A/USD")] {
            soon(
                "a request",
                venue.until(|seen| seen.newest.contains(symbol)),
            )
            .await;
        }
        let both = [(&coinbase, "A-USD"), (&kraken, "A/USD")];
        late(&both, late_ms, async {
            eventually("a clock that is off", || {
                let off_ms = feeds.clock_off_ms();
                off_ms.is_some_and(|off_ms| (off_ms - late_ms).abs() < 2_000)
            })
            .await;
        })
        .await;
        // Two venues at one time are no two connections that are late.
        late(
            &both,
            late_ms,
            tokio::time::sleep(Duration::from_millis(500)),
        )
        .await;
        let made = [&coinbase, &kraken].map(|venue| venue.seen().connections);
        if late_ms < 0 {
            assert_eq!(made, [1, 1]);
        }
        // And in time again.
        late(&both, 0, async {
            eventually("a clock that is right", || feeds.clock_off_ms().is_none()).await;
        })
        .await;
        feeds.end().await;
    }
}
