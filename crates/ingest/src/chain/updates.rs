//! Updates of the chain's channel.

use chaincast_model::IndexedBlock;
use chaincast_protocol::{
    BlockFinalized, BlockRef, ChainId, Channel, Event, NewBlock, NewUpdate, Quantity, Reorg, now_ms,
};

/// Creates the updates of one chain's channel.
#[derive(Debug, Clone)]
pub(super) struct Announcer {
    pub(super) chain_id: ChainId,
    /// `new-block`, or `new-block:ID` for a chain that is not the first.
    pub(super) channel: Channel,
}

impl Announcer {
    pub(super) fn new(chain_id: ChainId, first_chain: ChainId) -> Self {
        let channel = Channel::NewBlock(Some(chain_id)).canonical(first_chain);
        Self { chain_id, channel }
    }

    pub(super) fn new_block(&self, block: &IndexedBlock) -> NewUpdate {
        let header = &block.header;
        self.update(Event::NewBlock(NewBlock {
            number: header.number,
            hash: header.hash,
            parent_hash: header.parent_hash,
            timestamp: now_ms(),
            block_timestamp: header.timestamp,
            transactions: block.transaction_count.into(),
            gas_used: header.gas_used.into(),
            gas_limit: header.gas_limit.into(),
            base_fee_per_gas: header.base_fee_per_gas.map(Quantity::from),
            chain_id: self.chain_id,
        }))
    }

    /// `dropped` is newest first.
    pub(super) fn reorg(&self, common_ancestor: BlockRef, dropped: Vec<BlockRef>) -> NewUpdate {
        self.update(Event::Reorg(Reorg {
            chain_id: self.chain_id,
            depth: dropped.len() as u64,
            common_ancestor,
            dropped,
            timestamp: now_ms(),
        }))
    }

    pub(super) fn finalized(&self, block: BlockRef) -> NewUpdate {
        self.update(Event::BlockFinalized(BlockFinalized {
            number: block.number,
            hash: block.hash,
            chain_id: self.chain_id,
            timestamp: now_ms(),
        }))
    }

    fn update(&self, event: Event) -> NewUpdate {
        NewUpdate {
            channel: self.channel.clone(),
            event,
        }
    }
}
