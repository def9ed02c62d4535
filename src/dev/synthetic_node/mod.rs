//! A synthetic node: a made-up chain that is true to the last hash, served as fast as sockets go.
//!
//! - [`SyntheticChain`]: blocks made from a seed. Header hashes, parent links, both roots, blooms and signatures are
//!   what they would be on Ethereum, so that every check of a block passes; state roots and gas are made up, as
//!   nothing is executed.
//! - [`SyntheticNode`]: serves such a chain by JSON-RPC over HTTP (batches too) and WebSocket (`newHeads`).
//!
//! Promises: the same options give the same bytes on every machine; answers are slices of what was rendered before,
//! so that the node is not what a measurement measures. Assumes that its keys guard nothing: they follow from the
//! seed and share one signing nonce.

mod accounts;
mod answer;
mod body;
mod chain;
mod logs;
mod random;
mod render;
mod rpc;
mod server;
#[cfg(test)]
mod tests;
mod traffic;

pub use self::{
    chain::SyntheticChain,
    server::{SyntheticNode, SyntheticNodeOptions},
};

/// What a [`SyntheticChain`] is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyntheticOptions {
    /// EIP-155 id.
    pub chain_id: u64,
    /// Another seed is another chain.
    pub seed: u64,
    /// Blocks above block 0, which has no transactions.
    pub blocks: u64,
    /// Transactions of each of them.
    pub transactions: usize,
    pub traffic: Traffic,
}

/// What the transactions of a [`SyntheticChain`] do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// Each an EIP-1559 call of an ERC-20 token's `transfer`, with one `Transfer` log.
    Transfers,
    /// In turn: legacy with and without EIP-155, EIP-2930, EIP-1559, EIP-4844, EIP-7702, a creation, a failure, and
    /// one with logs of ERC-721 and ERC-1155.
    Varied,
}

impl Default for SyntheticOptions {
    fn default() -> Self {
        Self {
            chain_id: 1_337,
            seed: 1,
            blocks: 1_000,
            transactions: 100,
            traffic: Traffic::Transfers,
        }
    }
}
