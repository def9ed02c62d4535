//! Probing sources of local venues and pages.

use super::*;
use chaincast_testkit::{
    price_servers::{PageAnswer, PricePage},
    venue::{Action, Venue, VenueProtocol},
};

fn config(text: &str) -> PriceConfig {
    let config: PriceConfig = toml::from_str(text).unwrap();
    config.validate().unwrap();
    config
}

fn source(token: &str, kind: &str, keys: &str) -> String {
    format!(
        "[[tokens]]\nsymbol = '{token}'\n[[sources]]\nkind = '{kind}'\ntoken = '{token}'\nquote = 'USD'\n{keys}\n"
    )
}

fn result_of(probed: &BTreeMap<SourceKey, ProbeResult>, token: &str) -> ProbeResult {
    let found = probed
        .iter()
        .find(|((named, _), _)| named.as_str() == token);
    found.unwrap().1.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_result_of_each_source() {
    let kraken = Venue::start(VenueProtocol::Kraken).await.unwrap();
    kraken.send_price("A/USD", "2500.50");
    let coinbase = Venue::start(VenueProtocol::Coinbase).await.unwrap();
    coinbase.perform(&Action::Refuse("B-USD".to_owned()));
    let good = PricePage::start(r#"{"p":"1.50"}"#).await.unwrap();
    let closed = PricePage::start("").await.unwrap();
    closed.answer(PageAnswer::Status(403, vec![]));
    // Long timeouts: a busy machine must not make a venue unreachable.
    let text = [
        "[exchanges]\nconnect_timeout_ms = 60000\nmissed_heartbeats = 60\n".to_owned(),
        source(
            "A",
            "kraken",
            &format!("symbol = 'A/USD'\nurl = '{}'", kraken.url()),
        ),
        source(
            "B",
            "coinbase",
            &format!("symbol = 'B-USD'\nurl = '{}'", coinbase.url()),
        ),
        source(
            "C",
            "http",
            &format!("pointer = '/p'\nurl = '{}'", good.url()),
        ),
        source(
            "D",
            "http",
            &format!("pointer = '/p'\nurl = '{}'", closed.url()),
        ),
        source("E", "http", "pointer = '/p'\nurl = 'http://127.0.0.1:1/p'"),
        source(
            "F",
            "kraken",
            &format!(
                "symbol = 'F/USD'\nurl = '{}'",
                closed.url().replacen("http://", "ws://", 1)
            ),
        ),
    ];
    let probed = probe_feeds(&config(&text.concat())).await.sources;
    assert_eq!(probed.len(), 6);
    for (token, price) in [("A", "2500.5"), ("C", "1.5")] {
        let found = result_of(&probed, token);
        assert_eq!(found.state, FeedState::Live, "{token}");
        let tick = found.tick.unwrap();
        assert_eq!(tick.price.normalized().to_plain_string(), price);
    }
    for (token, state) in [
        ("B", "refused"),
        ("D", "refused"),
        ("E", "connecting"),
        ("F", "refused"),
    ] {
        let found = result_of(&probed, token);
        assert_eq!(found.state.name(), state, "{token} {found:?}");
        let reason = found.state.reason().unwrap();
        assert!(!reason.contains("a-secret-key"), "{reason}");
        assert!(found.tick.is_none());
    }
    // Connections are closed cleanly.
    let left = coinbase.wait_until(|seen| seen.open == 0);
    tokio::time::timeout(Duration::from_secs(90), left)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_for_silent_venue_is_bounded() {
    let binance = Venue::start(VenueProtocol::Binance).await.unwrap();
    let text = source(
        "A",
        "binance",
        &format!("symbol = 'AUSD'\nurl = '{}'", binance.url()),
    );
    let probe = probe_feeds(&config(&format!(
        "[exchanges]\nfirst_tick_ms = 100\n{text}"
    )))
    .await
    .sources;
    assert_eq!(result_of(&probe, "A").state, FeedState::Silent);
    assert!(
        probe_feeds(&PriceConfig::default())
            .await
            .sources
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn contract_without_node_is_connecting() {
    let config = config(
        "[[tokens]]\nsymbol = 'A'\n[[sources]]\nkind = 'chainlink'\ntoken = 'A'\n\
         address = '0x0000000000000000000000000000000000000001'\n",
    );
    let url = chaincast_base::Secret::new("http://127.0.0.1:1/a-secret-key");
    let chain = ChainConfig::of(1, url);
    let probed = probe_contracts(&config, &[chain], 1).await.unwrap();
    let found = result_of(&probed, "A");
    assert_eq!(found.state.name(), "connecting");
    let reason = found.state.reason().unwrap();
    assert!(reason.contains("127.0.0.1:1"), "{reason}");
    assert!(!reason.contains("a-secret-key"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_clock_offset_of_all_venues() {
    use chaincast_protocol::now_ms;
    use chaincast_testkit::venue::{Action, VenueTick};
    for (offset, expected) in [([-5_000, -5_200], true), ([-5_000, 0], false)] {
        let mut text = String::new();
        let mut venues = Vec::new();
        let kinds = [
            (VenueProtocol::Coinbase, "coinbase", "A-USD"),
            (VenueProtocol::Kraken, "kraken", "A/USD"),
        ];
        for ((protocol, kind, symbol), offset) in kinds.into_iter().zip(offset) {
            let venue = Venue::start(protocol).await.unwrap();
            venue.perform(&Action::Tick(VenueTick {
                time_ms: Some(now_ms() - offset),
                ..VenueTick::new(symbol, "1")
            }));
            let keys = format!(
                "symbol = '{symbol}'\nurl = '{}'\nname = '{kind}'",
                venue.url()
            );
            text += &source("A", kind, &keys).replace("[[tokens]]\nsymbol = 'A'\n", "");
            venues.push(venue);
        }
        let config = config(&format!("[[tokens]]\nsymbol = 'A'\n{text}"));
        let off_ms = probe_feeds(&config).await.clock_off_ms;
        let is_off = off_ms.is_some_and(|off_ms| (-6_000..=-4_000).contains(&off_ms));
        assert_eq!(is_off, expected, "{off_ms:?}");
    }
}
