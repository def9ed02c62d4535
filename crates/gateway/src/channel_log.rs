//! The hub's view of the update log: channels that are not in memory, and history older than memory.

use std::{future::Future, pin::Pin, time::Duration};

use chaincast_bus::{Disconnect, Unacknowledged, UpdateLog};
use chaincast_protocol::{ChainHealth, ChainId, Channel, StaleSource, Update};

/// The update log could not be read. The caller logs the cause.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the update log: {0}")]
pub(crate) struct ChannelLogError(pub String);

/// The range of updates of one channel in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// Seq of the newest update; 0 when the channel never had one.
    pub newest: u64,
    /// Seq of the oldest update still stored; `newest + 1` when none is.
    pub oldest: u64,
}

pub(crate) type LogFuture<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, ChannelLogError>> + Send + 'a>>;

/// Reads the update log and keeps watches. Implemented by [`UpdateLog`]; a trait so that tests can replace it.
pub(crate) trait ChannelLog: Send + Sync {
    /// The epoch that all seqs belong to.
    fn epoch(&self) -> &str;

    fn span<'a>(&'a self, channel: &'a Channel) -> LogFuture<'a, Span>;

    /// Updates with `since < seq <= through`, in order, at most `limit`.
    fn between<'a>(
        &'a self,
        channel: &'a Channel,
        since: u64,
        through: u64,
        limit: u32,
    ) -> LogFuture<'a, Vec<Update>>;

    /// Watches channels whose updates are stored only while watched, for `seconds` from now. Returns each channel's seq
    /// when its watch began; `None` when `most` channels are watched already.
    fn watch<'a>(
        &'a self,
        channels: &'a [Channel],
        seconds: u64,
        most: u64,
    ) -> LogFuture<'a, Vec<Option<u64>>>;

    /// Shortens watches to `rest` that had no update and that no other client requested. Returns which ones.
    fn release_watches<'a>(
        &'a self,
        channels: &'a [Channel],
        rest: Duration,
    ) -> LogFuture<'a, Vec<bool>>;

    /// The snapshot for a new subscriber: the newest block or price, or the state of a transaction.
    fn snapshot<'a>(&'a self, channel: &'a Channel) -> LogFuture<'a, Option<Update>>;

    /// The newest `most` updates of a user's own channel that the user has not acknowledged.
    fn unacknowledged<'a>(&'a self, subject: &'a str, most: u32) -> LogFuture<'a, Unacknowledged>;

    /// Acknowledges deliveries of a user. Returns how many were not acknowledged before.
    fn acknowledge<'a>(&'a self, subject: &'a str, ids: &'a [i64]) -> LogFuture<'a, u64>;

    /// The subjects whose sessions must end, requested in the last `within`.
    fn disconnects(&self, within: Duration) -> LogFuture<'_, Vec<Disconnect>>;

    /// The health of each configured chain.
    fn chains(&self) -> LogFuture<'_, Vec<ChainHealth>>;

    /// The price sources whose newest tick is too old, that never had a tick, or whose chain is `down`.
    fn stale_sources<'a>(&'a self, down: &'a [ChainId]) -> LogFuture<'a, Vec<StaleSource>>;
}

fn failed(error: impl std::fmt::Display) -> ChannelLogError {
    ChannelLogError(error.to_string())
}

impl ChannelLog for UpdateLog {
    fn epoch(&self) -> &str {
        self.epoch()
    }

    fn span<'a>(&'a self, channel: &'a Channel) -> LogFuture<'a, Span> {
        Box::pin(async move {
            let extent = self.extent(channel).await.map_err(failed)?;
            Ok(Span {
                newest: extent.newest,
                oldest: extent.oldest,
            })
        })
    }

    fn between<'a>(
        &'a self,
        channel: &'a Channel,
        since: u64,
        through: u64,
        limit: u32,
    ) -> LogFuture<'a, Vec<Update>> {
        Box::pin(async move {
            UpdateLog::between(self, channel, since, through, limit)
                .await
                .map_err(failed)
        })
    }

    fn watch<'a>(
        &'a self,
        channels: &'a [Channel],
        seconds: u64,
        most: u64,
    ) -> LogFuture<'a, Vec<Option<u64>>> {
        Box::pin(async move {
            UpdateLog::watch(self, channels, seconds, most)
                .await
                .map_err(failed)
        })
    }

    fn release_watches<'a>(
        &'a self,
        channels: &'a [Channel],
        rest: Duration,
    ) -> LogFuture<'a, Vec<bool>> {
        Box::pin(async move {
            UpdateLog::release_watches(self, channels, rest)
                .await
                .map_err(failed)
        })
    }

    fn snapshot<'a>(&'a self, channel: &'a Channel) -> LogFuture<'a, Option<Update>> {
        Box::pin(async move { UpdateLog::snapshot(self, channel).await.map_err(failed) })
    }

    fn unacknowledged<'a>(&'a self, subject: &'a str, most: u32) -> LogFuture<'a, Unacknowledged> {
        Box::pin(async move {
            UpdateLog::unacknowledged(self, subject, most)
                .await
                .map_err(failed)
        })
    }

    fn acknowledge<'a>(&'a self, subject: &'a str, ids: &'a [i64]) -> LogFuture<'a, u64> {
        Box::pin(async move {
            UpdateLog::acknowledge(self, subject, ids)
                .await
                .map_err(failed)
        })
    }

    fn disconnects(&self, within: Duration) -> LogFuture<'_, Vec<Disconnect>> {
        Box::pin(async move { UpdateLog::disconnects(self, within).await.map_err(failed) })
    }

    fn chains(&self) -> LogFuture<'_, Vec<ChainHealth>> {
        Box::pin(async move { UpdateLog::chains(self).await.map_err(failed) })
    }

    fn stale_sources<'a>(&'a self, down: &'a [ChainId]) -> LogFuture<'a, Vec<StaleSource>> {
        Box::pin(async move { UpdateLog::stale_sources(self, down).await.map_err(failed) })
    }
}
