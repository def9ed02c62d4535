//! The supervisor against a venue on this machine that does what venues do wrong. `tests/venues/*.toml` has what can be
//! told as acts and ticks; here is what needs more.

use std::{
    collections::BTreeMap,
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::super::{FeedState, PriceConfig, TickQueue, TickSink, feeds, tick_queue};
use crate::{
    dev::venue::{Act, Speaks, Told, Venue, VenueScenario, VenueStep},
    model::{Tick, Token},
};

/// For what has to happen sooner or later, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(90);

async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, work).await;
    done.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// Waits until `holds`; for what tells nobody when it changes.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    soon(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A venue, the feeds that read it, and what they give.
struct Stage {
    venue: Venue,
    sink: TickSink,
    queue: TickQueue,
    ticks: std::collections::VecDeque<Tick>,
    stop: CancellationToken,
    feeds: JoinSet<()>,
}

/// A token for each symbol: `T0`, `T1` and so on.
fn token(at: usize) -> Token {
    format!("T{at}").parse().unwrap()
}

impl Stage {
    /// Feeds with short waits, and keys of `[prices.exchanges]` beside them.
    async fn start(speaks: Speaks, symbols: &[&str], keys: &str) -> Self {
        Self::reading(
            Venue::start(speaks).await.unwrap(),
            speaks,
            symbols,
            keys,
            "",
        )
    }

    fn reading(venue: Venue, speaks: Speaks, symbols: &[&str], keys: &str, more: &str) -> Self {
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
        let config: PriceConfig = toml::from_str(&text).unwrap();
        config.validate().unwrap();
        let (sink, queue) = tick_queue(100_000);
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        for feed in feeds(&config) {
            running.spawn(feed.run(sink.clone(), stop.clone()));
        }
        Self {
            venue,
            sink,
            queue,
            ticks: Default::default(),
            stop,
            feeds: running,
        }
    }

    /// Waits until the newest of so many connections gets these symbols.
    async fn connected(&self, connections: u64, symbols: &[&str]) {
        let gets = self.venue.until(|seen| {
            seen.connections >= connections
                && symbols.iter().all(|symbol| seen.newest.contains(*symbol))
        });
        soon(&format!("connection {connections}"), gets).await;
    }

    async fn tick(&mut self) -> Tick {
        while self.ticks.is_empty() {
            self.ticks.extend(soon("a tick", self.queue.next()).await);
        }
        self.ticks.pop_front().unwrap()
    }

    /// The next tick, as token and price.
    async fn price(&mut self) -> String {
        let tick = self.tick().await;
        format!(
            "{} {}",
            tick.token,
            tick.price.normalized().to_plain_string()
        )
    }

    fn state(&self, at: usize) -> Option<FeedState> {
        let states = self.sink.states();
        let mut of = states
            .into_iter()
            .filter(|((named, _), _)| *named == token(at));
        of.next().map(|(_, state)| state)
    }

    async fn until_state(&self, at: usize, name: &str) -> FeedState {
        let what = format!("{name} of T{at}");
        eventually(&what, || {
            self.state(at).is_some_and(|state| state.name() == name)
        })
        .await;
        self.state(at).unwrap()
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

async fn play(path: PathBuf) {
    let VenueScenario {
        about,
        venue: speaks,
        symbols,
        steps,
    } = VenueScenario::read(&path).unwrap();
    let names: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let at: BTreeMap<&str, usize> = names.iter().copied().zip(0..).collect();
    let venue = Venue::start(speaks).await.unwrap();
    let mut refused = Vec::new();
    let mut steps = steps.into_iter().peekable();
    // What the venue does before anybody connects.
    while let Some(step) = steps.next_if(|step| step.connections.is_none() && step.ticks.is_empty())
    {
        step.does.iter().for_each(|act| venue.act(act));
        note_refusals(&step, &mut refused);
    }
    let keys = "first_tick_ms = 500";
    let mut stage = Stage::reading(venue, speaks, &names, keys, "");
    for (number, step) in steps.enumerate() {
        let place = format!("{about} ({}, step {number})", path.display());
        step.does.iter().for_each(|act| stage.venue.act(act));
        note_refusals(&step, &mut refused);
        if let Some(connections) = step.connections {
            let given = names
                .iter()
                .filter(|name| !refused.iter().any(|no| no == *name));
            let given: Vec<&str> = given.copied().collect();
            stage.connected(connections, &given).await;
        }
        if let Some(open) = step.open {
            soon(&place, stage.venue.until(|seen| seen.open == open)).await;
        }
        for expected in &step.ticks {
            let (symbol, price) = expected.split_once(' ').unwrap();
            let got = stage.price().await;
            assert_eq!(got, format!("T{} {price}", at[symbol]), "{place}");
        }
        for (symbol, state) in &step.states {
            stage.until_state(at[symbol.as_str()], state).await;
        }
    }
    assert!(stage.ticks.is_empty(), "{about}: {:?}", stage.ticks);
    stage.end().await;
}

fn note_refusals(step: &VenueStep, refused: &mut Vec<String>) {
    for act in &step.does {
        match act {
            Act::Refuse(symbol) => refused.push(symbol.clone()),
            Act::Admit => refused.clear(),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scenario_of_a_venue_comes_out_as_it_says() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/venues");
    let mut playing = JoinSet::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        playing.spawn(play(entry.unwrap().path()));
    }
    assert!(playing.len() >= 10, "{} scenarios", playing.len());
    while let Some(played) = playing.join_next().await {
        played.unwrap();
    }
}

#[tokio::test]
async fn a_tick_has_every_digit_the_spread_and_the_time_of_the_venue() {
    for (speaks, symbol) in [
        (Speaks::Binance, "BTCUSD"),
        (Speaks::Coinbase, "BTC-USD"),
        (Speaks::Kraken, "BTC/USD"),
    ] {
        let mut stage = Stage::start(speaks, &[symbol], "").await;
        stage.connected(1, &[symbol]).await;
        let at = crate::model::now_ms() - 1_000;
        stage.venue.act(&Act::Tick(Told {
            bid: Some("64000.123456789012345".to_owned()),
            ask: Some("64000.123456789012347".to_owned()),
            time_ms: Some(at),
            ..Told::at(symbol, "64000.123456789012346")
        }));
        let tick = stage.tick().await;
        assert_eq!(tick.token, token(0));
        assert_eq!(&*tick.quote, "USD");
        assert_eq!(tick.price, "64000.123456789012346".parse().unwrap());
        assert_eq!(tick.confidence, Some("0.000000000000001".parse().unwrap()));
        // A book ticker of Binance has no time: it is as of when it was heard.
        if speaks == Speaks::Binance {
            assert!(tick.observed_at > at);
        } else {
            assert_eq!(tick.observed_at, at);
        }
        assert_eq!(stage.until_state(0, "live").await, FeedState::Live);
        stage.end().await;
    }
}

#[tokio::test]
async fn trades_of_binance_are_read_where_they_are_asked_for() {
    let venue = Venue::start(Speaks::Binance).await.unwrap();
    let more = "stream = 'trade'";
    let mut stage = Stage::reading(venue, Speaks::Binance, &["BTCUSDT"], "", more);
    stage.connected(1, &["BTCUSDT"]).await;
    stage.venue.tell("BTCUSDT", "64000.10");
    let tick = stage.tick().await;
    assert_eq!(tick.price.to_plain_string(), "64000.10");
    assert_eq!(tick.confidence, None);
    stage.end().await;
}

#[tokio::test]
async fn a_rotation_keeps_the_old_connection_until_the_new_one_is_answered() {
    let symbols = ["BTC/USD", "ETH/USD"];
    let keys = "rotate_after_ms = 1500\nmissed_heartbeats = 60";
    let mut stage = Stage::start(Speaks::Kraken, &symbols, keys).await;
    stage.connected(1, &symbols).await;
    // The successor connects, and is not answered: what is told goes on coming by the old one.
    stage.venue.act(&Act::Hold);
    soon(
        "a successor",
        stage.venue.until(|seen| seen.connections == 2),
    )
    .await;
    stage.venue.tell("BTC/USD", "1");
    assert_eq!(stage.price().await, "T0 1");
    assert_eq!(stage.venue.seen().open, 2);
    assert_eq!(stage.until_state(0, "live").await, FeedState::Live);
    stage.venue.act(&Act::Release);
    stage.connected(2, &symbols).await;
    soon(
        "the end of the old one",
        stage
            .venue
            .until(|seen| seen.open == 1 || seen.connections > 2),
    )
    .await;
    // The snapshot of the successor is the same state once more.
    assert_eq!(stage.price().await, "T0 1");
    stage.venue.tell("ETH/USD", "2");
    let mut next = stage.price().await;
    while next == "T0 1" {
        next = stage.price().await;
    }
    assert_eq!(next, "T1 2");
    assert!(stage.state(0).is_some_and(|state| state == FeedState::Live));
    stage.end().await;
}

#[tokio::test]
async fn a_venue_that_is_silent_is_left_after_the_heartbeats_that_it_missed() {
    for (speaks, symbol) in [(Speaks::Coinbase, "BTC-USD"), (Speaks::Kraken, "BTC/USD")] {
        let mut stage = Stage::start(speaks, &[symbol], "missed_heartbeats = 3").await;
        stage.connected(1, &[symbol]).await;
        stage.venue.tell(symbol, "1");
        assert_eq!(stage.price().await, "T0 1");
        stage.venue.act(&Act::Stall);
        let stalled = Instant::now();
        stage.connected(2, &[symbol]).await;
        // The last heartbeat was up to one interval before.
        assert!(
            stalled.elapsed() > Duration::from_secs(2),
            "{:?}",
            stalled.elapsed()
        );
        assert_eq!(stage.price().await, "T0 1");
        stage.venue.tell(symbol, "2");
        assert_eq!(stage.price().await, "T0 2");
        stage.end().await;
    }
}

#[tokio::test]
async fn pings_are_answered_and_cost_nothing() {
    let mut stage = Stage::start(Speaks::Binance, &["BTCUSDT"], "").await;
    stage.connected(1, &["BTCUSDT"]).await;
    for _ in 0..3 {
        stage.venue.act(&Act::Ping);
    }
    soon("pongs", stage.venue.until(|seen| seen.pongs >= 3)).await;
    stage.venue.tell("BTCUSDT", "7");
    assert_eq!(stage.price().await, "T0 7");
    assert_eq!(stage.venue.seen().connections, 1);
    stage.end().await;
}

#[tokio::test]
async fn many_symbols_are_asked_for_in_few_messages_and_not_too_fast() {
    let symbols: Vec<String> = (0..450).map(|at| format!("T{at}USDT")).collect();
    let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let began = Instant::now();
    let mut stage = Stage::start(Speaks::Binance, &symbols, "").await;
    stage.connected(1, &symbols).await;
    let seen = stage.venue.seen();
    assert_eq!(seen.messages.len(), 3, "200 streams a message");
    let last = seen.messages[2].0;
    assert!(last.duration_since(began) >= Duration::from_millis(2 * 350));
    stage.venue.tell("T449USDT", "3");
    assert_eq!(stage.price().await, "T449 3");
    stage.end().await;
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_the_connection_and_not_the_feed() {
    let mut stage = Stage::start(Speaks::Coinbase, &["BTC-USD"], "message_bytes = 4096").await;
    stage.connected(1, &["BTC-USD"]).await;
    let large = format!(r#"{{"type":"{}"}}"#, "x".repeat(5_000));
    stage.venue.act(&Act::Say(large));
    stage.connected(2, &["BTC-USD"]).await;
    stage.venue.tell("BTC-USD", "1");
    assert_eq!(stage.price().await, "T0 1");
    stage.end().await;
}

#[tokio::test]
async fn a_slow_venue_is_waited_for_and_not_called_live_before_it_speaks() {
    let venue = Venue::start(Speaks::Coinbase).await.unwrap();
    venue.act(&Act::Hold);
    let keys = "missed_heartbeats = 60";
    let mut stage = Stage::reading(venue, Speaks::Coinbase, &["BTC-USD"], keys, "");
    soon(
        "a request",
        stage.venue.until(|seen| !seen.messages.is_empty()),
    )
    .await;
    let state = stage.state(0).unwrap();
    assert_eq!(state, FeedState::Connecting { reason: None });
    stage.venue.act(&Act::Release);
    stage.connected(1, &["BTC-USD"]).await;
    stage.venue.tell("BTC-USD", "1");
    assert_eq!(stage.price().await, "T0 1");
    stage.end().await;
}

#[tokio::test]
async fn a_venue_that_is_not_there_is_told_without_its_url_and_found_when_it_comes() {
    let gone = Venue::start(Speaks::Kraken).await.unwrap();
    let url = gone.url();
    drop(gone);
    let config = format!(
        "[exchanges]\nbackoff_ms = 10\n[[sources]]\nkind = 'kraken'\ntoken = 'T0'\nsymbol = 'BTC/USD'\n\
         quote = 'USD'\nurl = '{url}'\n"
    );
    let config: PriceConfig = toml::from_str(&config).unwrap();
    let (sink, _queue) = tick_queue(10);
    let stop = CancellationToken::new();
    let feed = feeds(&config).remove(0);
    assert_eq!(feed.name(), "kraken");
    let running = tokio::spawn(feed.run(sink.clone(), stop.clone()));
    let key = (token(0), Arc::from("kraken"));
    let reason = || {
        sink.states()
            .get(&key)
            .and_then(|state| state.reason().map(str::to_owned))
    };
    eventually("a reason", || reason().is_some()).await;
    let reason = reason().unwrap();
    assert!(reason.starts_with("it cannot be connected to"), "{reason}");
    assert!(!reason.contains("a-secret-key"), "{reason}");
    stop.cancel();
    soon("the end of the feed", running).await.unwrap();
}
