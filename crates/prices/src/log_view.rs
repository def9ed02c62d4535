//! A log as seen by price sources.
//!
//! The content is untrusted: it is whatever a contract emitted.

use chaincast_protocol::{Address, B256};

/// A borrowed log of a block.
#[derive(Debug, Clone, Copy)]
pub struct LogView<'a> {
    /// The contract that emitted it.
    pub address: Address,
    /// At most four; the first one identifies the event.
    pub topics: &'a [B256],
    /// The parameters that are not topics, ABI-encoded.
    pub data: &'a [u8],
    /// The height of its block.
    pub block_number: u64,
    /// The hash of its block.
    pub block_hash: B256,
    /// The header's timestamp, in seconds.
    pub block_timestamp: u64,
    /// Position among all logs of the block.
    pub log_index: u32,
}

#[cfg(test)]
pub(super) mod tests {
    use alloy::primitives::LogData;

    use super::*;

    /// A log in a block with this timestamp, in seconds.
    pub(in super::super) fn view(log: &LogData, block_timestamp: u64) -> LogView<'_> {
        LogView {
            address: Address::ZERO,
            topics: log.topics(),
            data: &log.data,
            block_number: 1,
            block_hash: B256::ZERO,
            block_timestamp,
            log_index: 0,
        }
    }
}
