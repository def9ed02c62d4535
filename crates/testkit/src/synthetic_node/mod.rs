//! A synthetic node: a generated chain with valid hashes, served as fast as the sockets allow.
//!
//! - [`SyntheticChain`]: blocks generated from a seed. Header hashes, parent links, both roots, blooms and signatures
//!   are valid as on Ethereum, so every check of a block passes. State roots and gas are arbitrary, because nothing is
//!   executed.
//! - [`SyntheticNode`]: serves such a chain by JSON-RPC over HTTP (with batches) and WebSocket (`newHeads`).
//!
//! Promises: the same options give the same bytes on every machine; answers are slices of data rendered beforehand, so
//! the node does not dominate a measurement. Assumes that its keys protect nothing: they derive from the seed and share
//! one signing nonce.

mod accounts;
mod answer;
mod body;
mod chain;
mod logs;
mod options;
mod random;
mod render;
mod rpc;
mod server;
#[cfg(test)]
mod tests;
mod traffic;

pub use self::{chain::SyntheticChain, options::SyntheticNodeOptions, server::SyntheticNode};

/// Options of a [`SyntheticChain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyntheticOptions {
    /// EIP-155 id.
    pub chain_id: u64,
    /// Different seeds give different chains.
    pub seed: u64,
    /// Blocks above block 0, which has no transactions.
    pub blocks: u64,
    /// Transactions per block.
    pub transactions: usize,
    /// What the transactions are.
    pub traffic: Traffic,
}

/// The kind of transactions of a [`SyntheticChain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// EIP-1559 calls of an ERC-20 token's `transfer`, each with one `Transfer` log.
    Transfers,
    /// In rotation: legacy with and without EIP-155, EIP-2930, EIP-1559, EIP-4844, EIP-7702, a contract creation, a
    /// failure, and one with logs of ERC-721 and ERC-1155.
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
