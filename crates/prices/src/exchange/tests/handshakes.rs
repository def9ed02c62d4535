//! Servers that answer a WebSocket handshake with an HTTP status.

use std::time::{Duration, Instant};

use super::super::super::running_feeds::{RunningFeeds, eventually, within_limit};
use chaincast_testkit::price_servers::{PageAnswer, PricePage};

#[tokio::test]
async fn http_status_is_reported_and_retried() {
    let page = PricePage::start("<html>").await.unwrap();
    let url = page.url().replacen("http://", "ws://", 1);
    let mut text = "[exchanges]\nbackoff_ms = 10\nbackoff_max_ms = 100\n".to_owned();
    for (at, symbol) in ["BTC/USD", "ETH/USD"].iter().enumerate() {
        text += &format!(
            "[[tokens]]\nsymbol = 'T{at}'\n[[sources]]\nkind = 'kraken'\ntoken = 'T{at}'\n\
             symbol = '{symbol}'\nquote = 'USD'\nurl = '{url}'\n"
        );
    }
    let feeds = RunningFeeds::start(&text);
    let ok = "answered HTTP 200 OK instead of a WebSocket upgrade";
    // Each answer is seen only if the previous one did not stop the attempts.
    for (answer, name, reason) in [
        (None, "connecting", ok),
        (Some(404), "refused", "rejected: HTTP 404 Not Found"),
        (
            Some(301),
            "refused",
            "rejected: HTTP 301 Moved Permanently; redirects are not followed: set `url` to the location that it redirects to",
        ),
        (
            Some(503),
            "connecting",
            "answered HTTP 503 Service Unavailable",
        ),
        (Some(403), "refused", "rejected: HTTP 403 Forbidden"),
    ] {
        if let Some(status) = answer {
            page.answer(PageAnswer::Status(status, Vec::new()));
        }
        eventually(reason, || {
            (0..2).all(|at| {
                let state = feeds.state(at);
                state.is_some_and(|state| state.name() == name && state.reason() == Some(reason))
            })
        })
        .await;
    }
    feeds.end().await;
}

#[tokio::test]
async fn honors_retry_after_of_handshake() {
    for status in [418, 429, 503] {
        let page = PricePage::start("<html>").await.unwrap();
        let refusal = PageAnswer::Status(status, vec!["Retry-After: 2".to_owned()]);
        page.answer(refusal);
        let url = page.url().replacen("http://", "ws://", 1);
        let before = Instant::now();
        let feeds = RunningFeeds::start(&format!(
            "[exchanges]\nbackoff_ms = 10\nbackoff_max_ms = 20\n[[tokens]]\nsymbol = 'T0'\n[[sources]]\n\
             kind = 'binance'\ntoken = 'T0'\nsymbol = 'BTCUSDT'\nquote = 'USD'\nurl = '{url}'\n"
        ));
        let state = feeds.until_state(0, "connecting").await;
        within_limit("a second attempt", page.wait_for_requests(2)).await;
        assert!(
            before.elapsed() >= Duration::from_secs(2),
            "{status} {state:?}"
        );
        feeds.end().await;
    }
}
