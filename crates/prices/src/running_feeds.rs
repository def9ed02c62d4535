//! Test support: runs the feeds of a configuration and collects their ticks and states.

use std::{collections::VecDeque, future::Future, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{FeedState, PriceConfig, TickQueue, TickSink, feeds, tick_queue};
use chaincast_model::Tick;
use chaincast_protocol::Token;

/// Timeout of expected events, long enough for a busy machine.
const TIMEOUT: Duration = Duration::from_secs(90);

pub(super) async fn within_limit<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(TIMEOUT, work).await;
    done.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// Polls until `holds`.
pub(super) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    within_limit(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// The tokens of the tests: `T0`, `T1` and so on, with one source each.
pub(super) fn token(at: usize) -> Token {
    format!("T{at}").parse().unwrap()
}

/// Running feeds, with their ticks and states.
pub(super) struct RunningFeeds {
    sink: TickSink,
    queue: TickQueue,
    /// Received but not returned yet.
    ticks: VecDeque<Tick>,
    stop: CancellationToken,
    running: JoinSet<()>,
}

impl RunningFeeds {
    /// Starts the feeds of a `[prices]` section.
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

    /// Waits for ticks and takes all of them.
    pub(super) async fn take_ticks(&mut self) -> VecDeque<Tick> {
        if self.ticks.is_empty() {
            self.ticks = within_limit("a tick", self.queue.next()).await.into();
        }
        std::mem::take(&mut self.ticks)
    }

    /// The next tick.
    pub(super) async fn tick(&mut self) -> Tick {
        self.ticks = self.take_ticks().await;
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

    /// Ticks received but not returned yet.
    pub(super) fn remaining(&self) -> &VecDeque<Tick> {
        &self.ticks
    }

    pub(super) fn state(&self, at: usize) -> Option<FeedState> {
        let states = self.sink.states();
        let mut of = states
            .into_iter()
            .filter(|((named, _), _)| *named == token(at));
        of.next().map(|(_, state)| state)
    }

    /// How far this machine's clock is ahead of every venue.
    pub(super) fn clock_off_ms(&self) -> Option<i64> {
        self.queue.clock_off_ms()
    }

    /// Waits for a state of a token's source.
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
        within_limit("the end of the feeds", async {
            while let Some(ended) = self.running.join_next().await {
                ended.unwrap();
            }
        })
        .await;
    }
}
