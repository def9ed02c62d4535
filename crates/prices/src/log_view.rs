//! A log as seen by price sources.
//!
//! The content is untrusted: it is whatever a contract emitted.

use chaincast_protocol::{Address, B256};

/// A borrowed log of a block.
#[derive(Debug, Clone, Copy)]
pub struct LogView<'a> {
    pub address: Address,
    pub topics: &'a [B256],
    pub data: &'a [u8],
    pub block_number: u64,
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
