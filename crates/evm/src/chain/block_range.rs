//! Fetches a range of blocks from the providers of a chain, returned in order: several requests run in parallel within
//! a memory bound.
//!
//! Promises that segments are ordered and without holes, that each block passed the enabled checks, and that pending
//! blocks of any size take about `backfill_memory_bytes`. The caller checks that blocks are linked: the node may switch
//! branches meanwhile.
//!
//! The next blocks to store are requested first. A resting node is awaited only if no other is available.

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
    ChainConfig, ChecksConfig, Chunk, NODE_BACKOFF, NodeError, Providers, Work, workers::Workers,
};
use chaincast_base::telemetry::log_limit::LogLimit;
use chaincast_model::{IndexMode, IndexedBlock};
use chaincast_protocol::ChainId;

/// Unit of memory accounting, in bytes.
const UNIT: usize = 1024;
/// Assumed answer bytes of one block before the first is measured.
const FIRST_GUESS: usize = 64 * 1024;
/// Target answer size of a segment with logs only, in bytes.
const LOG_SEGMENT: usize = 2 * 1024 * 1024;
/// Attempts of a request that is throttled or broken; then the error is returned.
const ATTEMPTS: u32 = 6;
/// A delay is logged after this long, and repeated at this interval.
const LOG_AFTER: Duration = Duration::from_secs(3);
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// Direction of the walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the lowest block up.
    Up,
    /// From the highest block down; blocks within a segment still ascend.
    Down,
}

/// Some consecutive blocks, ascending.
pub struct Segment {
    /// In ascending order.
    pub blocks: Vec<IndexedBlock>,
    /// Approximate memory, in bytes.
    pub bytes: usize,
    /// Time of all requests.
    pub request_time: Duration,
    /// Time in the queues of the worker threads.
    pub queue_time: Duration,
    /// Time of parsing JSON and building rows, on worker threads.
    pub decode_time: Duration,
    /// Time of the enabled checks, on worker threads.
    pub check_time: Duration,
    /// Their share of the memory bound, held until they are stored.
    pub memory: MemoryPermit,
}

/// A share of the memory bound of history.
#[derive(Debug)]
pub struct MemoryPermit(
    #[expect(dead_code, reason = "releases its share on drop")] OwnedSemaphorePermit,
);

/// A range of blocks that is being fetched.
pub struct BlockRange {
    segments_rx: mpsc::Receiver<SegmentTask>,
    /// The error that ended the last segment early.
    tail_error: Option<NodeError>,
    /// `None` after its end was observed.
    dispatcher: Option<AbortOnDropHandle<()>>,
}

type SegmentTask = AbortOnDropHandle<Result<FetchedSegment, NodeError>>;

/// A segment, or its first part with the error that ended it.
struct FetchedSegment {
    segment: Segment,
    tail_error: Option<NodeError>,
}

struct SegmentFetcher {
    chain_id: ChainId,
    providers: Arc<Providers>,
    direction: Direction,
    checks: ChecksConfig,
    workers: Workers,
    /// Recent answer bytes per block.
    block_bytes: AtomicUsize,
    /// Limits log lines about delays.
    delay_log: Mutex<LogLimit>,
}

impl BlockRange {
    /// Starts to fetch a range that is not empty.
    pub fn start(
        providers: Arc<Providers>,
        config: &ChainConfig,
        range: RangeInclusive<u64>,
        direction: Direction,
    ) -> Self {
        let source = Arc::new(SegmentFetcher {
            chain_id: config.chain_id,
            providers,
            direction,
            checks: config.checks.for_history(),
            workers: Workers::new(),
            block_bytes: AtomicUsize::new(FIRST_GUESS),
            delay_log: Mutex::new(LogLimit::new(1, LOG_INTERVAL)),
        });
        // Pending segments queue here in order; running ones are bounded by memory and by the limits of the nodes.
        let (segments_tx, segments_rx) = mpsc::channel(config.concurrency.max(1));
        let units = config.backfill_memory_bytes / UNIT;
        let (index, request, max_range) = (
            config.index,
            config.request_blocks.max(1),
            config.log_range_blocks.max(1),
        );
        let dispatcher = async move {
            let memory = Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS)));
            // With logs only, segment lengths follow the block size, for about the same bytes each.
            let size = || match index {
                IndexMode::Blocks => request as u64,
                _ => {
                    let block = source.block_bytes.load(Ordering::Relaxed).max(1);
                    (LOG_SEGMENT / block).clamp(1, max_range) as u64
                }
            };
            for (turn, (from, to)) in (0..).zip(segments(range, size, direction)) {
                // In order, so that the next segment always gets its share. At most half: the running segments hold
                // less than the other half, and release it.
                let guess = (to - from + 1) as usize * source.block_bytes.load(Ordering::Relaxed);
                let share = (guess / UNIT).clamp(1, (units / 2).max(1));
                let share = u32::try_from(share).unwrap_or(u32::MAX);
                let Ok(permit) = memory.clone().acquire_many_owned(share).await else {
                    return;
                };
                // Reserve the slot first: nothing is fetched that cannot be delivered.
                let Ok(place) = segments_tx.reserve().await else {
                    return;
                };
                let fetching = source.clone().segment(from, to, turn, permit);
                place.send(AbortOnDropHandle::new(tokio::spawn(fetching)));
            }
        };
        Self::of(segments_rx, dispatcher)
    }

    /// Creates a range from a dispatcher task.
    fn of(
        segments_rx: mpsc::Receiver<SegmentTask>,
        dispatcher: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self {
            segments_rx,
            tail_error: None,
            dispatcher: Some(AbortOnDropHandle::new(tokio::spawn(dispatcher))),
        }
    }

    /// The next segment; `None` after the last. After an error the range is unusable. A panic in a fetch task resumes
    /// here.
    pub async fn next(&mut self) -> Option<Result<Segment, NodeError>> {
        if let Some(error) = self.tail_error.take() {
            return Some(Err(error));
        }
        let Some(fetching) = self.segments_rx.recv().await else {
            if let Some(dispatcher) = self.dispatcher.take()
                && let Err(failed) = dispatcher.await
                && failed.is_panic()
            {
                std::panic::resume_unwind(failed.into_panic());
            }
            return None;
        };
        match fetching.await {
            Ok(Ok(FetchedSegment {
                segment,
                tail_error,
            })) => {
                self.tail_error = tail_error;
                Some(Ok(segment))
            }
            Ok(Err(error)) => Some(Err(error)),
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Canceled only at runtime shutdown.
                Err(_) => None,
            },
        }
    }
}

/// The bounds of the segments of a range, in the order of the walk.
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

impl SegmentFetcher {
    async fn segment(
        self: Arc<Self>,
        from: u64,
        to: u64,
        turn: u64,
        mut permit: OwnedSemaphorePermit,
    ) -> Result<FetchedSegment, NodeError> {
        let mut blocks = Vec::with_capacity((to - from + 1) as usize);
        let mut tail_error = None;
        let [
            mut request_time,
            mut queue_time,
            mut decode_time,
            mut check_time,
        ] = [Duration::ZERO; 4];
        let mut next = from;
        while next <= to {
            let chunk = match self.chunk(next, to, turn).await {
                Ok(chunk) => chunk,
                // Upwards, the blocks before the error are still stored.
                Err(error) if self.direction == Direction::Up && !blocks.is_empty() => {
                    tail_error = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            };
            next += chunk.blocks.len() as u64;
            let each = chunk.raw_bytes / chunk.blocks.len().max(1);
            let known = self.block_bytes.load(Ordering::Relaxed);
            self.block_bytes
                .store((known * 7 + each) / 8 + 1, Ordering::Relaxed);
            request_time += chunk.request_time;
            queue_time += chunk.queue_time;
            decode_time += chunk.decode_time;
            check_time += chunk.check_time;
            blocks.extend(chunk.blocks);
        }
        let bytes: usize = blocks.iter().map(size_of_block).sum();
        // Decoded blocks plus their encoded form.
        let keep = (2 * bytes / UNIT).max(1);
        if let Some(rest) = permit.num_permits().checked_sub(keep) {
            drop(permit.split(rest));
        }
        let segment = Segment {
            blocks,
            bytes,
            request_time,
            queue_time,
            decode_time,
            check_time,
            memory: MemoryPermit(permit),
        };
        Ok(FetchedSegment {
            segment,
            tail_error,
        })
    }

    /// Retries transient errors.
    async fn chunk(&self, from: u64, to: u64, turn: u64) -> Result<Chunk, NodeError> {
        let began = Instant::now();
        let mut backoff = NODE_BACKOFF;
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
            let (attempted, wait) = match error.cause() {
                // The provider enforces the pause at the next request; another one may be used before.
                NodeError::Throttled { .. } => (true, Duration::ZERO),
                cause if cause.is_outage() => (true, backoff.next_delay()),
                NodeError::Resting { wait, .. } if self.providers.count() > 1 => {
                    (false, backoff.next_delay().min(*wait))
                }
                NodeError::Resting { wait, .. } => (false, *wait),
                _ => return Err(error),
            };
            if attempted && attempt == ATTEMPTS {
                return Err(error);
            }
            attempt += u32::from(attempted);
            self.log_delay(&error, began.elapsed() + wait);
            tokio::time::sleep(wait).await;
        }
    }

    /// Logs why blocks are delayed, at intervals.
    fn log_delay(&self, error: &NodeError, waited: Duration) {
        if waited >= LOG_AFTER && self.delay_log.lock().is_due("delay") {
            tracing::warn!(chain_id = self.chain_id, %error, "cannot fetch history; retrying");
        }
    }
}

/// Approximate memory of a block, in bytes.
fn size_of_block(block: &IndexedBlock) -> usize {
    let transactions: usize = block.transactions.iter().map(|tx| tx.input.len()).sum();
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
