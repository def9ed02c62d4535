//! The feed of Pyth against a service on this machine that errs.

use std::{collections::VecDeque, convert::Infallible, future::Future, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::super::{FeedState, PriceConfig, TickQueue, TickSink, feeds, tick_queue};
use crate::{
    dev::price_web::Hermes,
    model::{Tick, now_ms},
};

/// For what has to happen sooner or later, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(90);

async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, work).await;
    done.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// An id of 64 digits for each source.
fn id(at: usize) -> String {
    format!("{:064x}", at + 0xabc)
}

struct Stage {
    hermes: Hermes,
    sink: TickSink,
    queue: TickQueue,
    ticks: VecDeque<Tick>,
    stop: CancellationToken,
    feeds: JoinSet<()>,
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
        let config: PriceConfig = toml::from_str(&text).unwrap();
        config.validate().unwrap();
        let (sink, queue) = tick_queue(1_000);
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        for feed in feeds(&config) {
            running.spawn(feed.run(sink.clone(), stop.clone()));
        }
        Self {
            hermes,
            sink,
            queue,
            ticks: VecDeque::new(),
            stop,
            feeds: running,
        }
    }

    async fn opened(&self, streams: u64) {
        let opened = self.hermes.until(|seen| seen.opened >= streams);
        soon(&format!("stream {streams}"), opened).await;
    }

    fn tell(&self, at: usize, price: &str, seconds_ago: i64) {
        let second = now_ms() / 1_000 - seconds_ago;
        self.hermes.price(&id(at), price, "5", -2, second);
    }

    async fn tick(&mut self) -> Tick {
        while self.ticks.is_empty() {
            self.ticks.extend(soon("a tick", self.queue.next()).await);
        }
        self.ticks.pop_front().unwrap()
    }

    async fn price(&mut self) -> String {
        let tick = self.tick().await;
        format!(
            "{} {}",
            tick.token,
            tick.price.normalized().to_plain_string()
        )
    }

    async fn until_state(&self, at: usize, name: &str) -> FeedState {
        let token = format!("T{at}");
        soon(&format!("{name} of {token}"), async {
            loop {
                let states = self.sink.states();
                let mut of = states.iter().filter(|((of, _), _)| of.as_str() == token);
                if let Some((_, state)) = of.next()
                    && state.name() == name
                {
                    return state.clone();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }

    async fn end(mut self) {
        self.stop.cancel();
        soon("the end of the feeds", async {
            while let Some(ended) = self.feeds.join_next().await {
                ended.unwrap();
            }
        })
        .await;
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
    for at in 0..2 {
        assert!(head.contains(&format!("ids%5B%5D={}", id(at))), "{head}");
    }
    stage.until_state(0, "connecting").await;
    stage.tell(0, "345612", 3);
    let tick = stage.tick().await;
    assert_eq!(tick.price.to_plain_string(), "3456.12");
    assert_eq!(tick.confidence.unwrap().to_plain_string(), "0.05");
    assert!((2_000..60_000).contains(&(now_ms() - tick.observed_at)));
    stage.until_state(0, "live").await;
    stage.tell(1, "9223372036854775807", 0);
    assert_eq!(stage.price().await, "T1 92233720368547758.07");
    assert_eq!(stage.hermes.seen().opened, 1);
    stage.end().await;
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
    // From more than a year ago.
    stage.tell(0, "77", 40_000_000);
    stage.tell(0, "100", 0);
    assert_eq!(stage.price().await, "T0 1");
    assert_eq!(stage.hermes.seen().opened, 1);
    stage.end().await;
}

#[tokio::test]
async fn an_older_price_does_not_follow_a_newer_one() {
    let mut stage = Stage::start(1, "", "").await;
    stage.opened(1).await;
    stage.tell(0, "300", 0);
    stage.tell(0, "200", 50);
    stage.tell(0, "400", 0);
    assert_eq!(stage.price().await, "T0 3");
    assert_eq!(stage.price().await, "T0 4");
    stage.end().await;
}

#[tokio::test]
async fn a_stream_that_is_cut_or_closed_is_opened_again() {
    let mut stage = Stage::start(1, "", "").await;
    stage.opened(1).await;
    stage.tell(0, "100", 0);
    assert_eq!(stage.price().await, "T0 1");
    // In the middle of an event, whose first half is forgotten.
    stage.hermes.say(b"data:{\"parsed\":[".to_vec());
    stage.hermes.cut();
    stage.opened(2).await;
    stage.tell(0, "200", 0);
    assert_eq!(stage.price().await, "T0 2");
    stage.hermes.close();
    stage.opened(3).await;
    stage.tell(0, "300", 0);
    assert_eq!(stage.price().await, "T0 3");
    stage.end().await;
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_given_up() {
    let mut stage = Stage::start(1, "", "silence_ms = 300").await;
    stage.opened(2).await;
    let seen = stage.hermes.until(|seen| seen.opened >= 3);
    soon("another stream", seen).await;
    let first = soon("a tick", async {
        tokio::select! {
            never = keep_telling(&stage.hermes) => match never {},
            ticks = stage.queue.next() => ticks,
        }
    });
    let first = first.await;
    assert_eq!(first[0].price.to_plain_string(), "1.00");
    stage.end().await;
}

#[tokio::test]
async fn a_stream_is_replaced_when_it_is_old_and_the_old_one_ends() {
    let mut stage = Stage::start(1, "rotate_after_ms = 500", "").await;
    stage.opened(3).await;
    let few = stage.hermes.until(|seen| seen.open <= 1);
    soon("the end of the old streams", few).await;
    let first = soon("a tick", async {
        tokio::select! {
            never = keep_telling(&stage.hermes) => match never {},
            ticks = stage.queue.next() => ticks,
        }
    });
    let first = first.await;
    assert_eq!(first[0].price.to_plain_string(), "1.00");
    stage.end().await;
}

#[tokio::test]
async fn a_refusal_is_told_without_the_key_and_tried_again() {
    let mut stage = Stage::start(1, "", "").await;
    stage.opened(1).await;
    stage.hermes.refuse_once(401, &[]);
    stage.hermes.cut();
    let state = stage.until_state(0, "refused").await;
    let reason = state.reason().unwrap().to_owned();
    assert!(
        reason.contains("401") && !reason.contains("a-secret-key"),
        "{reason}"
    );
    stage.opened(2).await;
    stage.tell(0, "100", 0);
    assert_eq!(stage.price().await, "T0 1");
    stage.end().await;
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
    stage.end().await;
}

#[tokio::test]
async fn an_id_that_nothing_is_said_of_is_told_to_be_silent() {
    let mut stage = Stage::start(2, "first_tick_ms = 2000", "").await;
    stage.opened(1).await;
    stage.tell(0, "100", 0);
    assert_eq!(stage.price().await, "T0 1");
    stage.until_state(1, "silent").await;
    stage.until_state(0, "live").await;
    stage.end().await;
}

#[tokio::test]
async fn an_event_that_is_too_long_ends_its_stream() {
    let mut stage = Stage::start(1, "message_bytes = 1024", "").await;
    stage.opened(1).await;
    stage.hermes.say(vec![b'x'; 4_096]);
    stage.opened(2).await;
    stage.tell(0, "100", 0);
    assert_eq!(stage.price().await, "T0 1");
    stage.end().await;
}
