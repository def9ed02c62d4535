//! Consecutive blocks of history from one node, by number: fetched in few requests, checked and decoded on threads of
//! their own.
//!
//! Receipts are asked for by number too; that they belong to the blocks is shown by the block hash in every one and
//! proven by the receipts root.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

use super::{
    ChecksConfig, Node, NodeError, RawBlock,
    decode::decode,
    receipts::{BLOCK_RECEIPTS, Key, is_without_list, placed},
    roomy::Roomy,
    verify::{CHECKS, Times, settle_outcomes, verify_timed},
    wire::{RawHeader, RawReceipt},
};
use crate::model::{B256, IndexMode, IndexedBlock};

/// The receipts of one block, as a node gave them; `None` for null.
type Given = Result<Option<Roomy<RawReceipt>>, NodeError>;

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
        let began = Instant::now();
        let numbers = || (from..).take(count);
        let blocks: Vec<String> = numbers()
            .map(|number| format!("[\"{number:#x}\",true]"))
            .collect();
        let receipts: Vec<String> = numbers()
            .map(|number| format!("[\"{number:#x}\"]"))
            .collect();
        // By number: the hashes are not known yet.
        let listed = self.receipts.key(Key::Number, began.into()) == Some(Key::Number);
        let (blocks, receipts) = tokio::join!(self.post(BLOCKS, &blocks), async {
            match listed {
                true => self.post(BLOCK_RECEIPTS, &receipts).await.map(Some),
                false => Ok(None),
            }
        });
        // First what is no optional method: it tells a node that knows no batches from one that lacks the other.
        let blocks = blocks?;
        let (receipts, refused) = optional(receipts, count)?;
        let mut asked = began.elapsed();
        let raw_bytes = blocks.len() + receipts.as_ref().map_or(0, Vec::len);

        let node = self.clone();
        let (read, mut queued) = workers
            .run(move || {
                let began = Instant::now();
                let headers = node.each_answer::<RawHeader>(BLOCKS, count, &blocks)?;
                let receipts = match receipts {
                    Some(receipts) => optional(
                        node.each_answer::<Roomy<RawReceipt>>(BLOCK_RECEIPTS, count, &receipts)
                            .map(Some),
                        count,
                    )?,
                    None => (None, None),
                };
                Ok::<_, NodeError>((headers, receipts, began.elapsed()))
            })
            .await;
        let (headers, (receipts, refused_later), mut decoded) = read?;
        let headers = ahead(headers.into_iter().zip(from..).map(|(header, number)| {
            let header: RawHeader = self.present(header?, || format!("block {number}"))?;
            if header.number != number {
                let reason = format!("block {} for block {number}", header.number);
                return Err(self.bad_answer(BLOCKS, reason));
            }
            Ok(header)
        }))?;
        let began = Instant::now();
        let receipts = match receipts {
            Some(receipts) => {
                self.receipts.worked();
                receipts
            }
            None => {
                let refused = refused.or(refused_later);
                self.clone()
                    .receipts_otherwise(&headers, refused, workers)
                    .await?
            }
        };
        // What null leaves out is asked for by transaction, as is what a list lacks.
        let receipts = ahead(
            receipts
                .into_iter()
                .map(|given| given.map(|given| given.unwrap_or_default().0)),
        )?;
        let receipts = self.completed_all(&headers, receipts).await?;
        asked += began.elapsed();

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
        mut block: RawBlock,
        checks: &ChecksConfig,
        times: &mut Times,
    ) -> Result<IndexedBlock, NodeError> {
        self.of_one_branch(&block)?;
        self.matched(&block)?;
        settle_outcomes(&mut block);
        verify_timed(&block, checks, times).map_err(|error| {
            self.counted(NodeError::Check {
                url: self.shown_url(),
                error,
            })
        })?;
        self.tell_odd_genesis(&block);
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

    /// The receipts of some blocks from a node that does not give them by number: by hash, or none, which asks for
    /// them one by one.
    async fn receipts_otherwise(
        self: Arc<Self>,
        blocks: &[RawHeader],
        refused: Option<NodeError>,
        workers: &Workers,
    ) -> Result<Vec<Given>, NodeError> {
        let none = || blocks.iter().map(|_| Ok(Some(Roomy::default()))).collect();
        // Nothing was refused: there is no list of this block. Unless none comes although the blocks do: then the method
        // fails, however much it sounds like trouble of the node.
        let fails = |error: &NodeError| error.is_outage() && self.receipts.fails();
        if refused
            .as_ref()
            .is_some_and(|error| is_without_list(error) && !fails(error))
        {
            return Ok(none());
        }
        let failed = refused.as_ref().is_some_and(NodeError::is_outage);
        if self.receipts.key(Key::Hash, Instant::now().into()) != Some(Key::Hash) {
            return Ok(none());
        }
        let params: Vec<String> = blocks
            .iter()
            .map(|block| Key::Hash.of(block.block_ref()))
            .collect();
        let ended = match self.post(BLOCK_RECEIPTS, &params).await {
            Ok(body) => {
                let (node, count) = (self.clone(), params.len());
                let read =
                    move || node.each_answer::<Roomy<RawReceipt>>(BLOCK_RECEIPTS, count, &body);
                workers.run(read).await.0
            }
            Err(error) => Err(error),
        };
        match optional(ended.map(Some), blocks.len())? {
            (None, Some(error)) if is_without_list(&error) => {
                if failed || fails(&error) {
                    self.lacks_block_receipts(&error);
                }
                Ok(none())
            }
            (Some(given), _) => {
                self.receipts.worked();
                if refused.is_some_and(|error| !error.is_about_a_block()) {
                    self.knows_only(Key::Hash);
                }
                Ok(given)
            }
            (None, by_hash) => {
                if let Some(error) = refused
                    .or(by_hash)
                    .filter(|error| !error.is_about_a_block())
                {
                    self.lacks_block_receipts(&error);
                }
                Ok(none())
            }
        }
    }

    /// The receipts of each block, one a transaction: what the lists lack is asked for by transaction. Where that is
    /// not there, the blocks ahead of it.
    async fn completed_all(
        &self,
        blocks: &[RawHeader],
        given: Vec<Vec<RawReceipt>>,
    ) -> Result<Vec<Vec<RawReceipt>>, NodeError> {
        let mut all: Vec<Vec<Option<RawReceipt>>> = given
            .into_iter()
            .zip(blocks)
            .map(|(given, block)| placed(block, given))
            .collect();
        let lacking = |all: &[Vec<Option<RawReceipt>>]| -> Vec<B256> {
            let receipts = all
                .iter()
                .zip(blocks)
                .flat_map(|(receipts, block)| receipts.iter().zip(block.transactions.iter()));
            receipts
                .filter(|(receipt, _)| receipt.is_none())
                .map(|(_, sent)| sent.hash)
                .collect()
        };
        let batched = blocks.len() > 1 || self.pace.now().0 > 1;
        let fetched = match self.receipts_of(&lacking(&all), batched).await {
            Ok(fetched) => fetched,
            Err(error) => {
                let whole = all
                    .iter()
                    .take_while(|receipts| receipts.iter().all(Option::is_some))
                    .count();
                if whole == 0 {
                    return Err(error);
                }
                all.truncate(whole);
                Vec::new()
            }
        };
        let mut fetched = fetched.into_iter();
        let mut complete = Vec::with_capacity(all.len());
        for (receipts, block) in all.into_iter().zip(blocks) {
            let mut of_block = Vec::with_capacity(receipts.len());
            for receipt in receipts {
                match receipt {
                    Some(receipt) => of_block.push(receipt),
                    None => of_block.extend(
                        // One of another block was there before the branch changed.
                        fetched.next().filter(|one| one.block_hash == block.hash),
                    ),
                }
            }
            if of_block.len() < block.transactions.len() {
                if complete.is_empty() {
                    return Err(self.lacks_receipts(block.block_ref()));
                }
                break;
            }
            complete.push(of_block);
        }
        Ok(complete)
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

/// What the optional method gave for so many blocks; a refusal of it is no error, but is kept, and so is what keeps away the
/// list of a single block.
fn optional<T>(
    ended: Result<Option<T>, NodeError>,
    blocks: usize,
) -> Result<(Option<T>, Option<NodeError>), NodeError> {
    match ended {
        Ok(given) => Ok((given, None)),
        Err(error) if error.is_refusal() => Ok((None, Some(error))),
        Err(error) if blocks == 1 && is_without_list(&error) => Ok((None, Some(error))),
        Err(error) => Err(error),
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
