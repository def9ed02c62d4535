//! Price observations in the logs of a block.

use chaincast_model::{IndexedBlock, Tick};
use chaincast_prices::{LogView, OnChainSources};
use chaincast_protocol::ChainId;

/// Decodes on-chain price sources from logs. Pure: the same log gives the same ticks.
pub trait TickDecoder: Send + Sync {
    /// The ticks in a log; empty if it belongs to no configured source or has no usable price.
    fn decode(&self, chain_id: ChainId, log: &LogView<'_>) -> Vec<Tick>;

    /// The configured sources, for work that needs more than one log: contract reads and averages. `None` if only logs
    /// are decoded.
    fn on_chain(&self) -> Option<&OnChainSources> {
        None
    }
}

/// Omits rejected ticks: the sources have already counted and logged them.
impl TickDecoder for OnChainSources {
    fn decode(&self, chain_id: ChainId, log: &LogView<'_>) -> Vec<Tick> {
        let read = OnChainSources::decode(self, chain_id, log);
        read.into_iter().flatten().collect()
    }

    fn on_chain(&self) -> Option<&OnChainSources> {
        Some(self)
    }
}

/// All ticks of some blocks, in order.
pub(super) fn decode_ticks(
    decoder: &dyn TickDecoder,
    chain_id: ChainId,
    blocks: &[IndexedBlock],
) -> Vec<Tick> {
    let logs = blocks
        .iter()
        .flat_map(|block| block.logs.iter().map(move |log| (block, log)));
    logs.flat_map(|(block, log)| {
        let view = LogView {
            address: log.address,
            topics: &log.topics,
            data: &log.data,
            block_number: block.header.number,
            block_hash: block.header.hash,
            block_timestamp: block.header.timestamp,
            log_index: log.index,
        };
        decoder.decode(chain_id, &view)
    })
    .collect()
}
