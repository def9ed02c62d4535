//! What configured contracts say.

use super::Address;

/// An event of a configured contract, decoded from a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodedEvent {
    /// Position of the contract among those configured for its chain.
    pub contract: usize,
    /// The event's name as its ABI has it.
    pub event: std::sync::Arc<str>,
    /// The contract that emitted it.
    pub address: Address,
    /// Its arguments by name: the text of one JSON object.
    pub args: String,
    pub block_number: u64,
    pub log_index: u32,
    pub transaction_index: u32,
}

/// An address that a factory's event named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundAddress {
    /// Position of the contract among those configured for its chain.
    pub contract: usize,
    pub address: Address,
    /// Where it was named: its logs count from there on.
    pub block_number: u64,
    pub log_index: u32,
}
