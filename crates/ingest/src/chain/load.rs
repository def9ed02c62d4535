//! Prepares many blocks for the writer: takes them from [`BlockRange`] in order, checks their links, gathers them into
//! batches and encodes these concurrently with the writer, which only waits for Postgres.

use std::{future::Future, mem, ops::RangeInclusive, sync::Arc, time::Instant};

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{Parts, progress::Progress};
use chaincast_evm::chain::{BlockRange, Direction, MemoryPermit, NodeError, Segment};
use chaincast_model::IndexedBlock;
use chaincast_protocol::{B256, BlockRef, ChainId};
use chaincast_store::{StoreError, chain::Batch};

/// A batch is full at this share of `backfill_memory_bytes`.
const BATCH_SHARE: usize = 4;

/// The blocks of one transaction, encoded.
pub(super) struct ReadyBatch {
    pub(super) blocks: Vec<IndexedBlock>,
    pub(super) batch: Batch,
    /// Memory reservations, released after the blocks are stored.
    _permits: Vec<MemoryPermit>,
}

impl ReadyBatch {
    /// Frees the stored blocks in the background: it takes a tenth of the time of a load.
    pub(super) fn free(self) {
        tokio::task::spawn_blocking(move || drop(self));
    }
}

/// Why a load ends before the end of its range.
pub(super) enum LoadError {
    Node(NodeError),
    /// This block does not link to the stored chain, or to the blocks before it.
    Unlinked(BlockRef),
    Store(StoreError),
}

/// A range of blocks that is being prepared for the writer.
pub(super) struct Load {
    ready: mpsc::Receiver<Result<ReadyBatch, LoadError>>,
    progress: Arc<Progress>,
    /// `None` once its result was taken.
    gathering: Option<AbortOnDropHandle<()>>,
}

impl Load {
    /// Starts to load a range, which must not be empty. Upwards, `link` is the hash of the block below it, if known;
    /// downwards, the parent hash of the block above it.
    pub(super) fn start(
        parts: &Parts,
        range: RangeInclusive<u64>,
        direction: Direction,
        link: Option<B256>,
    ) -> Self {
        let config = &parts.config;
        // One batch is queued while the writer stores another and a third is gathered.
        let (sender, ready) = mpsc::channel(1);
        let gather = Gatherer {
            chain_id: config.chain_id,
            direction,
            link,
            batch_blocks: config.batch_blocks.max(1),
            batch_bytes: config.backfill_memory_bytes / BATCH_SHARE / 2,
            gathered: Vec::new(),
            count: 0,
            bytes: 0,
            progress: parts.progress.clone(),
            sender,
        };
        let history = BlockRange::start(parts.node.clone(), config, range, direction);
        Self::from_receiver(ready, parts.progress.clone(), async move {
            // It ends early only when the receiver is dropped.
            gather.run(history).await;
        })
    }

    /// Receives batches from the task `gathering`.
    fn from_receiver(
        ready: mpsc::Receiver<Result<ReadyBatch, LoadError>>,
        progress: Arc<Progress>,
        gathering: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self {
            ready,
            progress,
            gathering: Some(AbortOnDropHandle::new(tokio::spawn(gathering))),
        }
    }

    /// The blocks of the next transaction; `None` at the end of the range. A panic in the gathering task is resumed
    /// here.
    pub(super) async fn next(&mut self) -> Option<Result<ReadyBatch, LoadError>> {
        let began = Instant::now();
        let next = self.ready.recv().await;
        self.progress.starved(began.elapsed());
        if next.is_none()
            && let Some(gathering) = self.gathering.take()
            && let Err(failed) = gathering.await
            && failed.is_panic()
        {
            std::panic::resume_unwind(failed.into_panic());
        }
        next
    }
}

struct Gatherer {
    chain_id: ChainId,
    direction: Direction,
    link: Option<B256>,
    batch_blocks: usize,
    batch_bytes: usize,
    /// In load order.
    gathered: Vec<Segment>,
    count: usize,
    bytes: usize,
    progress: Arc<Progress>,
    sender: mpsc::Sender<Result<ReadyBatch, LoadError>>,
}

impl Gatherer {
    async fn run(mut self, mut history: BlockRange) -> Option<()> {
        while let Some(segment) = history.next().await {
            let mut segment = match segment {
                Ok(segment) => segment,
                Err(error) => return self.fail(LoadError::Node(error)).await,
            };
            self.progress.fetched(&segment);
            if let Some(unlinked) = self.first_unlinked(&mut segment) {
                if !segment.blocks.is_empty() {
                    self.gathered.push(segment);
                }
                return self.fail(LoadError::Unlinked(unlinked)).await;
            }
            self.count += segment.blocks.len();
            self.bytes += segment.bytes;
            self.gathered.push(segment);
            if self.count >= self.batch_blocks || self.bytes >= self.batch_bytes {
                self.flush().await?;
            }
        }
        self.flush().await
    }

    /// Removes the unlinked blocks and returns the first one. Downwards, a segment is linked as a whole or not at all.
    fn first_unlinked(&mut self, segment: &mut Segment) -> Option<BlockRef> {
        match self.direction {
            Direction::Up => {
                for (at, block) in segment.blocks.iter().enumerate() {
                    if self
                        .link
                        .is_some_and(|below| below != block.header.parent_hash)
                    {
                        let unlinked = block.block_ref();
                        segment.blocks.truncate(at);
                        return Some(unlinked);
                    }
                    self.link = Some(block.header.hash);
                }
            }
            Direction::Down => {
                for block in segment.blocks.iter().rev() {
                    if self.link.is_some_and(|child| child != block.header.hash) {
                        let unlinked = block.block_ref();
                        segment.blocks.clear();
                        return Some(unlinked);
                    }
                    self.link = Some(block.header.parent_hash);
                }
            }
        }
        None
    }

    /// Flushes the linked blocks, then ends the load with an error.
    async fn fail(&mut self, fail: LoadError) -> Option<()> {
        self.flush().await?;
        self.sender.send(Err(fail)).await.ok()
    }

    /// Encodes the gathered blocks on a blocking thread, and sends them.
    async fn flush(&mut self) -> Option<()> {
        let mut segments = mem::take(&mut self.gathered);
        (self.count, self.bytes) = (0, 0);
        if self.direction == Direction::Down {
            segments.reverse();
        }
        let mut blocks = Vec::with_capacity(segments.iter().map(|part| part.blocks.len()).sum());
        let mut permits = Vec::with_capacity(segments.len());
        for segment in segments {
            blocks.extend(segment.blocks);
            permits.push(segment.memory);
        }
        if blocks.is_empty() {
            return Some(());
        }
        let chain_id = self.chain_id;
        let encoding = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let batch = Batch::encode(chain_id, &blocks);
            (batch, blocks, began.elapsed())
        });
        let (batch, blocks, took) = match encoding.await {
            Ok(encoded) => encoded,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Only a runtime shutdown cancels the task, and then the result is not needed.
                Err(_) => return None,
            },
        };
        self.progress.encoded(took);
        let ready = batch.map_err(LoadError::Store).map(|batch| ReadyBatch {
            blocks,
            batch,
            _permits: permits,
        });
        self.sender.send(ready).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn load_resumes_panic_of_gatherer() {
        let (sender, ready) = mpsc::channel(1);
        let mut load = Load::from_receiver(ready, Arc::default(), async move {
            drop(sender);
            panic!("boom");
        });
        let next = tokio::spawn(async move { load.next().await.is_none() });
        assert!(next.await.unwrap_err().is_panic());
    }

    #[tokio::test]
    async fn load_stays_ended_after_its_range() {
        let (sender, ready) = mpsc::channel(1);
        let mut load = Load::from_receiver(ready, Arc::default(), async move { drop(sender) });
        assert!(load.next().await.is_none());
        assert!(load.next().await.is_none());
    }
}
