//! Blocks with logs only: headers, and logs by `eth_getLogs` over ranges that fit the node.
//!
//! Promises that every returned log belongs to the header beside it and passed the enabled checks. If the bloom of the
//! header contradicts an answer, the logs are requested once more by hash; if they still contradict it, that is an
//! error, and another provider is used: a partial answer never passes as complete, and `null` counts as an empty list
//! only if the header proves it. With transfers only, a bloom shows only that a log may exist (see `docs/chains.md`).

mod check;
#[cfg(test)]
mod null_tests;
mod range;
#[cfg(test)]
mod tests;
mod wire;

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, TryStreamExt, stream};

pub(super) use self::range::asks_for_smaller_range;
use self::{
    check::{HashHeader, LogRejection, by_block, check_logs, proves_no_logs, rows, topics},
    range::offered_blocks,
    wire::PlacedLog,
};
use super::{
    BlockTarget, CheckError, ChecksConfig, Chunk, Node, NodeError,
    chunk::block_count,
    decode::header_fits,
    prealloc::PreallocVec,
    verify::{Times, block_hash},
    workers::Workers,
};
use chaincast_model::IndexedBlock;
use chaincast_protocol::BlockRef;

pub(super) const LOGS: &str = "eth_getLogs";
const HEADERS: &str = "eth_getBlockByNumber";
/// Their positions in [`CHECKS`](super::CHECKS).
const BLOCK_HASH: usize = 0;
const LOGS_BLOOM: usize = 3;
/// Most parallel header requests of one range, within the limit of the node.
const HEADERS_AT_ONCE: usize = 4;
/// An answer may fill one part in this many of `response_bytes`: the rest is for blocks larger than the previous ones.
const ANSWER_SHARE: usize = 16;

impl Node {
    /// One block with its logs.
    pub(super) async fn log_block(
        &self,
        selector: BlockTarget,
        checks: &ChecksConfig,
    ) -> Result<IndexedBlock, NodeError> {
        let (method, header): (_, Option<HashHeader>) = match selector {
            BlockTarget::Number(number) => (
                HEADERS,
                self.request(HEADERS, (format!("{number:#x}"), false))
                    .await?,
            ),
            BlockTarget::Block(BlockRef { hash, .. }) => (
                "eth_getBlockByHash",
                self.request("eth_getBlockByHash", (hash, false)).await?,
            ),
        };
        let header = self.or_missing(header, || match selector {
            BlockTarget::Number(number) => format!("block {number}"),
            BlockTarget::Block(block) => format!("block {}", block.hash),
        })?;
        let matches = match selector {
            BlockTarget::Number(number) => header.number == number,
            BlockTarget::Block(block) => header.block_ref() == block,
        };
        if !matches {
            let reason = format!(
                "block {} {} instead of {selector:?}",
                header.number, header.hash
            );
            return Err(self.bad_answer(method, reason));
        }
        self.check_header(&header, checks)?;
        let mut logs = self.logs_of(&[&header]).await?.pop().flatten();
        if self.needs_refetch(&header, logs.as_deref(), checks) {
            logs = self.logs_of(&[&header]).await?.pop().flatten();
            self.accept_refetched(&header, logs.as_deref(), checks)?;
        }
        let logs = logs.unwrap_or_default();
        rows(header, logs, self.index).map_err(|reason| self.bad_answer(LOGS, reason))
    }

    /// Blocks from `from` up to at most `to`: as many as one `eth_getLogs` may cover, at least one.
    pub(super) async fn log_chunk(
        self: Arc<Self>,
        from: u64,
        to: u64,
        checks: ChecksConfig,
        workers: Workers,
        turn: u64,
    ) -> Result<Chunk, NodeError> {
        loop {
            let permit = self.log_gate.acquire(turn).await;
            let permit = permit.map_err(|wait| self.resting_error(wait))?;
            let count = block_count(from, to)
                .min(permit.blocks)
                .min(self.blocks_that_fit());
            let result = self.clone().range(from, count, &workers).await;
            let result = result.map_err(|error| as_too_large(error, count));
            let taken = match &result {
                // The limit halves this; so twice the offer of the node.
                Err(NodeError::TooLarge { reason, .. }) => offered_blocks(reason, from, count)
                    .map_or(count, |offered_blocks| offered_blocks * 2),
                _ => count,
            };
            self.log_gate.record(taken, &result);
            drop(permit);
            match result {
                // Retry with a smaller range on the same node.
                Err(NodeError::TooLarge { .. }) if count > 1 => {}
                Err(error) => return Err(error),
                Ok((logs, mut chunk)) => {
                    self.clone()
                        .complete(
                            from..from + count as u64,
                            logs,
                            checks,
                            &workers,
                            turn,
                            &mut chunk,
                        )
                        .await?;
                    return Ok(chunk);
                }
            }
        }
    }

    /// The number of blocks whose answer fits, by recent sizes.
    fn blocks_that_fit(&self) -> usize {
        let block = self.log_block_bytes.load(Ordering::Relaxed).max(1);
        (self.response_bytes / ANSWER_SHARE / block).max(1)
    }

    /// The logs of a range by block, or `None` for `null`, and a chunk with the time and size but no blocks yet.
    async fn range(
        self: Arc<Self>,
        from: u64,
        count: usize,
        workers: &Workers,
    ) -> Result<(Option<Vec<Vec<PlacedLog>>>, Chunk), NodeError> {
        let to = from + (count as u64 - 1);
        let topics = topics(self.index);
        let filter = format!("[{{\"fromBlock\":\"{from:#x}\",\"toBlock\":\"{to:#x}\"{topics}}}]");
        let began = Instant::now();
        let body = self.post(LOGS, &[filter]).await?;
        let request_time = began.elapsed();
        let raw_bytes = body.len();
        let known = self.log_block_bytes.load(Ordering::Relaxed);
        self.log_block_bytes
            .store((known * 3 + raw_bytes / count) / 4 + 1, Ordering::Relaxed);
        let node = self.clone();
        let (read, queue_time) = workers
            .run(move || {
                let began = Instant::now();
                let logs = node.answers::<PreallocVec<PlacedLog>>(LOGS, 1, &body)?;
                let logs = logs.into_iter().next().flatten();
                let logs = logs.map(|PreallocVec(logs)| by_block(logs, from, count));
                let logs = logs
                    .transpose()
                    .map_err(|reason| node.bad_answer(LOGS, reason))?;
                Ok::<_, NodeError>((logs, began.elapsed()))
            })
            .await;
        let (logs, decode_time) = read?;
        let chunk = Chunk {
            blocks: Vec::new(),
            raw_bytes,
            request_time,
            queue_time,
            decode_time,
            check_time: Duration::ZERO,
        };
        Ok((logs, chunk))
    }

    /// Completes the chunk of a range: headers, checks of the logs, and rows.
    async fn complete(
        self: Arc<Self>,
        range: Range<u64>,
        logs: Option<Vec<Vec<PlacedLog>>>,
        checks: ChecksConfig,
        workers: &Workers,
        turn: u64,
        chunk: &mut Chunk,
    ) -> Result<(), NodeError> {
        let began = Instant::now();
        let (headers, bytes) = self.headers(range, workers, turn).await?;
        chunk.request_time += began.elapsed();
        chunk.raw_bytes += bytes;

        let node = self.clone();
        let (checked, queue_time) = workers
            .run(move || {
                let began = Instant::now();
                for header in &headers {
                    node.check_header(header, &checks)?;
                }
                let hashed = began.elapsed();
                let mut unconfirmed = Vec::new();
                for (at, header) in headers.iter().enumerate() {
                    let logs = logs.as_ref().map(|logs| logs[at].as_slice());
                    if node.needs_refetch(header, logs, &checks) {
                        unconfirmed.push(at);
                    }
                }
                Ok::<_, NodeError>((
                    headers,
                    logs,
                    unconfirmed,
                    [hashed, began.elapsed() - hashed],
                ))
            })
            .await;
        let (headers, received, unconfirmed, [hashed, compared]) = checked?;
        let mut logs = received.unwrap_or_else(|| vec![Vec::new(); headers.len()]);
        chunk.queue_time += queue_time;
        chunk.check_time += hashed + compared;

        // Request these again, by hash.
        let began = Instant::now();
        for some in unconfirmed.chunks(self.gate.current().0) {
            let refetched: Vec<&HashHeader> = some.iter().map(|&at| &headers[at]).collect();
            let again = match self.logs_of(&refetched).await {
                Err(NodeError::TooLarge { .. }) if some.len() > 1 => {
                    let mut again = Vec::with_capacity(some.len());
                    for header in refetched {
                        again.extend(self.logs_of(&[header]).await?);
                    }
                    again
                }
                again => again?,
            };
            for (&at, again) in some.iter().zip(again) {
                self.accept_refetched(&headers[at], again.as_deref(), &checks)?;
                logs[at] = again.unwrap_or_default();
            }
        }
        chunk.request_time += began.elapsed();

        let mode = self.index;
        let (blocks, queue_time) = workers
            .run(move || {
                let began = Instant::now();
                let blocks = headers
                    .into_iter()
                    .zip(logs)
                    .map(|(header, logs)| rows(header, logs, mode))
                    .collect::<Result<Vec<_>, _>>();
                blocks.map(|blocks| (blocks, began.elapsed()))
            })
            .await;
        let (blocks, took) = blocks.map_err(|reason| self.bad_answer(LOGS, reason))?;
        chunk.queue_time += queue_time;
        chunk.decode_time += took;
        chunk.blocks = blocks;
        let mut times = Times::default();
        times[BLOCK_HASH] = hashed;
        times[LOGS_BLOOM] = compared;
        self.count_times(chunk.decode_time, &times);
        Ok(())
    }

    /// The headers of a range, and their size in bytes.
    async fn headers(
        self: &Arc<Self>,
        range: Range<u64>,
        workers: &Workers,
        turn: u64,
    ) -> Result<(Vec<HashHeader>, usize), NodeError> {
        let size = self.gate.current().0 as u64;
        let end = range.end;
        let parts: Vec<_> = range
            .step_by(size as usize)
            .map(|start| start..end.min(start + size))
            .collect();
        let parts: Vec<(Vec<HashHeader>, usize)> = stream::iter(parts)
            .map(|part| self.header_batch(part.start, part.end, workers, turn))
            .buffered(HEADERS_AT_ONCE)
            .try_collect()
            .await?;
        let bytes = parts.iter().map(|(_, bytes)| bytes).sum();
        Ok((
            parts.into_iter().flat_map(|(headers, _)| headers).collect(),
            bytes,
        ))
    }

    async fn header_batch(
        self: &Arc<Self>,
        from: u64,
        end: u64,
        workers: &Workers,
        turn: u64,
    ) -> Result<(Vec<HashHeader>, usize), NodeError> {
        let mut headers: Vec<HashHeader> = Vec::with_capacity((end - from) as usize);
        let mut bytes = 0;
        let mut next = from;
        while next < end {
            // The logs are already fetched, so no other node can continue.
            let permit = self.gate.acquire_after_pause(turn).await;
            let some = next..end.min(next + permit.blocks as u64);
            let count = (some.end - some.start) as usize;
            let params: Vec<String> = some
                .map(|number| format!("[\"{number:#x}\",false]"))
                .collect();
            let result = async {
                let body = self.post(HEADERS, &params).await?;
                bytes += body.len();
                let node = self.clone();
                let (read, _) = workers
                    .run(move || node.answers::<HashHeader>(HEADERS, count, &body))
                    .await;
                read
            }
            .await;
            self.gate.record(count, &result);
            drop(permit);
            let read = match result {
                Err(NodeError::TooLarge { .. }) if count > 1 => continue,
                result => result?,
            };
            for header in read {
                let header = self.or_missing(header, || format!("block {next}"))?;
                if header.number != next {
                    let reason = format!("block {} instead of {next}", header.number);
                    return Err(self.bad_answer(HEADERS, reason));
                }
                next += 1;
                headers.push(header);
            }
        }
        Ok((headers, bytes))
    }

    /// The logs of some blocks by hash; `None` for `null`.
    async fn logs_of(
        &self,
        headers: &[&HashHeader],
    ) -> Result<Vec<Option<Vec<PlacedLog>>>, NodeError> {
        let topics = topics(self.index);
        let params: Vec<String> = headers
            .iter()
            .map(|header| format!("[{{\"blockHash\":\"{}\"{topics}}}]", header.hash))
            .collect();
        let body = self.post(LOGS, &params).await?;
        let answers = self.answers::<Vec<PlacedLog>>(LOGS, params.len(), &body);
        answers.map_err(as_missing)
    }

    /// Whether to request the logs again: on a mismatch, or if they are missing and the header does not prove that
    /// there are none.
    fn needs_refetch(
        &self,
        header: &HashHeader,
        logs: Option<&[PlacedLog]>,
        checks: &ChecksConfig,
    ) -> bool {
        match logs {
            Some(logs) => check_logs(header, logs, self.index, checks).is_err(),
            None => !proves_no_logs(header, self.index, checks),
        }
    }

    fn check_header(&self, header: &HashHeader, checks: &ChecksConfig) -> Result<(), NodeError> {
        header_fits(header).map_err(|reason| self.bad_answer(HEADERS, reason))?;
        if !checks.block_hash {
            return Ok(());
        }
        block_hash(header).map_err(|reason| self.failed(header, "block_hash", reason))
    }

    /// Checks logs that were requested a second time; an unconfirmed empty list is accepted now.
    fn accept_refetched(
        &self,
        header: &HashHeader,
        logs: Option<&[PlacedLog]>,
        checks: &ChecksConfig,
    ) -> Result<(), NodeError> {
        if logs.is_none() && proves_no_logs(header, self.index, checks) {
            return Ok(());
        }
        let logs = self.or_missing(logs, || {
            format!("the logs of block {} {}", header.number, header.hash)
        })?;
        match check_logs(header, logs, self.index, checks) {
            Ok(()) | Err(LogRejection::Unconfirmed) => Ok(()),
            Err(LogRejection::Bloom(reason)) => Err(self.failed(header, "logs_bloom", reason)),
            Err(LogRejection::Invalid(reason)) => {
                let reason = format!("block {} {}: {reason}", header.number, header.hash);
                Err(self.bad_answer(LOGS, reason))
            }
        }
    }

    fn failed(&self, header: &HashHeader, check: &'static str, reason: String) -> NodeError {
        self.counted(NodeError::Check {
            url: self.redacted_url(),
            error: CheckError {
                block: header.block_ref(),
                check,
                reason: header.with_unread(reason),
            },
        })
    }
}

/// Nodes report a missing block with an error.
fn as_missing(error: NodeError) -> NodeError {
    match error {
        NodeError::Refused { url, message, .. }
            if ["unknown block", "not found"]
                .iter()
                .any(|words| message.to_ascii_lowercase().contains(words)) =>
        {
            NodeError::Missing {
                url,
                what: format!("the logs of a block ({message})"),
            }
        }
        error => error,
    }
}

/// Maps a refusal of a range to [`NodeError::TooLarge`] by terms that other methods do not use.
fn as_too_large(error: NodeError, count: usize) -> NodeError {
    match error {
        NodeError::Refused {
            url,
            method,
            code,
            message,
        } if count > 1 && asks_for_smaller_range(&message) => NodeError::TooLarge {
            url,
            method,
            reason: format!("{message} (code {code})"),
        },
        error => error,
    }
}
