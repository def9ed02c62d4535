//! A venue on this machine, the feeds that read it, and what comes of them.

use std::{collections::VecDeque, future::Future, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::super::super::{FeedState, PriceConfig, TickQueue, TickSink, feeds, tick_queue};
use crate::{
    dev::venue::{Speaks, Venue},
    model::{Tick, Token},
};

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

/// A venue, the feeds that read it, and what they give.
pub(super) struct Stage {
    pub(super) venue: Venue,
    pub(super) sink: TickSink,
    queue: TickQueue,
    pub(super) ticks: VecDeque<Tick>,
    stop: CancellationToken,
    feeds: JoinSet<()>,
}

/// A token for each symbol: `T0`, `T1` and so on.
pub(super) fn token(at: usize) -> Token {
    format!("T{at}").parse().unwrap()
}

impl Stage {
    /// Feeds with short waits, and keys of `[prices.exchanges]` beside them.
    pub(super) async fn start(speaks: Speaks, symbols: &[&str], keys: &str) -> Self {
        Self::reading(
            Venue::start(speaks).await.unwrap(),
            speaks,
            symbols,
            keys,
            "",
        )
    }

    /// The same in front of a venue that there is, with `more` keys of each source.
    pub(super) fn reading(
        venue: Venue,
        speaks: Speaks,
        symbols: &[&str],
        keys: &str,
        more: &str,
    ) -> Self {
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
    pub(super) async fn connected(&self, connections: u64, symbols: &[&str]) {
        let gets = self.venue.until(|seen| {
            seen.connections >= connections
                && symbols.iter().all(|symbol| seen.newest.contains(*symbol))
        });
        soon(&format!("connection {connections}"), gets).await;
    }

    pub(super) async fn tick(&mut self) -> Tick {
        while self.ticks.is_empty() {
            self.ticks.extend(soon("a tick", self.queue.next()).await);
        }
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

    pub(super) fn state(&self, at: usize) -> Option<FeedState> {
        let states = self.sink.states();
        let mut of = states
            .into_iter()
            .filter(|((named, _), _)| *named == token(at));
        of.next().map(|(_, state)| state)
    }

    pub(super) async fn until_state(&self, at: usize, name: &str) -> FeedState {
        let what = format!("{name} of T{at}");
        eventually(&what, || {
            self.state(at).is_some_and(|state| state.name() == name)
        })
        .await;
        self.state(at).unwrap()
    }

    pub(super) async fn end(mut self) {
        self.stop.cancel();
        soon("the end of the feeds", async {
            while let Some(ended) = self.feeds.join_next().await {
                ended.unwrap();
            }
        })
        .await;
    }
}
