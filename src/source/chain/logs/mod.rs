//! Blocks of which only logs are indexed: headers, and logs by `eth_getLogs` over ranges that fit the node.
//!
//! Promises that every log handed out is of the header beside it and passed the checks that are on. An answer that the
//! header's bloom contradicts is asked for once more by hash, then it is an error, and another provider is asked: a
//! part is never taken for the whole, and `null` for an empty list only where the header shows that it is one. Of transfers alone a bloom can only say that a log may be there (see
//! `docs/chains.md`).

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

pub(super) use self::range::wants_less;
use self::{
    check::{Doubt, Light, by_block, judged, proves_none, rows, topics},
    range::offered,
    wire::PlacedLog,
};
use super::{
    CheckError, ChecksConfig, Chunk, Node, NodeError, Wanted,
    chunk::Workers,
    decode::header_fits,
    roomy::Roomy,
    verify::{Times, block_hash},
};
use crate::model::{BlockRef, IndexedBlock};

pub(super) const LOGS: &str = "eth_getLogs";
const HEADERS: &str = "eth_getBlockByNumber";
/// Where these stand among [`CHECKS`](super::CHECKS).
const BLOCK_HASH: usize = 0;
const LOGS_BLOOM: usize = 3;
/// Requests for headers of one range in flight, as far as the node's limit allows.
const HEADERS_AT_ONCE: usize = 4;
/// The part of `response_bytes` that an answer shall fill: the rest is for blocks that are larger than those before.
const FILL: usize = 16;

impl Node {
    /// One block with its logs.
    pub(super) async fn log_block(
        &self,
        wanted: Wanted,
        checks: &ChecksConfig,
    ) -> Result<IndexedBlock, NodeError> {
        let (method, header): (_, Option<Light>) = match wanted {
            Wanted::Number(number) => (
                HEADERS,
                self.request(HEADERS, (format!("{number:#x}"), false))
                    .await?,
            ),
            Wanted::Block(BlockRef { hash, .. }) => (
                "eth_getBlockByHash",
                self.request("eth_getBlockByHash", (hash, false)).await?,
            ),
        };
        let header = self.present(header, || match wanted {
            Wanted::Number(number) => format!("block {number}"),
            Wanted::Block(block) => format!("block {}", block.hash),
        })?;
        let asked = match wanted {
            Wanted::Number(number) => header.number == number,
            Wanted::Block(block) => header.block_ref() == block,
        };
        if !asked {
            let reason = format!("block {} {}, not {wanted:?}", header.number, header.hash);
            return Err(self.bad_answer(method, reason));
        }
        self.proven_header(&header, checks)?;
        let mut logs = self.logs_of(&[&header]).await?.pop().flatten();
        if self.is_doubted(&header, logs.as_deref(), checks) {
            logs = self.logs_of(&[&header]).await?.pop().flatten();
            self.believed(&header, logs.as_deref(), checks)?;
        }
        let logs = logs.unwrap_or_default();
        rows(header, logs, self.index).map_err(|reason| self.bad_answer(LOGS, reason))
    }

    /// Blocks from `from` on, at most up to `to`: as many as one `eth_getLogs` may be for, at least one.
    pub(super) async fn log_chunk(
        self: Arc<Self>,
        from: u64,
        to: u64,
        checks: ChecksConfig,
        workers: Workers,
        turn: u64,
    ) -> Result<Chunk, NodeError> {
        loop {
            let pass = self.log_pace.enter(turn).await;
            let pass = pass.map_err(|wait| self.rests(wait))?;
            let count = usize::try_from(to - from)
                .unwrap_or(usize::MAX)
                .saturating_add(1)
                .min(pass.blocks)
                .min(self.fitting());
            let ended = self.clone().range(from, count, &workers).await;
            let ended = ended.map_err(|error| asks_for_less(error, count));
            let taken = match &ended {
                // What was asked for is halved; so the double of what the node offers.
                Err(NodeError::TooLarge { reason, .. }) => {
                    offered(reason, from, count).map_or(count, |offered| offered * 2)
                }
                _ => count,
            };
            self.log_pace.learn(taken, &ended);
            drop(pass);
            match ended {
                // A smaller range, of the same node.
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

    /// Blocks whose answer fits well, by the size of the last ones.
    fn fitting(&self) -> usize {
        let block = self.log_block_bytes.load(Ordering::Relaxed).max(1);
        (self.response_bytes / FILL / block).max(1)
    }

    /// The logs of a range, by block, `None` when the node gives `null`; what they took is noted in the chunk, which has
    /// no blocks yet.
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
        let asked = began.elapsed();
        let raw_bytes = body.len();
        let known = self.log_block_bytes.load(Ordering::Relaxed);
        self.log_block_bytes
            .store((known * 3 + raw_bytes / count) / 4 + 1, Ordering::Relaxed);
        let node = self.clone();
        let (read, queued) = workers
            .run(move || {
                let began = Instant::now();
                let logs = node.answers::<Roomy<PlacedLog>>(LOGS, 1, &body)?;
                let logs = logs.into_iter().next().flatten();
                let logs = logs.map(|Roomy(logs)| by_block(logs, from, count));
                let logs = logs
                    .transpose()
                    .map_err(|reason| node.bad_answer(LOGS, reason))?;
                Ok::<_, NodeError>((logs, began.elapsed()))
            })
            .await;
        let (logs, decoded) = read?;
        let chunk = Chunk {
            blocks: Vec::new(),
            raw_bytes,
            asked,
            queued,
            decoded,
            proven: Duration::ZERO,
        };
        Ok((logs, chunk))
    }

    /// Adds the blocks of a range to its chunk: headers, proof of the logs, and rows.
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
        chunk.asked += began.elapsed();
        chunk.raw_bytes += bytes;

        let node = self.clone();
        let (judgements, queued) = workers
            .run(move || {
                let began = Instant::now();
                for header in &headers {
                    node.proven_header(header, &checks)?;
                }
                let hashed = began.elapsed();
                let mut doubted = Vec::new();
                for (at, header) in headers.iter().enumerate() {
                    let logs = logs.as_ref().map(|logs| logs[at].as_slice());
                    if node.is_doubted(header, logs, &checks) {
                        doubted.push(at);
                    }
                }
                Ok::<_, NodeError>((headers, logs, doubted, [hashed, began.elapsed() - hashed]))
            })
            .await;
        let (headers, given, doubted, [hashed, compared]) = judgements?;
        let mut logs = given.unwrap_or_else(|| vec![Vec::new(); headers.len()]);
        chunk.queued += queued;
        chunk.proven += hashed + compared;

        // Once more, by hash.
        let began = Instant::now();
        for some in doubted.chunks(self.pace.now().0) {
            let doubtful: Vec<&Light> = some.iter().map(|&at| &headers[at]).collect();
            let again = match self.logs_of(&doubtful).await {
                Err(NodeError::TooLarge { .. }) if some.len() > 1 => {
                    let mut again = Vec::with_capacity(some.len());
                    for header in doubtful {
                        again.extend(self.logs_of(&[header]).await?);
                    }
                    again
                }
                again => again?,
            };
            for (&at, again) in some.iter().zip(again) {
                self.believed(&headers[at], again.as_deref(), &checks)?;
                logs[at] = again.unwrap_or_default();
            }
        }
        chunk.asked += began.elapsed();

        let mode = self.index;
        let (blocks, queued) = workers
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
        chunk.queued += queued;
        chunk.decoded += took;
        chunk.blocks = blocks;
        let mut times = Times::default();
        times[BLOCK_HASH] = hashed;
        times[LOGS_BLOOM] = compared;
        self.count_times(chunk.decoded, &times);
        Ok(())
    }

    /// The headers of a range, and the bytes that they came in.
    async fn headers(
        self: &Arc<Self>,
        range: Range<u64>,
        workers: &Workers,
        turn: u64,
    ) -> Result<(Vec<Light>, usize), NodeError> {
        let size = self.pace.now().0 as u64;
        let end = range.end;
        let parts: Vec<_> = range
            .step_by(size as usize)
            .map(|start| start..end.min(start + size))
            .collect();
        let parts: Vec<(Vec<Light>, usize)> = stream::iter(parts)
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
    ) -> Result<(Vec<Light>, usize), NodeError> {
        let mut headers: Vec<Light> = Vec::with_capacity((end - from) as usize);
        let mut bytes = 0;
        let mut next = from;
        while next < end {
            // Its logs are there already: no other node goes on from here.
            let pass = self.pace.enter_later(turn).await;
            let some = next..end.min(next + pass.blocks as u64);
            let count = (some.end - some.start) as usize;
            let params: Vec<String> = some
                .map(|number| format!("[\"{number:#x}\",false]"))
                .collect();
            let ended = async {
                let body = self.post(HEADERS, &params).await?;
                bytes += body.len();
                let node = self.clone();
                let (read, _) = workers
                    .run(move || node.answers::<Light>(HEADERS, count, &body))
                    .await;
                read
            }
            .await;
            self.pace.learn(count, &ended);
            drop(pass);
            let read = match ended {
                Err(NodeError::TooLarge { .. }) if count > 1 => continue,
                ended => ended?,
            };
            for header in read {
                let header = self.present(header, || format!("block {next}"))?;
                if header.number != next {
                    let reason = format!("block {} for block {next}", header.number);
                    return Err(self.bad_answer(HEADERS, reason));
                }
                next += 1;
                headers.push(header);
            }
        }
        Ok((headers, bytes))
    }

    /// The logs of some blocks, asked for by hash; `None` for `null`.
    async fn logs_of(&self, headers: &[&Light]) -> Result<Vec<Option<Vec<PlacedLog>>>, NodeError> {
        let topics = topics(self.index);
        let params: Vec<String> = headers
            .iter()
            .map(|header| format!("[{{\"blockHash\":\"{}\"{topics}}}]", header.hash))
            .collect();
        let body = self.post(LOGS, &params).await?;
        let answers = self.answers::<Vec<PlacedLog>>(LOGS, params.len(), &body);
        answers.map_err(lacks)
    }

    /// Whether logs are to be asked for once more; those that were not given are, unless there are none.
    fn is_doubted(
        &self,
        header: &Light,
        logs: Option<&[PlacedLog]>,
        checks: &ChecksConfig,
    ) -> bool {
        match logs {
            Some(logs) => judged(header, logs, self.index, checks).is_err(),
            None => !proves_none(header, self.index, checks),
        }
    }

    fn proven_header(&self, header: &Light, checks: &ChecksConfig) -> Result<(), NodeError> {
        header_fits(header).map_err(|reason| self.bad_answer(HEADERS, reason))?;
        if !checks.block_hash {
            return Ok(());
        }
        block_hash(header).map_err(|reason| self.failed(header, "block_hash", reason))
    }

    /// Judges what was asked for a second time: what was perhaps right is right now.
    fn believed(
        &self,
        header: &Light,
        logs: Option<&[PlacedLog]>,
        checks: &ChecksConfig,
    ) -> Result<(), NodeError> {
        if logs.is_none() && proves_none(header, self.index, checks) {
            return Ok(());
        }
        let logs = self.present(logs, || {
            format!("the logs of block {} {}", header.number, header.hash)
        })?;
        match judged(header, logs, self.index, checks) {
            Ok(()) | Err(Doubt::Perhaps) => Ok(()),
            Err(Doubt::Bloom(reason)) => Err(self.failed(header, "logs_bloom", reason)),
            Err(Doubt::Wrong(reason)) => {
                let reason = format!("of block {} {}, {reason}", header.number, header.hash);
                Err(self.bad_answer(LOGS, reason))
            }
        }
    }

    fn failed(&self, header: &Light, check: &'static str, reason: String) -> NodeError {
        self.counted(NodeError::Check {
            url: self.shown_url(),
            error: CheckError {
                block: header.block_ref(),
                check,
                reason: header.with_unread(reason),
            },
        })
    }
}

/// Of a block that they do not have nodes say so with an error.
fn lacks(error: NodeError) -> NodeError {
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

/// A refusal of a range in words that are of no other method.
fn asks_for_less(error: NodeError, count: usize) -> NodeError {
    match error {
        NodeError::Refused {
            url,
            method,
            code,
            message,
        } if count > 1 && wants_less(&message) => NodeError::TooLarge {
            url,
            method,
            reason: format!("{message} (code {code})"),
        },
        error => error,
    }
}
