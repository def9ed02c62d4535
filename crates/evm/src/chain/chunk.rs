//! Consecutive blocks of history from one node, by number: fetched in few requests, checked and decoded on worker
//! threads.
//!
//! Receipts are requested by number too; the block hash in each links it to its block, and the receipts root proves it.

mod receipts;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use self::receipts::optional_list;
use super::{
    ChecksConfig, Node, NodeError, RawBlock,
    decode::decode,
    prealloc::PreallocVec,
    receipt_methods::Key,
    receipts::BLOCK_RECEIPTS,
    verify::{CHECKS, Times, settle_outcomes, verify_timed},
    wire::{RawHeader, RawReceipt},
    workers::Workers,
};
use chaincast_model::{IndexMode, IndexedBlock};

/// Blocks from a node, and the time they took.
pub(super) struct Chunk {
    pub blocks: Vec<IndexedBlock>,
    /// Size of the node's answers, in bytes.
    pub raw_bytes: usize,
    /// Time of all requests.
    pub request_time: Duration,
    /// Time spent waiting for a worker thread.
    pub queue_time: Duration,
    /// Time spent parsing JSON and building rows.
    pub decode_time: Duration,
    /// Time of all checks.
    pub check_time: Duration,
}

/// The number of blocks from `from` to `to`.
pub(super) fn block_count(from: u64, to: u64) -> usize {
    usize::try_from(to - from)
        .unwrap_or(usize::MAX)
        .saturating_add(1)
}

impl Node {
    /// Blocks from `from` up to at most `to`: as many as the limit of the node allows, at least one. If a block is
    /// missing or wrong, the blocks before it. The lowest `turn` goes first. Does not wait for a resting node: another
    /// may be available.
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
            let permit = self.gate.acquire(turn).await;
            let permit = permit.map_err(|wait| self.resting_error(wait))?;
            let blocks = block_count(from, to).min(permit.blocks);
            let result = self
                .clone()
                .fetch_chunk(from, blocks, checks, &workers)
                .await;
            self.gate.record(blocks, &result);
            drop(permit);
            match result {
                // Retry with fewer blocks on the same node.
                Err(NodeError::TooLarge { .. }) if blocks > 1 => {}
                result => return result,
            }
        }
    }

    async fn fetch_chunk(
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
        // By number, because the hashes are not known yet.
        let by_number = self.receipts.key(Key::Number, began.into()) == Some(Key::Number);
        let (blocks, receipts) = tokio::join!(self.post(BLOCKS, &blocks), async {
            match by_number {
                true => self.post(BLOCK_RECEIPTS, &receipts).await.map(Some),
                false => Ok(None),
            }
        });
        // Blocks first: their method is not optional, so it shows whether batches or receipts are unsupported.
        let blocks = blocks?;
        let (receipts, refused) = optional_list(receipts, count)?;
        let mut request_time = began.elapsed();
        let raw_bytes = blocks.len() + receipts.as_ref().map_or(0, Vec::len);

        let node = self.clone();
        let (read, mut queue_time) = workers
            .run(move || {
                let began = Instant::now();
                let headers = node.each_answer::<RawHeader>(BLOCKS, count, &blocks)?;
                let receipts = match receipts {
                    Some(receipts) => optional_list(
                        node.each_answer::<PreallocVec<RawReceipt>>(
                            BLOCK_RECEIPTS,
                            count,
                            &receipts,
                        )
                        .map(Some),
                        count,
                    )?,
                    None => (None, None),
                };
                Ok::<_, NodeError>((headers, receipts, began.elapsed()))
            })
            .await;
        let (headers, (receipts, refused_later), mut decode_time) = read?;
        let headers =
            before_first_error(headers.into_iter().zip(from..).map(|(header, number)| {
                let header: RawHeader = self.or_missing(header?, || format!("block {number}"))?;
                if header.number != number {
                    let reason = format!("block {} instead of {number}", header.number);
                    return Err(self.bad_answer(BLOCKS, reason));
                }
                Ok(header)
            }))?;
        let began = Instant::now();
        let receipts = match receipts {
            Some(receipts) => {
                self.receipts.list_succeeded();
                receipts
            }
            None => {
                let refused = refused.or(refused_later);
                self.clone()
                    .fallback_receipts(&headers, refused, workers)
                    .await?
            }
        };
        // Missing receipts, null or not in the list, are requested by transaction.
        let receipts = before_first_error(
            receipts
                .into_iter()
                .map(|received| received.map(|received| received.unwrap_or_default().0)),
        )?;
        let receipts = self.complete_all_receipts(&headers, receipts).await?;
        request_time += began.elapsed();

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
                let blocks = before_first_error(
                    raw.into_iter()
                        .map(|block| node.verify_and_decode(block, &checks, &mut times)),
                );
                blocks.map(|blocks| (blocks, times, began.elapsed()))
            })
            .await;
        queue_time += waited;
        let (blocks, times, took) = made?;
        let check_time: Duration = times.iter().sum();
        decode_time += took.saturating_sub(check_time);
        self.count_times(decode_time, &times);
        Ok(Chunk {
            blocks,
            raw_bytes,
            request_time,
            queue_time,
            decode_time,
            check_time,
        })
    }

    pub(super) fn resting_error(&self, wait: Duration) -> NodeError {
        let url = self.redacted_url();
        NodeError::Resting { url, wait }
    }

    fn verify_and_decode(
        &self,
        mut block: RawBlock,
        checks: &ChecksConfig,
        times: &mut Times,
    ) -> Result<IndexedBlock, NodeError> {
        self.check_one_branch(&block)?;
        self.check_receipts_match(&block)?;
        settle_outcomes(&mut block);
        self.check_and_decode(block, checks, times)
    }

    /// Decodes a block that passes the checks.
    pub(super) fn check_and_decode(
        &self,
        block: RawBlock,
        checks: &ChecksConfig,
        times: &mut Times,
    ) -> Result<IndexedBlock, NodeError> {
        verify_timed(&block, checks, times).map_err(|error| {
            self.counted(NodeError::Check {
                url: self.redacted_url(),
                error,
            })
        })?;
        self.log_odd_genesis(&block);
        decode(block, checks).map_err(|reason| self.bad_answer("eth_getBlockByNumber", reason))
    }

    /// Blocks and receipts are requested by number: a node that switches branches in between returns the receipts of
    /// another block. That is transient, not wrong data.
    fn check_one_branch(&self, block: &RawBlock) -> Result<(), NodeError> {
        let at = block.block_ref();
        let Some(first) = block.receipts.first().map(|receipt| receipt.block_hash) else {
            return Ok(());
        };
        if first == at.hash || block.receipts.iter().any(|one| one.block_hash != first) {
            return Ok(());
        }
        Err(self.counted(NodeError::Missing {
            url: self.redacted_url(),
            what: format!(
                "the receipts of block {} {} (it returned those of {first})",
                at.number, at.hash
            ),
        }))
    }

    /// Counts the CPU time of history, by stage and check.
    pub(super) fn count_times(&self, decode_time: Duration, times: &Times) {
        let count = |stage: &'static str, took: Duration| {
            metrics::counter!(
                "chaincast_chain_work_microseconds_total",
                "chain_id" => self.chain_id.to_string(),
                "stage" => stage
            )
            .increment(took.as_micros() as u64);
        };
        count("decode", decode_time);
        for (check, took) in CHECKS.into_iter().zip(*times) {
            count(check, took);
        }
    }
}

/// The items before the first error; the error itself if there are none. A request from there hits it again.
fn before_first_error<T>(
    results: impl Iterator<Item = Result<T, NodeError>>,
) -> Result<Vec<T>, NodeError> {
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
