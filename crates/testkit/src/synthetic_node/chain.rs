//! The whole chain in memory: about 270 KB per block of 100 transfers.

use std::{panic::resume_unwind, thread};

use rustc_hash::FxHashMap;

use super::{SyntheticOptions, accounts::Accounts, body::Body, render::RenderedBlock};
use chaincast_protocol::{B256, BlockRef};

/// Blocks that are generated per round, before they are rendered.
const ROUND: u64 = 256;

/// Blocks generated from a seed.
pub struct SyntheticChain {
    pub(super) chain_id: u64,
    pub(super) blocks: Vec<RenderedBlock>,
    by_hash: FxHashMap<B256, usize>,
    /// Block and index of each transaction, by its hash.
    transactions: FxHashMap<B256, (u32, u32)>,
}

impl SyntheticChain {
    /// Generates the chain on all cores: about 1 ms of one core per block of 100 transactions, in an optimized build.
    pub fn generate(options: &SyntheticOptions) -> Self {
        let accounts = Accounts::from_seed(options.seed);
        let mut blocks: Vec<RenderedBlock> = Vec::new();
        let mut from = 0;
        while from <= options.blocks {
            let to = options.blocks.min(from + ROUND - 1);
            let mut bodies: Vec<(Body, B256)> = in_parallel((from..=to).collect(), |number| {
                (Body::generate(options, &accounts, number), B256::ZERO)
            });
            let mut parent = blocks.last().map_or(B256::ZERO, |block| block.hash);
            for (body, hash) in &mut bodies {
                body.header.parent_hash = parent;
                *hash = body.header.hash_slow();
                parent = *hash;
            }
            blocks.extend(in_parallel(bodies, |(body, hash)| {
                RenderedBlock::render(body, hash)
            }));
            from = to + 1;
        }
        let by_hash = blocks
            .iter()
            .enumerate()
            .map(|(at, block)| (block.hash, at));
        let transactions = blocks.iter().enumerate().flat_map(|(at, block)| {
            let hashes = block.transactions.iter().enumerate();
            hashes.map(move |(index, (hash, _))| (*hash, (at as u32, index as u32)))
        });
        Self {
            chain_id: options.chain_id,
            by_hash: by_hash.collect(),
            transactions: transactions.collect(),
            blocks,
        }
    }

    /// The newest block.
    pub fn last(&self) -> BlockRef {
        let number = self.blocks.len() as u64 - 1;
        BlockRef {
            number,
            hash: self.blocks[number as usize].hash,
        }
    }

    /// The hash of the block at a height.
    pub(super) fn hash_at(&self, number: u64) -> Option<B256> {
        self.block(number).map(|block| block.hash)
    }

    /// Bytes of JSON in all blocks and receipts.
    pub fn bytes(&self) -> u64 {
        let of = |block: &RenderedBlock| (block.full.len() + block.receipts.len()) as u64;
        self.blocks.iter().map(of).sum()
    }

    pub(super) fn block(&self, number: u64) -> Option<&RenderedBlock> {
        self.blocks.get(usize::try_from(number).ok()?)
    }

    pub(super) fn height_of(&self, hash: &B256) -> Option<u64> {
        self.by_hash.get(hash).map(|&at| at as u64)
    }

    pub(super) fn transaction_position(&self, transaction: &B256) -> Option<(u64, usize)> {
        let &(block, index) = self.transactions.get(transaction)?;
        Some((u64::from(block), index as usize))
    }
}

/// Runs `work` for every item, on all cores, and returns the results in order.
fn in_parallel<I: Send, T: Send>(items: Vec<I>, work: impl Fn(I) -> T + Sync) -> Vec<T> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let share = items.len().div_ceil(cores).max(1);
    let mut items = items.into_iter();
    thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = std::iter::from_fn(|| {
            let part: Vec<I> = items.by_ref().take(share).collect();
            (!part.is_empty()).then(|| scope.spawn(move || part.into_iter().map(work).collect()))
        })
        .collect();
        let results = workers.into_iter().flat_map(|worker| {
            let done: thread::Result<Vec<T>> = worker.join();
            done.unwrap_or_else(|panic| resume_unwind(panic))
        });
        results.collect()
    })
}
