//! What the hub asks of the committed log: channels that are not in memory, and history older than memory.

use std::{future::Future, pin::Pin, time::Duration};

use crate::{
    bus::{History, StaleSource, Unacknowledged},
    model::{ChainHealth, ChainId, Channel, Update},
};

/// The log could not be read; the cause is logged by whoever asked.
#[derive(Debug, thiserror::Error)]
#[error("the history cannot be read: {0}")]
pub struct PastError(pub String);

/// What the log holds of one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Seq of the newest update; 0 when there never was one.
    pub newest: u64,
    /// Seq of the oldest update that can still be read; `newest + 1` when none can.
    pub oldest: u64,
}

pub type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, PastError>> + Send + 'a>>;

/// The committed log as the hub sees it. [`History`] is the real one.
pub trait Past: Send + Sync {
    /// The id under which seqs mean something.
    fn epoch(&self) -> &str;

    fn span<'a>(&'a self, channel: &'a Channel) -> Asked<'a, Span>;

    /// Updates with `since < seq <= through`, in order, at most `limit`.
    fn between<'a>(
        &'a self,
        channel: &'a Channel,
        since: u64,
        through: u64,
        limit: u32,
    ) -> Asked<'a, Vec<Update>>;

    /// Has updates stored of channels that are stored only while somebody listens, for `seconds` from now. Where each
    /// of them stood when that began; `None` when `most` are watched already.
    fn watch<'a>(
        &'a self,
        channels: &'a [Channel],
        seconds: u64,
        most: u64,
    ) -> Asked<'a, Vec<Option<u64>>>;

    /// Lets watches end after `rest` that had no update and that nobody but this log's own readers asked for; which of
    /// them.
    fn let_go<'a>(&'a self, channels: &'a [Channel], rest: Duration) -> Asked<'a, Vec<bool>>;

    /// What a new subscriber is shown: the newest block or price, or the state of a transaction.
    fn snapshot<'a>(&'a self, channel: &'a Channel) -> Asked<'a, Option<Update>>;

    /// What a user has not acknowledged of the own channel, the newest `most` of it.
    fn unacknowledged<'a>(&'a self, subject: &'a str, most: u32) -> Asked<'a, Unacknowledged>;

    /// Notes that a user has these; how many of them were not acknowledged before.
    fn acknowledge<'a>(&'a self, subject: &'a str, ids: &'a [i64]) -> Asked<'a, u64>;

    /// How each configured chain does.
    fn chains(&self) -> Asked<'_, Vec<ChainHealth>>;

    /// The price sources whose newest tick is too old to be used, that never gave one, or whose chain is `down`.
    fn stale_sources<'a>(&'a self, down: &'a [ChainId]) -> Asked<'a, Vec<StaleSource>>;
}

fn failed(error: impl std::fmt::Display) -> PastError {
    PastError(error.to_string())
}

impl Past for History {
    fn epoch(&self) -> &str {
        self.epoch()
    }

    fn span<'a>(&'a self, channel: &'a Channel) -> Asked<'a, Span> {
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
    ) -> Asked<'a, Vec<Update>> {
        Box::pin(async move {
            History::between(self, channel, since, through, limit)
                .await
                .map_err(failed)
        })
    }

    fn watch<'a>(
        &'a self,
        channels: &'a [Channel],
        seconds: u64,
        most: u64,
    ) -> Asked<'a, Vec<Option<u64>>> {
        Box::pin(async move {
            History::watch(self, channels, seconds, most)
                .await
                .map_err(failed)
        })
    }

    fn let_go<'a>(&'a self, channels: &'a [Channel], rest: Duration) -> Asked<'a, Vec<bool>> {
        Box::pin(async move { History::let_go(self, channels, rest).await.map_err(failed) })
    }

    fn snapshot<'a>(&'a self, channel: &'a Channel) -> Asked<'a, Option<Update>> {
        Box::pin(async move { History::snapshot(self, channel).await.map_err(failed) })
    }

    fn unacknowledged<'a>(&'a self, subject: &'a str, most: u32) -> Asked<'a, Unacknowledged> {
        Box::pin(async move {
            History::unacknowledged(self, subject, most)
                .await
                .map_err(failed)
        })
    }

    fn acknowledge<'a>(&'a self, subject: &'a str, ids: &'a [i64]) -> Asked<'a, u64> {
        Box::pin(async move {
            History::acknowledge(self, subject, ids)
                .await
                .map_err(failed)
        })
    }

    fn chains(&self) -> Asked<'_, Vec<ChainHealth>> {
        Box::pin(async move { History::chains(self).await.map_err(failed) })
    }

    fn stale_sources<'a>(&'a self, down: &'a [ChainId]) -> Asked<'a, Vec<StaleSource>> {
        Box::pin(async move { History::stale_sources(self, down).await.map_err(failed) })
    }
}
