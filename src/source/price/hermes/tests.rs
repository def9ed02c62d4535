//! The feed of Pyth against a service on this machine that errs.

use std::{convert::Infallible, time::Duration};

use super::super::running_feeds::{RunningFeeds, soon};
use crate::{dev::price_web::Hermes, model::now_ms};

/// An id of 64 digits for each source.
fn id(at: usize) -> String {
    format!("{:064x}", at + 0xabc)
}

struct Stage {
    hermes: Hermes,
    feeds: RunningFeeds,
}

impl Stage {
    /// So many sources, with keys of `[prices.exchanges]` and of each source.
    async fn start(sources: usize, rules: &str, more: &str) -> Self {
        let hermes = Hermes::start().await.unwrap();
        let mut text =
            format!("[exchanges]\nbackoff_ms = 10\nbackoff_max_ms = 100\nstable_ms = 0\n{rules}\n");
        for at in 0..sources {
            text += &format!(
                "[[tokens]]\nsymbol = 'T{at}'\n[[sources]]\nkind = 'pyth'\ntoken = 'T{at}'\nid = '0x{}'\n\
                 quote = 'USD'\nurl = '{}'\n{more}\n",
                id(at).to_uppercase(),
                hermes.url()
            );
        }
        let feeds = RunningFeeds::start(&text);
        Self { hermes, feeds }
    }

    async fn opened(&self, streams: u64) {
        let opened = self.hermes.until(|seen| seen.opened >= streams);
        soon(&format!("stream {streams}"), opened).await;
    }

    fn tell(&self, at: usize, price: &str, seconds_ago: i64) {
        let second = now_ms() / 1_000 - seconds_ago;
        self.hermes.price(&id(at), price, "5", -2, second);
    }

    /// Waits for this stream, and that the price which it tells then is heard.
    async fn works_by(&mut self, stream: u64, price: u32) {
        self.opened(stream).await;
        self.tell(0, &format!("{price}00"), 0);
        assert_eq!(self.feeds.price().await, format!("T0 {price}"));
    }

    /// That a stream is read; which of those that come and go is all the same.
    async fn works(&mut self) {
        let tick = soon("a tick", async {
            tokio::select! {
                never = keep_telling(&self.hermes) => match never {},
                tick = self.feeds.tick() => tick,
            }
        });
        assert_eq!(tick.await.price.to_plain_string(), "1.00");
    }
}

/// Tells a price to whichever streams are open, again and again: the feed reads one of them.
async fn keep_telling(hermes: &Hermes) -> Infallible {
    loop {
        hermes.price(&id(0), "100", "5", -2, now_ms() / 1_000);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn several_ids_share_a_stream_and_a_price_keeps_its_digits_and_its_confidence() {
    let mut stage = Stage::start(2, "", "key = 'a-bearer-key'").await;
    stage.opened(1).await;
    let seen = stage.hermes.seen();
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
    stage.feeds.until_state(0, "connecting").await;
    stage.tell(0, "345612", 3);
    let tick = stage.feeds.tick().await;
    assert_eq!(tick.price.to_plain_string(), "3456.12");
    assert_eq!(tick.confidence.unwrap().to_plain_string(), "0.05");
    assert!((2_000..60_000).contains(&(now_ms() - tick.observed_at)));
    stage.feeds.until_state(0, "live").await;
    stage.tell(1, "9223372036854775807", 0);
    assert_eq!(stage.feeds.price().await, "T1 92233720368547758.07");
    assert_eq!(stage.hermes.seen().opened, 1);
    stage.feeds.end().await;
}

#[tokio::test]
async fn garbage_wrong_ids_and_prices_that_are_none_cost_nothing_else() {
    let mut stage = Stage::start(1, "", "").await;
    stage.opened(1).await;
    stage.hermes.say(b": a comment\n\n".to_vec());
    for data in ["", "garbage", "{", "null", "{\"parsed\":[1,null,{}]}"] {
        stage.hermes.event(data);
    }
    stage.hermes.say(vec![0xff, 0xfe, b'\n', b'\n']);
    stage.tell(7, "1", 0);
    for price in [
        "0",
        "-5",
        "99999999999999999999999999999999999999",
        "1e5",
        "",
    ] {
        stage.tell(0, price, 0);
    }
    // From more than a year ago, and of the future.
    stage.tell(0, "77", 40_000_000);
    stage.tell(0, "78", -3_600);
    stage.tell(0, "100", 0);
    assert_eq!(stage.feeds.price().await, "T0 1");
    assert_eq!(stage.hermes.seen().opened, 1);
    stage.feeds.end().await;
}

#[tokio::test]
async fn an_older_price_does_not_follow_a_newer_one() {
    let mut stage = Stage::start(1, "", "").await;
    stage.opened(1).await;
    stage.tell(0, "300", 0);
    stage.tell(0, "200", 50);
    stage.tell(0, "400", 0);
    assert_eq!(stage.feeds.price().await, "T0 3");
    assert_eq!(stage.feeds.price().await, "T0 4");
    stage.feeds.end().await;
}

#[tokio::test]
async fn a_stream_that_is_cut_or_closed_is_opened_again() {
    let mut stage = Stage::start(1, "", "").await;
    stage.works_by(1, 1).await;
    // In the middle of an event, whose first half is forgotten.
    stage.hermes.say(b"data:{\"parsed\":[".to_vec());
    stage.hermes.cut();
    stage.works_by(2, 2).await;
    stage.hermes.close();
    stage.works_by(3, 3).await;
    stage.feeds.end().await;
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_given_up() {
    let mut stage = Stage::start(1, "", "silence_ms = 300").await;
    stage.opened(2).await;
    let seen = stage.hermes.until(|seen| seen.opened >= 3);
    soon("another stream", seen).await;
    stage.works().await;
    stage.feeds.end().await;
}

#[tokio::test]
async fn a_stream_is_replaced_when_it_is_old_and_the_old_one_ends() {
    let mut stage = Stage::start(1, "rotate_after_ms = 500", "").await;
    stage.opened(3).await;
    let few = stage.hermes.until(|seen| seen.open <= 1);
    soon("the end of the old streams", few).await;
    stage.works().await;
    stage.feeds.end().await;
}

#[tokio::test]
async fn a_stream_that_stays_late_is_replaced() {
    let rules = "late_ms = 3000\nlate_for_ms = 100";
    let stage = Stage::start(1, rules, "").await;
    stage.opened(1).await;
    let late = async {
        loop {
            stage.tell(0, "100", 20);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let another = async {
        stage.opened(2).await;
        // The old one serves until the new one is there, and not beside it.
        let few = stage.hermes.until(|seen| seen.open == 1);
        soon("the end of the late stream", few).await;
    };
    tokio::select! {
        () = late => {}
        () = another => {}
    }
    assert_eq!(stage.feeds.state(0).unwrap().name(), "live");
    stage.feeds.end().await;
}

#[tokio::test]
async fn a_refusal_is_told_without_the_key_and_tried_again() {
    let mut stage = Stage::start(1, "", "").await;
    stage.opened(1).await;
    stage.hermes.refuse_once(401, &[]);
    stage.hermes.cut();
    let state = stage.feeds.until_state(0, "refused").await;
    let reason = state.reason().unwrap().to_owned();
    assert!(
        reason.contains("401") && !reason.contains("a-secret-key"),
        "{reason}"
    );
    stage.works_by(2, 1).await;
    stage.feeds.end().await;
}

#[tokio::test]
async fn a_refusal_names_the_key_that_helps() {
    for (keys, status, header, words) in [
        ("", 401, "X: y", "set `key` of the source"),
        (
            "key = 'a-secret-key'",
            403,
            "X: y",
            "is `key` of the source right",
        ),
        (
            "",
            301,
            "Location: https://pyth.example/a-secret-key",
            "set `url` to the place at pyth.example that",
        ),
    ] {
        let stage = Stage::start(1, "", keys).await;
        stage.opened(1).await;
        stage.hermes.refuse_once(status, &[header]);
        stage.hermes.cut();
        let state = stage.feeds.until_state(0, "refused").await;
        let reason = state.reason().unwrap().to_owned();
        assert!(reason.contains(words), "{status}: {reason}");
        assert!(!reason.contains("a-secret-key"), "{reason}");
        stage.feeds.end().await;
    }
}

#[tokio::test]
async fn the_service_says_how_long_to_stay_away() {
    let stage = Stage::start(1, "", "").await;
    stage.opened(1).await;
    stage.hermes.refuse_once(429, &["Retry-After: 2"]);
    let before = std::time::Instant::now();
    stage.hermes.cut();
    stage.opened(2).await;
    assert!(before.elapsed() >= Duration::from_secs(2));
    stage.feeds.end().await;
}

#[tokio::test]
async fn an_id_that_nothing_is_said_of_is_told_to_be_silent() {
    let mut stage = Stage::start(2, "first_tick_ms = 2000", "").await;
    stage.works_by(1, 1).await;
    stage.feeds.until_state(1, "silent").await;
    stage.feeds.until_state(0, "live").await;
    stage.feeds.end().await;
}

#[tokio::test]
async fn an_event_that_is_too_long_ends_its_stream() {
    let mut stage = Stage::start(1, "message_bytes = 1024", "").await;
    stage.opened(1).await;
    stage.hermes.say(vec![b'x'; 4_096]);
    stage.works_by(2, 1).await;
    stage.feeds.end().await;
}
