//! Large loads defer secondary indexes: they are dropped before the load and built after it (see [`indexes`]).
//!
//! They are deferred only if the load can complete: the node must return a block near its end. If a load stores nothing
//! for `defer_stalled_ms`, they are rebuilt, and that load does not defer them again.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{IngestError, Parts, stall::Stall, timeouts::STORE_TIMEOUT, writer::ChainWriter};
use chaincast_evm::chain::{NodeError, Work};
use chaincast_store::{
    StoreError,
    backend_probe::{self, BackendActivity},
    chain::indexes::{self, Building},
    writer::Writer,
};

/// Consecutive failed activity checks after which the database counts as unresponsive.
const MAX_FAILED_PROBES: u32 = 4;

/// A part of a load, from its first to its last block in load order.
#[derive(Debug, Clone, Copy)]
pub(super) struct LoadRange {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl LoadRange {
    fn blocks(self) -> u64 {
        self.first.abs_diff(self.last).saturating_add(1)
    }

    /// The block after seven eighths of the range: the last one may be too new for some providers.
    fn probe_block(self) -> u64 {
        let probe_block = self.first.abs_diff(self.last) / 8 * 7;
        match self.first <= self.last {
            true => self.first + probe_block,
            false => self.first - probe_block,
        }
    }
}

impl ChainWriter<'_> {
    /// Before a load: defers indexes if the load is large and can complete.
    pub(super) async fn begin_load(&mut self, ranges: &[LoadRange]) -> Result<(), IngestError> {
        let parts = self.parts;
        let planned = ranges.iter().map(|range| range.blocks());
        let planned = planned.fold(0, u64::saturating_add);
        let least = parts.store.loading().defer_indexes_blocks;
        let is_large = least > 0 && planned >= least;
        if !is_large || parts.stall.is_given_up() {
            return Ok(());
        }
        let stop = self.stop.clone();
        for range in ranges {
            let exists = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                exists = parts.has_block(range.probe_block()) => exists?,
            };
            if !exists {
                tracing::info!(
                    chain_id = parts.config.chain_id,
                    block = range.probe_block(),
                    "the node lacks a block below its head; the load does not defer indexes"
                );
                return Ok(());
            }
        }
        let chain_id = parts.config.chain_id;
        let deferring = indexes::defer(self.writer.connection(), chain_id, planned, least);
        if parts.within(STORE_TIMEOUT, deferring).await? {
            self.indexes_missing = true;
            parts.stall.defers(parts.progress.now().blocks);
        }
        Ok(())
    }

    /// After a load: builds the indexes that this load, or an interrupted one, deferred. Has no time limit; after `stop`
    /// the next start builds the rest.
    pub(super) async fn end_load(&mut self) -> Result<(), IngestError> {
        self.parts.stall.clear();
        self.build_indexes().await
    }

    /// After a failure: rebuilds the deferred indexes of a stalled load.
    pub(super) async fn restore_indexes_if_stalled(&mut self) -> Result<(), IngestError> {
        let parts = self.parts;
        if self.indexes_missing && parts.is_stalled(&parts.stall) {
            parts.stall.give_up();
            self.build_indexes().await?;
        }
        Ok(())
    }

    async fn build_indexes(&mut self) -> Result<(), IngestError> {
        if self.indexes_missing {
            let (parts, stop) = (self.parts, self.stop.clone());
            self.indexes_missing = parts.build_indexes(&mut self.writer, &stop).await?;
        }
        Ok(())
    }
}

impl Parts {
    fn is_stalled(&self, stall: &Stall) -> bool {
        let limit = self.store.loading().defer_stalled;
        stall.is_stalled(self.progress.now().blocks, limit)
    }

    /// As [`ChainWriter::restore_indexes_if_stalled`], while the writer cannot be opened because the node is unreachable.
    pub(super) async fn restore_indexes_offline(
        &self,
        writer: &mut Writer,
        stop: &CancellationToken,
    ) -> Result<(), IngestError> {
        if self.is_stalled(&self.start_stall) {
            self.build_indexes(writer, stop).await?;
        }
        Ok(())
    }

    /// Whether a node that serves history has a block at this height.
    async fn has_block(&self, number: u64) -> Result<bool, IngestError> {
        let found = self.node.attempt(Work::History, |node| async move {
            match node.at(number).await? {
                Some(block) if block.number == number => Ok(()),
                _ => Err(NodeError::Missing {
                    url: node.redacted_url(),
                    what: format!("block {number}"),
                }),
            }
        });
        match found.await {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.cause(), NodeError::Missing { .. }) => Ok(false),
            Err(error) => Err(self.node_failed(error)),
        }
    }

    /// Builds every deferred index, until `stop`. Returns whether some may still be missing.
    async fn build_indexes(
        &self,
        writer: &mut Writer,
        stop: &CancellationToken,
    ) -> Result<bool, IngestError> {
        let left = indexes::deferred(writer.connection());
        if self.within(STORE_TIMEOUT, left).await?.is_empty() {
            return Ok(false);
        }
        let pid = backend_probe::backend_pid(writer.connection());
        let process = self.within(STORE_TIMEOUT, pid).await?;
        let memory = self.store.loading().index_memory_bytes;
        tokio::select! {
            biased;
            // The connection is closed next, which makes Postgres cancel the build.
            () = stop.cancelled() => return Ok(true),
            built = indexes::restore(writer.connection(), memory, log_build) => built?,
            // The build fails with this timeout.
            timed_out = self.wait_until_silent(process) => return Err(timed_out),
        };
        // An index that another process is building may remain missing if that process is killed.
        let left = indexes::deferred(writer.connection());
        Ok(!self.within(STORE_TIMEOUT, left).await?.is_empty())
    }

    /// Returns when the given Postgres backend no longer works, so that its answer will not arrive, or when the database
    /// is unreachable. A build may take hours, so its duration is no criterion.
    async fn wait_until_silent(&self, process: i32) -> IngestError {
        let every = self.store.loading().index_watch;
        let check = || self.store.backend_activity(process);
        IngestError::Timeout {
            chain_id: self.config.chain_id,
            limit: until_idle(every, every.min(STORE_TIMEOUT), check).await,
        }
    }
}

/// Checks the backend at the interval `every`, each check limited to `timeout`. Returns, once the backend is idle or
/// unreachable, the time since it last worked.
pub(super) async fn until_idle<F>(
    every: Duration,
    timeout: Duration,
    mut check: impl FnMut() -> F,
) -> Duration
where
    F: Future<Output = Result<BackendActivity, StoreError>>,
{
    let (mut failed_probes, mut idle_since) = (0, None);
    let mut worked = Instant::now();
    loop {
        tokio::time::sleep(every).await;
        match tokio::time::timeout(timeout, check()).await {
            Ok(Ok(BackendActivity::Active)) => {
                (failed_probes, idle_since) = (0, None);
                worked = Instant::now();
            }
            // Between two statements it is idle for a moment, but not from one check to the next.
            Ok(Ok(BackendActivity::Idle { since })) if idle_since.as_ref() != Some(&since) => {
                (failed_probes, idle_since) = (0, Some(since));
            }
            Ok(Ok(BackendActivity::Idle { .. } | BackendActivity::Ended)) => {
                return worked.elapsed();
            }
            Ok(Err(_)) | Err(_) => {
                failed_probes += 1;
                if failed_probes == MAX_FAILED_PROBES {
                    return worked.elapsed();
                }
            }
        }
    }
}

fn log_build(building: Building) {
    tracing::info!(
        index = building.name,
        number = building.done + 1,
        of = building.of,
        "building a deferred index"
    );
}
