//! Runs the feeds while this process writes prices: from the first time it holds the lock until another process has it, so
//! that only one process connects to a venue. An unreachable database does not stop them: their ticks are queued.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::telemetry;
use chaincast_prices::{Feed, TickSink};

/// Time for a feed to close its venue connection; writers have one second in total.
const STOP_WITHIN: Duration = Duration::from_millis(500);
/// Delay before a feed that ended by itself is restarted. That is a bug of the feed, and must not affect the others.
const RESTART_AFTER: Duration = Duration::from_secs(5);

/// Creates all feeds, in the same order on each call.
pub(super) type MakeFeeds = Arc<dyn Fn() -> Vec<Box<dyn Feed>> + Send + Sync>;

pub(super) struct Feeds {
    make: MakeFeeds,
    sink: TickSink,
    running: Option<Running>,
}

struct Running {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Feeds {
    /// No feed runs before [`Self::start`].
    pub(super) fn new(make: MakeFeeds, sink: TickSink) -> Self {
        Self {
            make,
            sink,
            running: None,
        }
    }

    /// Replaces the configured feeds.
    pub(super) fn replace(&mut self, make: MakeFeeds) {
        self.make = make;
    }

    pub(super) fn sink(&self) -> TickSink {
        self.sink.clone()
    }

    /// Starts the feeds unless they are running.
    pub(super) fn start(&mut self) {
        if self.running.is_some() {
            return;
        }
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for (position, feed) in (self.make)().into_iter().enumerate() {
            let (make, sink) = (self.make.clone(), self.sink.clone());
            tasks.spawn(keep_running(make, position, feed, sink, stop.clone()));
        }
        self.running = Some(Running { stop, tasks });
    }

    /// Stops the feeds; aborts those that do not end in time.
    pub(super) async fn stop(&mut self) {
        let Some(Running { stop, mut tasks }) = self.running.take() else {
            return;
        };
        stop.cancel();
        let ended = async { while tasks.join_next().await.is_some() {} };
        if timeout(STOP_WITHIN, ended).await.is_err() {
            tracing::warn!("a price feed did not stop in time and was aborted");
        }
    }
}

async fn keep_running(
    make: MakeFeeds,
    position: usize,
    mut feed: Box<dyn Feed>,
    sink: TickSink,
    stop: CancellationToken,
) {
    loop {
        let name = feed.name().to_owned();
        let run = AssertUnwindSafe(feed.run(sink.clone(), stop.clone()));
        let ended = run.catch_unwind().await;
        if stop.is_cancelled() {
            return;
        }
        let panicked = ended.is_err();
        tracing::error!(
            feed = name,
            panicked,
            "a price feed ended unexpectedly; restarting it"
        );
        telemetry::feed_restarted(&name);
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(RESTART_AFTER) => {}
        }
        // The same configuration creates the same feeds.
        let Some(again) = make().into_iter().nth(position) else {
            return;
        };
        feed = again;
    }
}
