//! Many blocks on their way to the writer: taken from [`History`] in order, linked, gathered into transactions and
//! encoded beside the writer, which only waits for Postgres.

use std::{future::Future, mem, ops::RangeInclusive, sync::Arc, time::Instant};

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{Parts, progress::Progress};
use crate::{
    model::{B256, BlockRef, ChainId, IndexedBlock},
    source::chain::{Direction, History, Hold, NodeError, Segment},
    store::{StoreError, chain::Batch},
};

/// A transaction is full with this share of the memory that history may take.
const SHARE: usize = 4;

/// The blocks of one transaction, encoded.
pub(super) struct Ready {
    pub(super) blocks: Vec<IndexedBlock>,
    pub(super) batch: Batch,
    /// Held until they are stored.
    _holds: Vec<Hold>,
}

impl Ready {
    /// Frees what was stored, which takes a tenth of a load, while the writer goes on.
    pub(super) fn free(self) {
        tokio::task::spawn_blocking(move || drop(self));
    }
}

/// Why a load ends ahead of its range.
pub(super) enum Broken {
    Node(NodeError),
    /// This block does not link to what is stored, or to the blocks before it.
    Unlinked(BlockRef),
    Store(StoreError),
}

/// A range of blocks that is being prepared for the writer.
pub(super) struct Load {
    ready: mpsc::Receiver<Result<Ready, Broken>>,
    progress: Arc<Progress>,
    /// `None` once it is known how it ended.
    gathering: Option<AbortOnDropHandle<()>>,
}

impl Load {
    /// Begins with a range that is not empty. Upwards `link` is the hash of the block below it, if it is known;
    /// downwards the parent hash of the block above it.
    pub(super) fn start(
        parts: &Parts,
        range: RangeInclusive<u64>,
        direction: Direction,
        link: Option<B256>,
    ) -> Self {
        let config = &parts.config;
        // One waits while the writer has another and a third is gathered.
        let (hand_over, ready) = mpsc::channel(1);
        let gather = Gather {
            chain_id: config.chain_id,
            direction,
            link,
            batch_blocks: config.batch_blocks.max(1),
            batch_bytes: config.backfill_memory_bytes / SHARE / 2,
            gathered: Vec::new(),
            count: 0,
            bytes: 0,
            progress: parts.progress.clone(),
            hand_over,
        };
        let history = History::start(parts.node.clone(), config, range, direction);
        Self::of(ready, parts.progress.clone(), async move {
            // It ends early only when nobody takes what it gathers.
            gather.run(history).await;
        })
    }

    /// What is ready comes from who gathers it.
    fn of(
        ready: mpsc::Receiver<Result<Ready, Broken>>,
        progress: Arc<Progress>,
        gathering: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self {
            ready,
            progress,
            gathering: Some(AbortOnDropHandle::new(tokio::spawn(gathering))),
        }
    }

    /// The blocks of the next transaction; `None` at the end of the range. A panic of who gathers them is one here, and
    /// no end.
    pub(super) async fn next(&mut self) -> Option<Result<Ready, Broken>> {
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

struct Gather {
    chain_id: ChainId,
    direction: Direction,
    link: Option<B256>,
    batch_blocks: usize,
    batch_bytes: usize,
    /// In the order in which they came.
    gathered: Vec<Segment>,
    count: usize,
    bytes: usize,
    progress: Arc<Progress>,
    hand_over: mpsc::Sender<Result<Ready, Broken>>,
}

impl Gather {
    async fn run(mut self, mut history: History) -> Option<()> {
        while let Some(segment) = history.next().await {
            let mut segment = match segment {
                Ok(segment) => segment,
                Err(error) => return self.broken(Broken::Node(error)).await,
            };
            self.progress.fetched(&segment);
            if let Some(unlinked) = self.linked(&mut segment) {
                if !segment.blocks.is_empty() {
                    self.gathered.push(segment);
                }
                return self.broken(Broken::Unlinked(unlinked)).await;
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

    /// Cuts off what is not linked, and names its first block. Downwards a segment is linked whole or not at all.
    fn linked(&mut self, segment: &mut Segment) -> Option<BlockRef> {
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

    /// What was linked is stored; then the load ends.
    async fn broken(&mut self, broken: Broken) -> Option<()> {
        self.flush().await?;
        self.hand_over.send(Err(broken)).await.ok()
    }

    /// Encodes what was gathered, on a thread of its own, and hands it over.
    async fn flush(&mut self) -> Option<()> {
        let mut segments = mem::take(&mut self.gathered);
        (self.count, self.bytes) = (0, 0);
        if self.direction == Direction::Down {
            segments.reverse();
        }
        let mut blocks = Vec::with_capacity(segments.iter().map(|part| part.blocks.len()).sum());
        let mut holds = Vec::with_capacity(segments.len());
        for segment in segments {
            blocks.extend(segment.blocks);
            holds.push(segment.hold);
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
                // Only a runtime that shuts down cancels it, and then nobody waits.
                Err(_) => return None,
            },
        };
        self.progress.encoded(took);
        let ready = batch.map_err(Broken::Store).map(|batch| Ready {
            blocks,
            batch,
            _holds: holds,
        });
        self.hand_over.send(ready).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_while_a_load_is_gathered_is_no_end_of_its_range() {
        let (hand_over, ready) = mpsc::channel(1);
        let mut load = Load::of(ready, Arc::default(), async move {
            drop(hand_over);
            panic!("boom");
        });
        let next = tokio::spawn(async move { load.next().await.is_none() });
        assert!(next.await.unwrap_err().is_panic());
    }

    #[tokio::test]
    async fn a_load_whose_range_is_gathered_ends_and_stays_so() {
        let (hand_over, ready) = mpsc::channel(1);
        let mut load = Load::of(ready, Arc::default(), async move { drop(hand_over) });
        assert!(load.next().await.is_none());
        assert!(load.next().await.is_none());
    }
}
