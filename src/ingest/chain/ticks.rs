//! Price observations in the logs of a block.

use crate::{
    model::{ChainId, IndexedBlock, Tick},
    source::price::{LogView, OnChainSources},
};

/// Reads the price sources that live on a chain out of its logs. Pure: the same log gives the same ticks.
pub trait TickDecoder: Send + Sync {
    /// The ticks in a log; none when it is of no configured source, or nothing usable is in it.
    fn decode(&self, chain_id: ChainId, log: &LogView<'_>) -> Vec<Tick>;

    /// The configured sources themselves, for what needs more than one log: contracts that are to be asked what they
    /// are, and averages. `None` where nothing but logs is read.
    fn on_chain(&self) -> Option<&OnChainSources> {
        None
    }
}

/// Leaves out what was refused: the sources counted and logged it.
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
pub(super) fn ticks_of(
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
