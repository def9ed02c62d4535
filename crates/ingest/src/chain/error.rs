//! Errors of the chain writer.

use std::time::Duration;

use chaincast_evm::chain::NodeError;
use chaincast_model::IndexMode;
use chaincast_protocol::{B256, BlockRef, ChainId};
use chaincast_store::StoreError;

/// An error that prevented a chain writer from starting, or ended it.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// No provider of the chain can serve a request.
    #[error("chain {chain_id} (chains.rpc_url): {error}")]
    Node {
        /// EIP-155 id of the writer's chain.
        chain_id: ChainId,
        /// The cause; [`NodeError::Several`] if more than one provider was tried.
        error: NodeError,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database did not answer in time. Whether a commit was applied is unknown.
    #[error("chain {chain_id}: the database did not answer within {limit:?}")]
    Timeout {
        /// EIP-155 id of the writer's chain.
        chain_id: ChainId,
        /// The time limit of the operation.
        limit: Duration,
    },
    /// The node's block at this height has another hash than the stored block that identifies the chain.
    #[error(
        "the database holds another chain {chain_id} than the node serves: {} {stored} is stored, the \
         node has {actual}. Correct chains.rpc_url or database.url, or drop the stored data: \
         `chaincast dev` does that with --reset{}",
        named(*.number), unless_reorg(*.number)
    )]
    DifferentChain {
        /// EIP-155 id that both chains have.
        chain_id: ChainId,
        /// Height of the block that identifies the chain: 0, or the first indexed block where the node has no block 0.
        number: u64,
        /// Hash of the stored block.
        stored: B256,
        /// Hash of the node's block.
        actual: B256,
    },
    /// `chains.start_block` is below the first indexed block.
    #[error(
        "chain {chain_id} is indexed from block {stored}, but start_block is {configured}: run `chaincast backfill \
         --from {configured}` to index the blocks below, or set start_block = {stored}"
    )]
    StartBlockMoved {
        /// EIP-155 id of the writer's chain.
        chain_id: ChainId,
        /// The first indexed block.
        stored: u64,
        /// `chains.start_block`.
        configured: u64,
    },
    /// The node's block below the first stored one is not its parent.
    #[error(
        "chain {chain_id}: the node's block {} {} is not the parent of the stored block above it; expected {expected}. \
         The node follows another branch, or lags. If this persists, run `chaincast serve` until it has followed the \
         reorg", .block.number, .block.hash
    )]
    Unlinked {
        /// EIP-155 id of the writer's chain.
        chain_id: ChainId,
        /// The node's block below the first stored one.
        block: BlockRef,
        /// The parent hash of the first stored block.
        expected: B256,
    },
    /// `chains.index` differs from the mode in which the chain is indexed.
    #[error(
        "chain {chain_id} is indexed with index = \"{stored}\", but \"{configured}\" is configured: set chains.index \
         back, or use another database"
    )]
    IndexModeChanged {
        /// EIP-155 id of the writer's chain.
        chain_id: ChainId,
        /// The mode in which the chain is indexed.
        stored: IndexMode,
        /// `chains.index`.
        configured: IndexMode,
    },
    /// The node follows a branch that forks from the indexed one below a block that no reorg may drop.
    #[error(
        "chain {chain_id}: the node follows a branch that forks from the indexed one below block {}, {limit}. If this \
         branch is canonical, raise chains.max_reorg_depth if that is the limit, or drop the stored data and index \
         again (`chaincast dev` does that with --reset). If it is not, set chains.rpc_url to another node. The indexed \
         head is block {} {}",
        .below, .head.number, .head.hash
    )]
    ReorgTooDeep {
        /// EIP-155 id of the writer's chain.
        chain_id: ChainId,
        /// The indexed head.
        head: BlockRef,
        /// Height of the lowest known block of the node's branch: the fork is below it.
        below: u64,
        /// The limit that forbids dropping the indexed block at that height.
        limit: ReorgLimit,
    },
}

/// The limit that a reorg exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReorgLimit {
    /// More than this many blocks would be dropped (`chains.max_reorg_depth`).
    #[error("which is deeper than max_reorg_depth = {0}")]
    Depth(u64),
    /// The indexed block at this height is final.
    #[error("which is below the finalized block {0}")]
    Finalized(u64),
    /// The first indexed block would be dropped; nothing below it is stored.
    #[error("which is the first indexed block (start_block = {0})")]
    Start(u64),
}

impl IngestError {
    /// Whether a retry cannot fix it, so that the writer ends.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Node { error, .. } => {
                matches!(
                    error.cause(),
                    NodeError::WrongChain { .. } | NodeError::Url { .. }
                )
            }
            Self::Store(error) => !error.is_transient(),
            Self::Timeout { .. } | Self::Unlinked { .. } => false,
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

/// The other possible cause of a different block at this height.
fn unless_reorg(number: u64) -> &'static str {
    match number {
        0 => "",
        _ => {
            ". If it is the same chain, a reorg went below the first indexed block: drop the stored data and index again \
             from a finalized start_block"
        }
    }
}
