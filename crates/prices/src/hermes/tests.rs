//! The Pyth feed against a faulty local Hermes service.

use std::{convert::Infallible, time::Duration};

use super::super::running_feeds::{RunningFeeds, within_limit};
use chaincast_protocol::now_ms;
use chaincast_testkit::price_servers::Hermes;

/// An id of 64 digits for each source.
fn id(at: usize) -> String {
    format!("{:064x}", at + 0xabc)
}

struct Fixture {
    hermes: Hermes,
    feeds: RunningFeeds,
}

impl Fixture {
    /// A feed of several sources, with keys of `[prices.exchanges]` and of each source.
    async fn start(sources: usize, exchange_keys: &str, source_keys: &str) -> Self {
        let hermes = Hermes::start().await.unwrap();
        let mut text = format!(
            "[exchanges]\nbackoff_ms = 10\nbackoff_max_ms = 100\nstable_ms = 0\n{exchange_keys}\n"
        );
        for at in 0..sources {
            text += &format!(
                "[[tokens]]\nsymbol = 'T{at}'\n[[sources]]\nkind = 'pyth'\ntoken = 'T{at}'\nid = '0x{}'\n\
                 quote = 'USD'\nurl = '{}'\n{source_keys}\n",
                id(at).to_uppercase(),
                hermes.url()
            );
        }
        let feeds = RunningFeeds::start(&text);
        Self { hermes, feeds }
    }

    async fn opened(&self, streams: u64) {
        let opened = self.hermes.wait_until(|seen| seen.opened >= streams);
        within_limit(&format!("stream {streams}"), opened).await;
    }

    fn send_price(&self, at: usize, price: &str, seconds_ago: i64) {
        let second = now_ms() / 1_000 - seconds_ago;
        self.hermes.price(&id(at), price, "5", -2, second);
    }

    /// Waits for this stream, and checks that its price arrives.
    async fn receives_price_from(&mut self, stream: u64, price: u32) {
        self.opened(stream).await;
        self.send_price(0, &format!("{price}00"), 0);
        assert_eq!(self.feeds.price().await, format!("T0 {price}"));
    }

    /// Checks that any stream is read.
    async fn receives_price(&mut self) {
        let tick = within_limit("a tick", async {
            tokio::select! {
                never = send_repeatedly(&self.hermes) => match never {},
                tick = self.feeds.tick() => tick,
            }
        });
        assert_eq!(tick.await.price.to_plain_string(), "1.00");
    }
}

/// Sends a price to all open streams repeatedly: the feed reads one of them.
async fn send_repeatedly(hermes: &Hermes) -> Infallible {
    loop {
        hermes.price(&id(0), "100", "5", -2, now_ms() / 1_000);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn ids_share_stream_and_prices_are_exact() {
    let mut fixture = Fixture::start(2, "", "key = 'a-bearer-key'").await;
    fixture.opened(1).await;
    let seen = fixture.hermes.observed();
    let head = &seen.requests[0];
    assert!(
        head.starts_with("GET /a-secret-key/v2/updates/price/stream?"),
        "{head}"
    );
    let lower = head.to_ascii_lowercase();
    assert!(
        lower.contains("authorization: bearer a-bearer-key"),
        "{head}"
    );
    assert!(lower.contains("user-agent: chaincast/"), "{head}");
    for at in 0..2 {
        assert!(head.contains(&format!("ids%5B%5D={}", id(at))), "{head}");
    }
    fixture.feeds.until_state(0, "connecting").await;
    fixture.send_price(0, "345612", 3);
    let tick = fixture.feeds.tick().await;
    assert_eq!(tick.price.to_plain_string(), "3456.12");
    assert_eq!(tick.confidence.unwrap().to_plain_string(), "0.05");
    assert!((2_000..60_000).contains(&(now_ms() - tick.observed_at)));
    fixture.feeds.until_state(0, "live").await;
    fixture.send_price(1, "9223372036854775807", 0);
    assert_eq!(fixture.feeds.price().await, "T1 92233720368547758.07");
    assert_eq!(fixture.hermes.observed().opened, 1);
    fixture.feeds.end().await;
}

#[tokio::test]
async fn invalid_events_do_not_affect_others() {
    let mut fixture = Fixture::start(1, "", "").await;
    fixture.opened(1).await;
    fixture.hermes.send_bytes(b": a comment\n\n".to_vec());
    for data in ["", "garbage", "{", "null", "{\"parsed\":[1,null,{}]}"] {
        fixture.hermes.event(data);
    }
    fixture.hermes.send_bytes(vec![0xff, 0xfe, b'\n', b'\n']);
    fixture.send_price(7, "1", 0);
    for price in [
        "0",
        "-5",
        "99999999999999999999999999999999999999",
        "1e5",
        "",
    ] {
        fixture.send_price(0, price, 0);
    }
    // More than a year ago, and in the future.
    fixture.send_price(0, "77", 40_000_000);
    fixture.send_price(0, "78", -3_600);
    fixture.send_price(0, "100", 0);
    assert_eq!(fixture.feeds.price().await, "T0 1");
    assert_eq!(fixture.hermes.observed().opened, 1);
    fixture.feeds.end().await;
}

#[tokio::test]
async fn drops_older_price() {
    let mut fixture = Fixture::start(1, "", "").await;
    fixture.opened(1).await;
    fixture.send_price(0, "300", 0);
    fixture.send_price(0, "200", 50);
    fixture.send_price(0, "400", 0);
    assert_eq!(fixture.feeds.price().await, "T0 3");
    assert_eq!(fixture.feeds.price().await, "T0 4");
    fixture.feeds.end().await;
}

#[tokio::test]
async fn reopens_lost_stream() {
    let mut fixture = Fixture::start(1, "", "").await;
    fixture.receives_price_from(1, 1).await;
    // In the middle of an event, whose first half is discarded.
    fixture.hermes.send_bytes(b"data:{\"parsed\":[".to_vec());
    fixture.hermes.cut();
    fixture.receives_price_from(2, 2).await;
    fixture.hermes.close();
    fixture.receives_price_from(3, 3).await;
    fixture.feeds.end().await;
}

#[tokio::test]
async fn closes_silent_stream() {
    let mut fixture = Fixture::start(1, "", "silence_ms = 300").await;
    fixture.opened(2).await;
    let seen = fixture.hermes.wait_until(|seen| seen.opened >= 3);
    within_limit("another stream", seen).await;
    fixture.receives_price().await;
    fixture.feeds.end().await;
}

#[tokio::test]
async fn replaces_stream_at_maximum_age() {
    let mut fixture = Fixture::start(1, "rotate_after_ms = 500", "").await;
    fixture.opened(3).await;
    let few = fixture.hermes.wait_until(|seen| seen.open <= 1);
    within_limit("the end of the old streams", few).await;
    fixture.receives_price().await;
    fixture.feeds.end().await;
}

#[tokio::test]
async fn replaces_late_stream() {
    let exchange_keys = "late_ms = 3000\nlate_for_ms = 100";
    let fixture = Fixture::start(1, exchange_keys, "").await;
    fixture.opened(1).await;
    let late = async {
        loop {
            fixture.send_price(0, "100", 20);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let another = async {
        fixture.opened(2).await;
        // The old stream serves until the new one is open, and not longer.
        let few = fixture.hermes.wait_until(|seen| seen.open == 1);
        within_limit("the end of the late stream", few).await;
    };
    tokio::select! {
        () = late => {}
        () = another => {}
    }
    assert_eq!(fixture.feeds.state(0).unwrap().name(), "live");
    fixture.feeds.end().await;
}

#[tokio::test]
async fn rejection_hides_key_and_is_retried() {
    let mut fixture = Fixture::start(1, "", "").await;
    fixture.opened(1).await;
    fixture.hermes.refuse_once(401, &[]);
    fixture.hermes.cut();
    let state = fixture.feeds.until_state(0, "refused").await;
    let reason = state.reason().unwrap().to_owned();
    assert!(
        reason.contains("401") && !reason.contains("a-secret-key"),
        "{reason}"
    );
    fixture.receives_price_from(2, 1).await;
    fixture.feeds.end().await;
}

#[tokio::test]
async fn rejection_names_setting_to_fix() {
    for (keys, status, header, words) in [
        ("", 401, "X: y", "set `key` of the source"),
        (
            "key = 'a-secret-key'",
            403,
            "X: y",
            "is `key` of the source correct",
        ),
        (
            "",
            301,
            "Location: https://pyth.example/a-secret-key",
            "set `url` to the location at pyth.example that",
        ),
    ] {
        let fixture = Fixture::start(1, "", keys).await;
        fixture.opened(1).await;
        fixture.hermes.refuse_once(status, &[header]);
        fixture.hermes.cut();
        let state = fixture.feeds.until_state(0, "refused").await;
        let reason = state.reason().unwrap().to_owned();
        assert!(reason.contains(words), "{status}: {reason}");
        assert!(!reason.contains("a-secret-key"), "{reason}");
        fixture.feeds.end().await;
    }
}

#[tokio::test]
async fn honors_retry_after() {
    let fixture = Fixture::start(1, "", "").await;
    fixture.opened(1).await;
    fixture.hermes.refuse_once(429, &["Retry-After: 2"]);
    let before = std::time::Instant::now();
    fixture.hermes.cut();
    fixture.opened(2).await;
    assert!(before.elapsed() >= Duration::from_secs(2));
    fixture.feeds.end().await;
}

#[tokio::test]
async fn id_without_data_is_silent() {
    let mut fixture = Fixture::start(2, "first_tick_ms = 2000", "").await;
    fixture.receives_price_from(1, 1).await;
    fixture.feeds.until_state(1, "silent").await;
    fixture.feeds.until_state(0, "live").await;
    fixture.feeds.end().await;
}

#[tokio::test]
async fn oversized_event_ends_stream() {
    let mut fixture = Fixture::start(1, "message_bytes = 1024", "").await;
    fixture.opened(1).await;
    fixture.hermes.send_bytes(vec![b'x'; 4_096]);
    fixture.receives_price_from(2, 1).await;
    fixture.feeds.end().await;
}
