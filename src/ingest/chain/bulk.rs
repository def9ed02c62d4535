//! Large loads leave secondary indexes out and build them after it (see [`indexes`]).
//!
//! They are left out only of a load that can end: the node has shown a block far along it. A load that stores nothing
//! for `defer_stalled_ms` gets them back, and leaves none out again before it is done.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    IngestError, Parts,
    session::{PATIENCE, Session},
};
use crate::{
    source::chain::{NodeError, Work},
    store::{
        StoreError,
        backend::{self, Doing},
        chain::indexes::{self, Building},
        writer::Writer,
    },
};

/// A database that cannot be looked at so many times in a row is taken for gone.
const UNSEEN: u32 = 4;

/// A part of a load, from its first block to its last in the order of the walk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Way {
    fn blocks(self) -> u64 {
        self.first.abs_diff(self.last).saturating_add(1)
    }

    /// The block after seven eighths of it: the very last may be so new that not every provider has it.
    fn far(self) -> u64 {
        let far = self.first.abs_diff(self.last) / 8 * 7;
        match self.first <= self.last {
            true => self.first + far,
            false => self.first - far,
        }
    }
}

/// How the load of a chain gets on, from one session to the next.
#[derive(Debug, Default)]
pub(super) struct Stall(Mutex<Option<Underway>>);

#[derive(Debug)]
struct Underway {
    /// Stored when it last got on, and when that was.
    blocks: u64,
    at: Instant,
    /// It leaves indexes out, or did and has them back.
    defers: bool,
    given_up: bool,
}

impl Stall {
    /// Whether nothing was stored for `limit`, since a load began or since this is asked.
    fn is_over(&self, blocks: u64, limit: Duration) -> bool {
        let mut state = self.0.lock();
        let load = Self::underway(&mut state, blocks);
        if load.blocks != blocks {
            (load.blocks, load.at) = (blocks, Instant::now());
        }
        load.at.elapsed() >= limit
    }

    /// From now on it leaves indexes out, if it did not before.
    fn defers(&self, blocks: u64) {
        let mut state = self.0.lock();
        let load = Self::underway(&mut state, blocks);
        if !load.defers {
            (load.defers, load.at) = (true, Instant::now());
        }
    }

    fn give_up(&self) {
        if let Some(load) = self.0.lock().as_mut() {
            load.given_up = true;
        }
    }

    fn is_given_up(&self) -> bool {
        self.0.lock().as_ref().is_some_and(|load| load.given_up)
    }

    fn underway(state: &mut Option<Underway>, blocks: u64) -> &mut Underway {
        state.get_or_insert_with(|| Underway {
            blocks,
            at: Instant::now(),
            defers: false,
            given_up: false,
        })
    }

    /// Nothing is left to load, or to wait for.
    pub(super) fn ended(&self) {
        *self.0.lock() = None;
    }
}

impl Session<'_> {
    /// Ahead of a load: leaves indexes out when that is worthwhile and safe, and the load can end.
    pub(super) async fn begin_load(&mut self, ways: &[Way]) -> Result<(), IngestError> {
        let parts = self.parts;
        let coming = ways.iter().map(|way| way.blocks());
        let coming = coming.fold(0, u64::saturating_add);
        let least = parts.store.loading().defer_indexes_blocks;
        let is_large = least > 0 && coming >= least;
        if !is_large || parts.stall.is_given_up() {
            return Ok(());
        }
        let stop = self.stop.clone();
        for way in ways {
            let shown = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                shown = parts.is_there(way.far()) => shown?,
            };
            if !shown {
                tracing::info!(
                    chain_id = parts.config.chain_id,
                    block = way.far(),
                    "the node does not show a block that lies before its head: a large load keeps its indexes"
                );
                return Ok(());
            }
        }
        let chain_id = parts.config.chain_id;
        let deferring = indexes::defer(self.writer.connection(), chain_id, coming, least);
        if parts.within(PATIENCE, deferring).await? {
            self.indexes_missing = true;
            parts.stall.defers(parts.progress.now().blocks);
        }
        Ok(())
    }

    /// With nothing large left to load: builds what this load, or one that was killed, left out. It takes the time
    /// that it takes; `stop` leaves the rest to the next start.
    pub(super) async fn end_load(&mut self) -> Result<(), IngestError> {
        self.parts.stall.ended();
        self.build_indexes().await
    }

    /// After a failure: builds what a load left out that has stored nothing for too long.
    pub(super) async fn regain_indexes(&mut self) -> Result<(), IngestError> {
        let parts = self.parts;
        if self.indexes_missing && parts.is_over(&parts.stall) {
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
    fn is_over(&self, stall: &Stall) -> bool {
        let limit = self.store.loading().defer_stalled;
        stall.is_over(self.progress.now().blocks, limit)
    }

    /// As [`Session::regain_indexes`], where a session cannot be opened as the node is away.
    pub(super) async fn regain_meanwhile(
        &self,
        writer: &mut Writer,
        stop: &CancellationToken,
    ) -> Result<(), IngestError> {
        if self.is_over(&self.away) {
            self.build_indexes(writer, stop).await?;
        }
        Ok(())
    }

    /// Whether some node that does history has a block at this height.
    async fn is_there(&self, number: u64) -> Result<bool, IngestError> {
        let asked = self.node.attempt(Work::History, |node| async move {
            match node.at(number).await? {
                Some(block) if block.number == number => Ok(()),
                _ => Err(NodeError::Missing {
                    url: node.shown_url(),
                    what: format!("block {number}"),
                }),
            }
        });
        match asked.await {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.cause(), NodeError::Missing { .. }) => Ok(false),
            Err(error) => Err(self.node_failed(error)),
        }
    }

    /// Builds every index that is left out, until `stop`. Returns whether some may be missing still.
    async fn build_indexes(
        &self,
        writer: &mut Writer,
        stop: &CancellationToken,
    ) -> Result<bool, IngestError> {
        let left = indexes::deferred(writer.connection());
        if self.within(PATIENCE, left).await?.is_empty() {
            return Ok(false);
        }
        let asked = backend::process_of(writer.connection());
        let process = self.within(PATIENCE, asked).await?;
        let memory = self.store.loading().index_memory_bytes;
        tokio::select! {
            biased;
            // The connection is closed next, upon which Postgres gives up.
            () = stop.cancelled() => return Ok(true),
            built = indexes::restore(writer.connection(), memory, tell) => built?,
            // So it is then.
            silent = self.silence(process) => return Err(silent),
        };
        // Those that another writer is building now may be left when it is killed.
        let left = indexes::deferred(writer.connection());
        Ok(!self.within(PATIENCE, left).await?.is_empty())
    }

    /// Ends when the database no longer works for the connection of this server process, so that its answer will not
    /// come, or cannot be asked any more. A build may take hours, so that its own time says nothing.
    async fn silence(&self, process: i32) -> IngestError {
        let every = self.store.loading().index_watch;
        let look = || self.store.doing(process);
        IngestError::Silent {
            chain_id: self.config.chain_id,
            limit: until_silent(every, every.min(PATIENCE), look).await,
        }
    }
}

/// Looks every so often, each time no longer than `patience`; returns for how long no work was seen in the end.
pub(super) async fn until_silent<F>(
    every: Duration,
    patience: Duration,
    mut look: impl FnMut() -> F,
) -> Duration
where
    F: Future<Output = Result<Doing, StoreError>>,
{
    let (mut unseen, mut idle_since) = (0, None);
    let mut worked = Instant::now();
    loop {
        tokio::time::sleep(every).await;
        match tokio::time::timeout(patience, look()).await {
            Ok(Ok(Doing::Work)) => {
                (unseen, idle_since) = (0, None);
                worked = Instant::now();
            }
            // Between two statements it does nothing for a moment, but not from one look to the next.
            Ok(Ok(Doing::Nothing { since })) if idle_since.as_ref() != Some(&since) => {
                (unseen, idle_since) = (0, Some(since));
            }
            Ok(Ok(Doing::Nothing { .. } | Doing::Gone)) => return worked.elapsed(),
            Ok(Err(_)) | Err(_) => {
                unseen += 1;
                if unseen == UNSEEN {
                    return worked.elapsed();
                }
            }
        }
    }
}

fn tell(building: Building) {
    tracing::info!(
        index = building.name,
        number = building.done + 1,
        of = building.of,
        "building an index that a large load left out"
    );
}
