//! Sources that are tried once, against venues and a page on this machine.

use super::*;
use crate::dev::{
    price_web::{PageAnswer, PricePage},
    venue::{Act, Speaks, Venue},
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

fn of(probed: &BTreeMap<SourceKey, Probed>, token: &str) -> Probed {
    let found = probed
        .iter()
        .find(|((named, _), _)| named.as_str() == token);
    found.unwrap().1.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_source_tells_what_came_of_it() {
    let kraken = Venue::start(Speaks::Kraken).await.unwrap();
    kraken.tell("A/USD", "2500.50");
    let coinbase = Venue::start(Speaks::Coinbase).await.unwrap();
    coinbase.act(&Act::Refuse("B-USD".to_owned()));
    let good = PricePage::start(r#"{"p":"1.50"}"#).await.unwrap();
    let closed = PricePage::start("").await.unwrap();
    closed.answer(PageAnswer::Status(403, vec![]));
    // A machine that is busy does not make one of them away.
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
    let probed = probe_feeds(&config(&text.concat())).await;
    assert_eq!(probed.len(), 6);
    for (token, price) in [("A", "2500.5"), ("C", "1.5")] {
        let found = of(&probed, token);
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
        let found = of(&probed, token);
        assert_eq!(found.state.name(), state, "{token} {found:?}");
        let reason = found.state.reason().unwrap();
        assert!(!reason.contains("a-secret-key"), "{reason}");
        assert!(found.tick.is_none());
    }
    // They are left in order.
    let left = coinbase.until(|seen| seen.open == 0);
    tokio::time::timeout(Duration::from_secs(90), left)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_venue_that_says_nothing_is_not_waited_for_for_ever() {
    let binance = Venue::start(Speaks::Binance).await.unwrap();
    let text = source(
        "A",
        "binance",
        &format!("symbol = 'AUSD'\nurl = '{}'", binance.url()),
    );
    let probe = probe_feeds(&config(&format!(
        "[exchanges]\nfirst_tick_ms = 100\n{text}"
    )))
    .await;
    assert_eq!(of(&probe, "A").state, FeedState::Silent);
    assert!(probe_feeds(&PriceConfig::default()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_that_no_node_can_be_asked_about_is_away() {
    let config = config(
        "[[tokens]]\nsymbol = 'A'\n[[sources]]\nkind = 'chainlink'\ntoken = 'A'\n\
         address = '0x0000000000000000000000000000000000000001'\n",
    );
    let url = crate::model::Secret::new("http://127.0.0.1:1/a-secret-key");
    let chain = ChainConfig::of(1, url);
    let probed = probe_contracts(&config, &[chain], 1).await.unwrap();
    let found = of(&probed, "A");
    assert_eq!(found.state.name(), "connecting");
    let reason = found.state.reason().unwrap();
    assert!(reason.contains("127.0.0.1:1"), "{reason}");
    assert!(!reason.contains("a-secret-key"), "{reason}");
}
