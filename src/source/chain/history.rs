//! A range of blocks from the nodes of a chain, handed over in order: fetched by several requests at once, within a
//! bound of memory.
//!
//! Promises that segments come in order without a hole, that each block passed the checks that are on, and that what
//! is on its way takes about `backfill_memory_bytes`, whatever the size of the blocks. That blocks are linked is left
//! to who takes them: the node may change its branch meanwhile.
//!
//! What is stored next is asked for first. A node that wants to be left alone is waited for only when no other can be
//! asked.

use std::{
    future::Future,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Backoff, ChainConfig, ChecksConfig, Chunk, NodeError, Providers, Work, chunk::Workers,
};
use crate::model::{ChainId, IndexMode, IndexedBlock};

/// Memory is counted in these.
const UNIT: usize = 1024;
/// About what a block takes before any was seen, in bytes of the node's answer.
const FIRST_GUESS: usize = 64 * 1024;
/// A segment of logs alone takes about this of the node's answers, in bytes.
const LOG_SEGMENT: usize = 2 * 1024 * 1024;
/// How often a request is tried when the node asks for less, or breaks off; then the error is told.
const ATTEMPTS: u32 = 6;
/// Blocks that do not come for this long are told of, and how far apart that is told.
const TOLD_AFTER: Duration = Duration::from_secs(3);
const TOLD_EVERY: Duration = Duration::from_secs(30);

/// Which way history is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the lowest block.
    Up,
    /// From the highest; within a segment blocks ascend all the same.
    Down,
}

/// Some consecutive blocks, ascending.
pub struct Segment {
    pub blocks: Vec<IndexedBlock>,
    /// About what they take in memory, in bytes.
    pub bytes: usize,
    /// What their fetching took, in order of its parts; see [`Chunk`].
    pub asked: Duration,
    pub queued: Duration,
    pub decoded: Duration,
    pub proven: Duration,
    /// Their share of the bound, held until they are stored.
    pub hold: Hold,
}

/// A share of the memory that history may take.
#[derive(Debug)]
pub struct Hold(#[expect(dead_code, reason = "its end gives the share back")] OwnedSemaphorePermit);

/// A range that is being fetched.
pub struct History {
    coming: mpsc::Receiver<Fetching>,
    /// What ended the last segment early.
    broken: Option<NodeError>,
    /// `None` once it is known how it ended.
    dispatching: Option<AbortOnDropHandle<()>>,
}

type Fetching = AbortOnDropHandle<Result<Fetched, NodeError>>;

/// A segment, or the begin of one with what kept the rest away.
struct Fetched {
    segment: Segment,
    broken: Option<NodeError>,
}

struct Source {
    chain_id: ChainId,
    providers: Arc<Providers>,
    direction: Direction,
    checks: ChecksConfig,
    workers: Workers,
    /// Bytes of the node's answer a block, lately.
    block_bytes: AtomicUsize,
    /// When it was last told that blocks do not come.
    told: Mutex<Option<Instant>>,
}

impl History {
    /// Begins to fetch a range that is not empty.
    pub fn start(
        providers: Arc<Providers>,
        config: &ChainConfig,
        range: RangeInclusive<u64>,
        direction: Direction,
    ) -> Self {
        let source = Arc::new(Source {
            chain_id: config.chain_id,
            providers,
            direction,
            checks: config.checks.of_history(),
            workers: Workers::new(),
            block_bytes: AtomicUsize::new(FIRST_GUESS),
            told: Mutex::new(None),
        });
        // What is not asked for yet waits here in order; what is, is bounded by the memory and by the nodes' limits.
        let (hand_over, coming) = mpsc::channel(config.concurrency.max(1));
        let units = config.backfill_memory_bytes / UNIT;
        let (index, request, range_most) = (
            config.index,
            config.request_blocks.max(1),
            config.log_range_blocks.max(1),
        );
        let dispatching = async move {
            let memory = Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS)));
            // Of logs alone blocks are small or large by their number: as many as take about the same.
            let size = || match index {
                IndexMode::Blocks => request as u64,
                _ => {
                    let block = source.block_bytes.load(Ordering::Relaxed).max(1);
                    (LOG_SEGMENT / block).clamp(1, range_most) as u64
                }
            };
            for (turn, (from, to)) in (0..).zip(segments(range, size, direction)) {
                // In order, so that the next to be handed over always has its share. Half at most: the rest of the
                // way holds less than the other half, and gives it back.
                let guess = (to - from + 1) as usize * source.block_bytes.load(Ordering::Relaxed);
                let share = (guess / UNIT).clamp(1, (units / 2).max(1));
                let share = u32::try_from(share).unwrap_or(u32::MAX);
                let Ok(hold) = memory.clone().acquire_many_owned(share).await else {
                    return;
                };
                // The place first: nothing is fetched that could not be handed over.
                let Ok(place) = hand_over.reserve().await else {
                    return;
                };
                let fetching = source.clone().segment(from, to, turn, hold);
                place.send(AbortOnDropHandle::new(tokio::spawn(fetching)));
            }
        };
        Self::of(coming, dispatching)
    }

    /// What comes from who dispatches it.
    fn of(
        coming: mpsc::Receiver<Fetching>,
        dispatching: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self {
            coming,
            broken: None,
            dispatching: Some(AbortOnDropHandle::new(tokio::spawn(dispatching))),
        }
    }

    /// The next segment; `None` after the last. After an error nothing sensible comes. A panic where it is fetched is
    /// one here, and no end.
    pub async fn next(&mut self) -> Option<Result<Segment, NodeError>> {
        if let Some(error) = self.broken.take() {
            return Some(Err(error));
        }
        let Some(fetching) = self.coming.recv().await else {
            if let Some(dispatching) = self.dispatching.take()
                && let Err(failed) = dispatching.await
                && failed.is_panic()
            {
                std::panic::resume_unwind(failed.into_panic());
            }
            return None;
        };
        match fetching.await {
            Ok(Ok(Fetched { segment, broken })) => {
                self.broken = broken;
                Some(Ok(segment))
            }
            Ok(Err(error)) => Some(Err(error)),
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Only a runtime that shuts down cancels it.
                Err(_) => None,
            },
        }
    }
}

/// The segments of a range, in the order of the walk.
fn segments(
    range: RangeInclusive<u64>,
    size: impl Fn() -> u64 + Send,
    direction: Direction,
) -> impl Iterator<Item = (u64, u64)> + Send {
    let (mut low, mut high) = (*range.start(), *range.end());
    let mut done = range.is_empty();
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let step = (size() - 1).min(high - low);
        done = step == high - low;
        Some(match direction {
            Direction::Up => {
                let from = low;
                low = low.saturating_add(step + 1);
                (from, from + step)
            }
            Direction::Down => {
                let to = high;
                high = high.saturating_sub(step + 1);
                (to - step, to)
            }
        })
    })
}

impl Source {
    async fn segment(
        self: Arc<Self>,
        from: u64,
        to: u64,
        turn: u64,
        mut hold: OwnedSemaphorePermit,
    ) -> Result<Fetched, NodeError> {
        let mut blocks = Vec::with_capacity((to - from + 1) as usize);
        let mut broken = None;
        let [mut asked, mut queued, mut decoded, mut proven] = [Duration::ZERO; 4];
        let mut next = from;
        while next <= to {
            let chunk = match self.chunk(next, to, turn).await {
                Ok(chunk) => chunk,
                // What lies below is stored all the same, where that is where it begins.
                Err(error) if self.direction == Direction::Up && !blocks.is_empty() => {
                    broken = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            };
            next += chunk.blocks.len() as u64;
            let each = chunk.raw_bytes / chunk.blocks.len().max(1);
            let known = self.block_bytes.load(Ordering::Relaxed);
            self.block_bytes
                .store((known * 7 + each) / 8 + 1, Ordering::Relaxed);
            asked += chunk.asked;
            queued += chunk.queued;
            decoded += chunk.decoded;
            proven += chunk.proven;
            blocks.extend(chunk.blocks);
        }
        let bytes: usize = blocks.iter().map(size_of_block).sum();
        // As decoded blocks, and once more encoded.
        let keep = (2 * bytes / UNIT).max(1);
        if let Some(rest) = hold.num_permits().checked_sub(keep) {
            drop(hold.split(rest));
        }
        let segment = Segment {
            blocks,
            bytes,
            asked,
            queued,
            decoded,
            proven,
            hold: Hold(hold),
        };
        Ok(Fetched { segment, broken })
    }

    /// Tries again what waiting for a moment may mend.
    async fn chunk(&self, from: u64, to: u64, turn: u64) -> Result<Chunk, NodeError> {
        let began = Instant::now();
        let mut backoff = Backoff::default();
        let mut attempt = 1;
        loop {
            let done = self
                .providers
                .attempt(Work::History, |node| {
                    node.chunk(from, to, self.checks, self.workers.clone(), turn)
                })
                .await;
            let error = match done {
                Ok(chunk) => return Ok(chunk),
                Err(error) => error,
            };
            let (asked, wait) = match error.cause() {
                // How long it is left alone is known when it is to be asked again; another may be asked before.
                NodeError::Throttled { .. } => (true, Duration::ZERO),
                cause if cause.is_outage() => (true, backoff.next_delay()),
                NodeError::Resting { wait, .. } if self.providers.count() > 1 => {
                    (false, backoff.next_delay().min(*wait))
                }
                NodeError::Resting { wait, .. } => (false, *wait),
                _ => return Err(error),
            };
            if asked && attempt == ATTEMPTS {
                return Err(error);
            }
            attempt += u32::from(asked);
            self.tell(&error, began.elapsed() + wait);
            tokio::time::sleep(wait).await;
        }
    }

    /// Says why blocks did not come for so long, if that is long.
    fn tell(&self, error: &NodeError, waited: Duration) {
        let mut told = self.told.lock();
        if waited < TOLD_AFTER || told.is_some_and(|told| told.elapsed() < TOLD_EVERY) {
            return;
        }
        *told = Some(Instant::now());
        tracing::warn!(chain_id = self.chain_id, %error, "history does not come now; trying on");
    }
}

/// About what a block takes in memory, in bytes.
fn size_of_block(block: &IndexedBlock) -> usize {
    let transactions: usize = block.transactions.iter().map(|sent| sent.input.len()).sum();
    let logs: usize = block
        .logs
        .iter()
        .map(|log| log.data.len() + 32 * log.topics.len())
        .sum();
    size_of::<IndexedBlock>()
        + transactions
        + size_of_val(block.transactions.as_slice())
        + logs
        + size_of_val(block.logs.as_slice())
        + size_of_val(block.transfers.as_slice())
}

#[cfg(test)]
mod tests;
