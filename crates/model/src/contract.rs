//! Decoded data of configured contracts.

use chaincast_protocol::Address;

/// An event of a configured contract, decoded from a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodedEvent {
    /// Position of the contract among those configured for its chain.
    pub contract: usize,
    /// The event's name in the ABI.
    pub event: std::sync::Arc<str>,
    /// The contract that emitted it.
    pub address: Address,
    /// Its arguments by name: the text of one JSON object.
    pub args: String,
    /// Height of the block with its log.
    pub block_number: u64,
    /// Position of its log among all logs of the block.
    pub log_index: u32,
    /// Position of its transaction in the block.
    pub transaction_index: u32,
}

/// An address that a factory's event announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundAddress {
    /// Position of the contract among those configured for its chain.
    pub contract: usize,
    /// The announced contract.
    pub address: Address,
    /// Height of the announcing event: logs of the address are decoded from there on.
    pub block_number: u64,
    /// Position of the announcing event's log among all logs of its block.
    pub log_index: u32,
}
