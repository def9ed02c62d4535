//! Updates of configured contracts.

use std::collections::HashMap;

use serde_json::value::RawValue;
use sqlx::PgConnection;

use super::{Contracts, stored};
use chaincast_model::{DecodedEvent, IndexedBlock};
use chaincast_protocol::{
    BlockRef, Channel, ContractEvent, ContractReorg, Event, NewUpdate, now_ms,
};
use chaincast_store::StoreError;

impl Contracts {
    /// The events of announced blocks, each for its contract's channel and for the event's channel.
    pub(in crate::chain) fn event_updates(
        &self,
        events: &[DecodedEvent],
        blocks: &[IndexedBlock],
        announce_from: u64,
    ) -> Vec<NewUpdate> {
        self.count(events);
        let by_number: HashMap<_, _> = match events {
            [] => HashMap::new(),
            _ => blocks
                .iter()
                .map(|block| (block.header.number, block))
                .collect(),
        };
        let mut new_updates = Vec::new();
        for event in events
            .iter()
            .filter(|event| event.block_number >= announce_from)
        {
            let Some(block) = by_number.get(&event.block_number) else {
                continue;
            };
            let contract = &self.following.contracts()[event.contract];
            let args =
                (event.args.len() <= ContractEvent::MAX_ARGS_BYTES).then(|| event.args.clone());
            let data = ContractEvent {
                contract: contract.name.clone(),
                event: event.event.clone(),
                address: event.address.into(),
                args: args.and_then(|args| RawValue::from_string(args).ok()),
                block_number: event.block_number,
                block_hash: block.header.hash,
                block_timestamp: block.header.timestamp,
                transaction_hash: transaction_hash(block, event),
                log_index: event.log_index,
                chain_id: self.chain_id,
                timestamp: now_ms(),
            };
            let key = contract.key();
            let own = event.event.to_ascii_lowercase();
            for channel in [None, Some(own.into())] {
                new_updates.push(NewUpdate {
                    channel: Channel::Contract(key.as_str().into(), channel),
                    event: Event::ContractEvent(data.clone()),
                });
            }
        }
        new_updates
    }

    /// The channels with events in blocks above `ancestor`. Must be called before these are dropped.
    pub(in crate::chain) async fn channels_above(
        &self,
        transaction: &mut PgConnection,
        ancestor: BlockRef,
    ) -> Result<Vec<Channel>, StoreError> {
        if self.ids.is_empty() {
            return Ok(Vec::new());
        }
        stored::channels_above(transaction, self.chain_id, ancestor.number).await
    }

    /// Updates for these channels with the dropped blocks, newest first.
    pub(in crate::chain) fn reorg_updates(
        &self,
        channels: Vec<Channel>,
        common_ancestor: BlockRef,
        dropped: &[BlockRef],
    ) -> impl Iterator<Item = NewUpdate> {
        let data = ContractReorg {
            chain_id: self.chain_id,
            common_ancestor,
            dropped: dropped.to_vec(),
            timestamp: now_ms(),
        };
        channels.into_iter().map(move |channel| NewUpdate {
            channel,
            event: Event::ContractReorg(data.clone()),
        })
    }
}

fn transaction_hash(
    block: &IndexedBlock,
    event: &DecodedEvent,
) -> Option<chaincast_protocol::B256> {
    let own = block
        .logs
        .get(event.log_index as usize)
        .filter(|log| log.index == event.log_index);
    let log = own.or_else(|| block.logs.iter().find(|log| log.index == event.log_index));
    log.and_then(|log| log.transaction_hash).or_else(|| {
        let at = event.transaction_index as usize;
        block
            .transactions
            .get(at)
            .map(|transaction| transaction.hash)
    })
}
