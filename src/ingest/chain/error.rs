//! Why a chain cannot be indexed.

use std::time::Duration;

use crate::{
    model::{B256, BlockRef, ChainId, IndexMode},
    source::chain::NodeError,
    store::StoreError,
};

/// Why a chain writer did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error("chain {chain_id} (chains.rpc_url): {error}")]
    Node { chain_id: ChainId, error: NodeError },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("chain {chain_id}: the database did not answer within {limit:?}")]
    Silent { chain_id: ChainId, limit: Duration },
    #[error(
        "the database indexes another chain {chain_id} than the node serves: {} {stored} is stored, the \
         node has {actual}. Point chains.rpc_url or database.url at the right one, or drop what is stored: \
         `chaincast dev` does that with --reset{}",
        named(*.number), unless_reorg(*.number)
    )]
    DifferentChain {
        chain_id: ChainId,
        /// 0, or the first indexed block where the node has no block 0.
        number: u64,
        stored: B256,
        actual: B256,
    },
    #[error(
        "chain {chain_id} is indexed from block {stored} on, but start_block is {configured}: run `chaincast backfill \
         --from {configured}` to index what is below, or set start_block = {stored}"
    )]
    StartBlockMoved {
        chain_id: ChainId,
        stored: u64,
        configured: u64,
    },
    /// What lies below the stored blocks is not what they hang on.
    #[error(
        "chain {chain_id}: the node's block {} {} is not the parent of the stored block above it, which is {expected}: \
         it follows another branch, or lags. If that lasts, run `chaincast serve` until it followed the reorg", .block.number, .block.hash
    )]
    Unlinked {
        chain_id: ChainId,
        block: BlockRef,
        expected: B256,
    },
    #[error(
        "chain {chain_id} is indexed with index = \"{stored}\", but \"{configured}\" is configured: set chains.index \
         back, or use another database"
    )]
    IndexModeChanged {
        chain_id: ChainId,
        stored: IndexMode,
        configured: IndexMode,
    },
    #[error(
        "chain {chain_id}: the node follows a branch that leaves the indexed one below block {}, {limit}. If that is \
         right, raise chains.max_reorg_depth when it is the limit, or drop what is stored and index again (`chaincast \
         dev` does that with --reset); if not, point chains.rpc_url at another node. The indexed head is block {} {}",
        .below, .head.number, .head.hash
    )]
    ReorgTooDeep {
        chain_id: ChainId,
        head: BlockRef,
        below: u64,
        limit: ReorgLimit,
    },
}

/// What forbids to go back further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReorgLimit {
    #[error("which is deeper than max_reorg_depth = {0}")]
    Depth(u64),
    #[error("which is below the finalized block {0}")]
    Finalized(u64),
    #[error("where the index begins (start_block = {0})")]
    Start(u64),
}

impl IngestError {
    /// Whether waiting cannot mend it: the writer ends with it.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Node { error, .. } => {
                matches!(
                    error.cause(),
                    NodeError::WrongChain { .. } | NodeError::Url { .. }
                )
            }
            Self::Store(error) => !error.is_transient(),
            Self::Silent { .. } | Self::Unlinked { .. } => false,
            Self::DifferentChain { .. }
            | Self::StartBlockMoved { .. }
            | Self::IndexModeChanged { .. }
            | Self::ReorgTooDeep { .. } => true,
        }
    }
}

fn named(number: u64) -> String {
    match number {
        0 => "genesis hash".to_owned(),
        number => format!("block {number}"),
    }
}

/// What else another block of this height may mean.
fn unless_reorg(number: u64) -> &'static str {
    match number {
        0 => "",
        _ => {
            ". If it is the same chain, a reorg went below the first indexed block: then drop what is stored, and index \
             again from a start_block that is final"
        }
    }
}
