//! The supervisor against a venue on this machine that does what venues do wrong. `tests/venues/*.toml` has what can be
//! told as acts and ticks; here is what needs more.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::super::{Feed, FeedState, PriceConfig, TickQueue, TickSink, feeds, tick_queue};
use crate::{
    dev::venue::{Act, Speaks, Told, Venue, VenueScenario, VenueStep},
    model::{Tick, Token, now_ms},
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
    ticks: VecDeque<Tick>,
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
            ticks: VecDeque::new(),
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
    while let Some(step) = steps.next_if(|step| step.connections.is_none()) {
        step.does.iter().for_each(|act| venue.act(act));
        note_refusals(&step, &mut refused);
    }
    // A machine that is slow is not a venue that is silent.
    let keys = "first_tick_ms = 500\nmissed_heartbeats = 100";
    let mut stage = Stage::reading(venue, speaks, &names, keys, "");
    for (number, step) in steps.enumerate() {
        let place = format!("{about} ({}, step {number})", path.display());
        step.does.iter().for_each(|act| stage.venue.act(act));
        note_refusals(&step, &mut refused);
        if let Some(connections) = step.connections {
            let is_given = |name: &str| !refused.iter().any(|no| no == name);
            let given: Vec<&str> = names
                .iter()
                .copied()
                .filter(|name| is_given(name))
                .collect();
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
        if let Some(made) = step.made {
            assert_eq!(stage.venue.seen().connections, made, "{place}");
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
        let at = now_ms() - 1_000;
        stage.venue.act(&Act::Tick(Told {
            bid: Some("64000.123456789012345".to_owned()),
            ask: Some("64000.123456789012347".to_owned()),
            time_ms: Some(at),
            ..Told::at(symbol, "64000.123456789012346")
        }));
        let tick = stage.tick().await;
        assert_eq!(tick.token, token(0));
        assert_eq!(&*tick.quote, "USD");
        let price = tick.price.normalized().to_plain_string();
        assert_eq!(price, "64000.123456789012346");
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
async fn the_old_connection_is_kept_until_the_new_one_is_answered() {
    let symbols = ["BTCUSDT", "ETHUSDT"];
    let mut stage = Stage::start(Speaks::Binance, &symbols, "first_tick_ms = 3600000").await;
    stage.connected(1, &symbols).await;
    // The successor connects and is not answered: what is told goes on coming by the old one.
    stage.venue.act(&Act::Hold);
    stage.venue.act(&Act::Announce);
    let successor = stage.venue.until(|seen| seen.connections == 2);
    soon("a successor", successor).await;
    stage.venue.tell("BTCUSDT", "1");
    assert_eq!(stage.price().await, "T0 1");
    assert_eq!(stage.venue.seen().open, 2);
    assert_eq!(stage.state(0), Some(FeedState::Live));
    stage.venue.act(&Act::Release);
    stage.connected(2, &symbols).await;
    soon(
        "the end of the old one",
        stage.venue.until(|seen| seen.open == 1),
    )
    .await;
    stage.venue.tell("ETHUSDT", "2");
    assert_eq!(stage.price().await, "T1 2");
    assert_eq!(stage.state(0), Some(FeedState::Live));
    stage.end().await;
}

#[tokio::test]
async fn a_connection_that_grew_old_is_replaced_again_and_again() {
    let keys = "rotate_after_ms = 800\nmissed_heartbeats = 100";
    let mut stage = Stage::start(Speaks::Kraken, &["BTC/USD"], keys).await;
    stage.connected(1, &["BTC/USD"]).await;
    stage.venue.tell("BTC/USD", "1");
    assert_eq!(stage.price().await, "T0 1");
    stage.connected(4, &["BTC/USD"]).await;
    stage.venue.tell("BTC/USD", "2");
    // Each connection began with the snapshot, which is the same state once more.
    let mut price = stage.price().await;
    while price == "T0 1" {
        price = stage.price().await;
    }
    assert_eq!(price, "T0 2");
    assert_eq!(stage.state(0), Some(FeedState::Live));
    stage.end().await;
}

#[tokio::test]
async fn where_a_venue_has_no_numbers_time_says_what_is_older() {
    let keys = "missed_heartbeats = 100";
    let mut stage = Stage::start(Speaks::Kraken, &["BTC/USD"], keys).await;
    stage.connected(1, &["BTC/USD"]).await;
    let at = now_ms() - 10_000;
    for (price, time_ms) in [("1", at + 2), ("2", at + 1), ("3", at + 2), ("4", at + 3)] {
        stage.venue.act(&Act::Tick(Told {
            time_ms: Some(time_ms),
            ..Told::at("BTC/USD", price)
        }));
    }
    for expected in ["T0 1", "T0 3", "T0 4"] {
        assert_eq!(stage.price().await, expected);
    }
    stage.end().await;
}

#[tokio::test]
async fn a_venue_that_is_silent_is_left_after_the_heartbeats_that_it_missed() {
    for (speaks, symbol) in [(Speaks::Coinbase, "BTC-USD"), (Speaks::Kraken, "BTC/USD")] {
        let mut stage = Stage::start(speaks, &[symbol], "missed_heartbeats = 3").await;
        stage.connected(1, &[symbol]).await;
        let told = Instant::now();
        stage.venue.tell(symbol, "1");
        assert_eq!(stage.price().await, "T0 1");
        let connections = stage.venue.seen().connections;
        stage.venue.act(&Act::Stall);
        stage.connected(connections + 1, &[symbol]).await;
        assert!(
            told.elapsed() >= Duration::from_secs(3),
            "{:?}",
            told.elapsed()
        );
        stage.venue.tell(symbol, "2");
        let mut price = stage.price().await;
        while price == "T0 1" {
            price = stage.price().await;
        }
        assert_eq!(price, "T0 2");
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
async fn a_venue_that_is_not_there_is_told_without_its_url() {
    // The port is taken and nobody listens: no other test can come to listen there.
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = nobody.local_addr().unwrap();
    let config = format!(
        "[exchanges]\nbackoff_ms = 10\n[[sources]]\nkind = 'kraken'\ntoken = 'T0'\nsymbol = 'BTC/USD'\n\
         quote = 'USD'\nurl = 'ws://{address}/a-secret-key'\n"
    );
    let config: PriceConfig = toml::from_str(&config).unwrap();
    let (sink, _queue) = tick_queue(10);
    let stop = CancellationToken::new();
    let feed = feeds(&config).remove(0);
    assert_eq!(feed.name(), "kraken");
    let running = tokio::spawn(feed.run(sink.clone(), stop.clone()));
    let key = (token(0), Arc::from("kraken"));
    let reason = || {
        let states = sink.states();
        let state = states.get(&key);
        state.and_then(|state| state.reason().map(str::to_owned))
    };
    eventually("a reason", || reason().is_some()).await;
    let reason = reason().unwrap();
    assert!(reason.starts_with("it cannot be connected to"), "{reason}");
    assert!(!reason.contains("a-secret-key"), "{reason}");
    stop.cancel();
    soon("the end of the feed", running).await.unwrap();
}
