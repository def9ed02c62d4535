//! The feeds while this process writes prices: they run from the first time it holds the lock until another has it, so
//! that a venue is asked by one process alone. A database that is away does not stop them: their ticks wait.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::telemetry;
use crate::source::price::{Feed, TickSink};

/// What a feed has to take its leave of the venue; writers have a second in all.
const STOP_WITHIN: Duration = Duration::from_millis(500);
/// A feed that ended by itself is a bug of it; it must not take the others with it.
const RESTART_AFTER: Duration = Duration::from_secs(5);

/// Makes all feeds anew, in the same order each time.
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
    /// None runs before [`Self::start`].
    pub(super) fn new(make: MakeFeeds, sink: TickSink) -> Self {
        Self {
            make,
            sink,
            running: None,
        }
    }

    /// Instead of those that are configured.
    pub(super) fn replace(&mut self, make: MakeFeeds) {
        self.make = make;
    }

    pub(super) fn sink(&self) -> TickSink {
        self.sink.clone()
    }

    /// Starts them unless they run.
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

    /// Stops them, and waits for them a moment.
    pub(super) async fn stop(&mut self) {
        let Some(Running { stop, mut tasks }) = self.running.take() else {
            return;
        };
        stop.cancel();
        let ended = async { while tasks.join_next().await.is_some() {} };
        if timeout(STOP_WITHIN, ended).await.is_err() {
            tracing::warn!("a price feed did not stop in time and was cut off");
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
            "a price feed ended; it is started again"
        );
        telemetry::feed_restarted(&name);
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(RESTART_AFTER) => {}
        }
        // The same configuration makes the same feeds.
        let Some(again) = make().into_iter().nth(position) else {
            return;
        };
        feed = again;
    }
}
