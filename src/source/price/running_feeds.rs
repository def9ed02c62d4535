//! For the tests of feeds: those of a configuration while they run, and what comes of them.

use std::{collections::VecDeque, future::Future, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{FeedState, PriceConfig, TickQueue, TickSink, feeds, tick_queue};
use crate::model::{Tick, Token};

/// For what has to happen sooner or later, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(90);

pub(super) async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, work).await;
    done.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// Waits until `holds`; for what tells nobody when it changes.
pub(super) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    soon(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// The tokens of these tests: `T0`, `T1` and so on, with one source each.
pub(super) fn token(at: usize) -> Token {
    format!("T{at}").parse().unwrap()
}

/// Feeds that run, and the ticks and states that they tell.
pub(super) struct RunningFeeds {
    sink: TickSink,
    queue: TickQueue,
    /// Told and not looked at yet.
    ticks: VecDeque<Tick>,
    stop: CancellationToken,
    running: JoinSet<()>,
}

impl RunningFeeds {
    /// Of the keys of `[prices]`.
    pub(super) fn start(config: &str) -> Self {
        let config: PriceConfig = toml::from_str(config).unwrap();
        config.validate().unwrap();
        let (sink, queue) = tick_queue(100_000);
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        for feed in feeds(&config) {
            running.spawn(feed.run(sink.clone(), stop.clone()));
        }
        Self {
            sink,
            queue,
            ticks: VecDeque::new(),
            stop,
            running,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.running.len()
    }

    /// Waits for ticks, and takes all that were told.
    pub(super) async fn heard(&mut self) -> VecDeque<Tick> {
        if self.ticks.is_empty() {
            self.ticks = soon("a tick", self.queue.next()).await.into();
        }
        std::mem::take(&mut self.ticks)
    }

    /// The next tick.
    pub(super) async fn tick(&mut self) -> Tick {
        self.ticks = self.heard().await;
        self.ticks.pop_front().unwrap()
    }

    /// The next tick, as token and price.
    pub(super) async fn price(&mut self) -> String {
        let tick = self.tick().await;
        format!(
            "{} {}",
            tick.token,
            tick.price.normalized().to_plain_string()
        )
    }

    /// Ticks that came with those that were looked at, and were not looked at.
    pub(super) fn left(&self) -> &VecDeque<Tick> {
        &self.ticks
    }

    pub(super) fn state(&self, at: usize) -> Option<FeedState> {
        let states = self.sink.states();
        let mut of = states
            .into_iter()
            .filter(|((named, _), _)| *named == token(at));
        of.next().map(|(_, state)| state)
    }

    /// By how much this machine's clock is ahead, by what every venue says.
    pub(super) fn clock_off_ms(&self) -> Option<i64> {
        self.queue.clock_off_ms()
    }

    /// Waits until it stands so with the source of a token.
    pub(super) async fn until_state(&self, at: usize, name: &str) -> FeedState {
        let (what, mut found) = (format!("{name} of T{at}"), None);
        eventually(&what, || {
            found = self.state(at).filter(|state| state.name() == name);
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    pub(super) async fn end(mut self) {
        self.stop.cancel();
        soon("the end of the feeds", async {
            while let Some(ended) = self.running.join_next().await {
                ended.unwrap();
            }
        })
        .await;
    }
}
