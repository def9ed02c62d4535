//! Consecutive blocks of history from one node, by number: fetched in few requests, checked and decoded on threads of
//! their own.
//!
//! Receipts are asked for by number too; that they belong to the blocks is shown by the block hash in every one and
//! proven by the receipts root.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

use super::{
    ChecksConfig, Node, NodeError, RawBlock,
    decode::decode,
    roomy::Roomy,
    verify::{CHECKS, Times, verify_timed},
    wire::{RawHeader, RawReceipt},
};
use crate::model::{IndexMode, IndexedBlock};

/// Receipts of one request, from a node that gives them only one by one.
const SINGLE_RECEIPTS: usize = 100;

/// Blocks that a node gave, and what they took.
pub struct Chunk {
    pub blocks: Vec<IndexedBlock>,
    /// Size of the node's answers, in bytes.
    pub raw_bytes: usize,
    /// The node took so long, for the requests together.
    pub asked: Duration,
    /// Waiting for a thread.
    pub queued: Duration,
    /// Reading JSON and making rows of it.
    pub decoded: Duration,
    /// Checking; the sum over all checks.
    pub proven: Duration,
}

/// Threads for work without I/O.
#[derive(Clone)]
pub(super) struct Workers(Arc<Semaphore>);

impl Workers {
    /// As many as the machine has processors.
    pub(super) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(processors)))
    }

    /// Runs `work` on a thread, and says how long it waited for one.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> (T, Duration) {
        let came = Instant::now();
        // Never closed.
        let _permit = self.0.acquire().await;
        let queued = came.elapsed();
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => (done, queued),
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Only a runtime that shuts down cancels it, and then nobody waits.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

impl Node {
    /// Blocks from `from` on, at most up to `to`: as many as the node's limit allows at once, at least one. Where some
    /// block is missing or wrong, those ahead of it. The lowest `turn` is asked for first. A node that wants to be left
    /// alone is not waited for: perhaps another can be asked.
    pub(super) async fn chunk(
        self: Arc<Self>,
        from: u64,
        to: u64,
        checks: ChecksConfig,
        workers: Workers,
        turn: u64,
    ) -> Result<Chunk, NodeError> {
        if self.index != IndexMode::Blocks {
            return self.log_chunk(from, to, checks, workers, turn).await;
        }
        loop {
            let pass = self.pace.enter(turn).await;
            let pass = pass.map_err(|wait| self.rests(wait))?;
            let blocks = usize::try_from(to - from)
                .unwrap_or(usize::MAX)
                .saturating_add(1)
                .min(pass.blocks);
            let ended = self.clone().fetched(from, blocks, checks, &workers).await;
            self.pace.learn(blocks, &ended);
            drop(pass);
            match ended {
                // Fewer at once, from the same node.
                Err(NodeError::TooLarge { .. }) if blocks > 1 => {}
                ended => return ended,
            }
        }
    }

    async fn fetched(
        self: Arc<Self>,
        from: u64,
        count: usize,
        checks: ChecksConfig,
        workers: &Workers,
    ) -> Result<Chunk, NodeError> {
        const BLOCKS: &str = "eth_getBlockByNumber";
        const RECEIPTS: &str = "eth_getBlockReceipts";
        let began = Instant::now();
        let numbers = || (from..).take(count);
        let blocks: Vec<String> = numbers()
            .map(|number| format!("[\"{number:#x}\",true]"))
            .collect();
        let receipts: Vec<String> = numbers()
            .map(|number| format!("[\"{number:#x}\"]"))
            .collect();
        let single = self.single_receipts.load(Ordering::Relaxed);
        let (blocks, receipts) = tokio::try_join!(self.post(BLOCKS, &blocks), async {
            match single {
                true => Ok(None),
                false => self.post(RECEIPTS, &receipts).await.map(Some),
            }
        })?;
        let mut asked = began.elapsed();
        let raw_bytes = blocks.len() + receipts.as_ref().map_or(0, Vec::len);

        let node = self.clone();
        let (read, mut queued) = workers
            .run(move || {
                let began = Instant::now();
                let headers: Vec<Option<RawHeader>> = node.answers(BLOCKS, count, &blocks)?;
                let receipts: Option<Vec<Option<Roomy<RawReceipt>>>> = match receipts {
                    Some(receipts) => match node.answers(RECEIPTS, count, &receipts) {
                        Err(error) if error.is_unknown_method() => None,
                        answers => Some(answers?),
                    },
                    None => None,
                };
                Ok::<_, NodeError>((headers, receipts, began.elapsed()))
            })
            .await;
        let (headers, receipts, mut decoded) = read?;
        let headers = ahead(headers.into_iter().zip(from..).map(|(header, number)| {
            let header: RawHeader = self.present(header, || format!("block {number}"))?;
            if header.number != number {
                let reason = format!("block {} for block {number}", header.number);
                return Err(self.bad_answer(BLOCKS, reason));
            }
            Ok(header)
        }))?;
        let receipts = match receipts {
            // Those of blocks that are not there are none.
            Some(receipts) => ahead(receipts.into_iter().zip(&headers).map(|(given, header)| {
                let what = || format!("the receipts of block {}", header.number);
                self.present(given, what).map(|Roomy(receipts)| receipts)
            }))?,
            None => {
                self.lacks_block_receipts();
                let began = Instant::now();
                let receipts = self.receipts_one_by_one(&headers).await?;
                asked += began.elapsed();
                receipts
            }
        };

        let node = self.clone();
        let raw: Vec<RawBlock> = headers
            .into_iter()
            .zip(receipts)
            .map(|(header, receipts)| RawBlock::new(header, receipts))
            .collect();
        let (made, waited) = workers
            .run(move || {
                let began = Instant::now();
                let mut times = Times::default();
                let blocks = ahead(
                    raw.into_iter()
                        .map(|block| node.proven(block, &checks, &mut times)),
                );
                blocks.map(|blocks| (blocks, times, began.elapsed()))
            })
            .await;
        queued += waited;
        let (blocks, times, took) = made?;
        let proven: Duration = times.iter().sum();
        decoded += took.saturating_sub(proven);
        self.count_times(decoded, &times);
        Ok(Chunk {
            blocks,
            raw_bytes,
            asked,
            queued,
            decoded,
            proven,
        })
    }

    pub(super) fn rests(&self, wait: Duration) -> NodeError {
        let url = self.shown_url();
        NodeError::Resting { url, wait }
    }

    fn proven(
        &self,
        block: RawBlock,
        checks: &ChecksConfig,
        times: &mut Times,
    ) -> Result<IndexedBlock, NodeError> {
        self.of_one_branch(&block)?;
        self.matched(&block)?;
        verify_timed(&block, checks, times).map_err(|error| {
            self.counted(NodeError::Check {
                url: self.shown_url(),
                error,
            })
        })?;
        decode(block, checks).map_err(|reason| self.bad_answer("eth_getBlockByNumber", reason))
    }

    /// Blocks and receipts are asked for by number: a node that goes to another branch in between gives the receipts
    /// of another block. That is no lie, and another moment mends it.
    fn of_one_branch(&self, block: &RawBlock) -> Result<(), NodeError> {
        let at = block.block_ref();
        let Some(first) = block.receipts.first().map(|receipt| receipt.block_hash) else {
            return Ok(());
        };
        if first == at.hash || block.receipts.iter().any(|one| one.block_hash != first) {
            return Ok(());
        }
        Err(self.counted(NodeError::Missing {
            url: self.shown_url(),
            what: format!(
                "the receipts of block {} {}: it gave those of {first}",
                at.number, at.hash
            ),
        }))
    }

    /// The receipts of some blocks, from a node that gives them by transaction.
    async fn receipts_one_by_one(
        &self,
        blocks: &[RawHeader],
    ) -> Result<Vec<Vec<RawReceipt>>, NodeError> {
        const METHOD: &str = "eth_getTransactionReceipt";
        let hashes: Vec<_> = blocks
            .iter()
            .flat_map(|block| block.transactions.iter().map(|sent| sent.hash))
            .collect();
        let batched = blocks.len() > 1 || self.pace.now().0 > 1;
        let mut receipts = Vec::with_capacity(hashes.len());
        for hashes in hashes.chunks(if batched { SINGLE_RECEIPTS } else { 1 }) {
            let params: Vec<String> = hashes.iter().map(|hash| format!("[\"{hash}\"]")).collect();
            let body = self.post(METHOD, &params).await?;
            let given: Vec<Option<RawReceipt>> = self.answers(METHOD, params.len(), &body)?;
            for (receipt, hash) in given.into_iter().zip(hashes) {
                receipts
                    .push(self.present(receipt, || format!("the receipt of transaction {hash}"))?);
            }
        }
        let mut receipts = receipts.into_iter();
        Ok(blocks
            .iter()
            .map(|block| receipts.by_ref().take(block.transactions.len()).collect())
            .collect())
    }

    /// What history cost the processor, by stage and check.
    pub(super) fn count_times(&self, decoded: Duration, times: &Times) {
        let count = |stage: &'static str, took: Duration| {
            metrics::counter!(
                "chaincast_chain_work_microseconds_total",
                "chain_id" => self.chain_id.to_string(),
                "stage" => stage
            )
            .increment(took.as_micros() as u64);
        };
        count("decode", decoded);
        for (check, took) in CHECKS.into_iter().zip(*times) {
            count(check, took);
        }
    }
}

/// What stands ahead of the first error; the error itself where nothing does. A request that begins there hears it again.
fn ahead<T>(results: impl Iterator<Item = Result<T, NodeError>>) -> Result<Vec<T>, NodeError> {
    let mut good = Vec::with_capacity(results.size_hint().0);
    for result in results {
        match result {
            Ok(one) => good.push(one),
            Err(error) if good.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(good)
}

#[cfg(test)]
mod tests;
