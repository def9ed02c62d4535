//! Activity of watched addresses in new blocks.

use rustc_hash::FxHashSet;

use super::{address_events, address_update};
use chaincast_model::{IndexedBlock, IndexedTransaction, Transfer};
use chaincast_protocol::{Address, ChainId, Event, NewUpdate};

/// Every transaction hash and address in these blocks that can be watched.
pub(super) fn touched(blocks: &[IndexedBlock]) -> FxHashSet<Vec<u8>> {
    let mut keys = FxHashSet::default();
    for block in blocks {
        for sent in &block.transactions {
            keys.insert(sent.hash.to_vec());
            keys.extend(parties(sent).map(|address| address.to_vec()));
        }
        for moved in &block.transfers {
            keys.extend([moved.from.to_vec(), moved.to.to_vec()]);
        }
    }
    keys
}

/// The updates of watched addresses, in block order: each transaction, then its transfers. Below `native_from`, where
/// native transfers emit no logs, the transaction's own value counts as a transfer.
pub(super) fn block_updates(
    chain: ChainId,
    blocks: &[IndexedBlock],
    native_from: Option<u64>,
    watched: &FxHashSet<Vec<u8>>,
) -> Vec<NewUpdate> {
    let mut new_updates = Vec::new();
    if watched.is_empty() {
        return new_updates;
    }
    let watched = |address: &Address| watched.contains(address.as_slice());
    for block in blocks {
        let values = native_from.is_none_or(|from| block.header.number < from);
        let mut moves = block.transfers.iter().peekable();
        for sent in &block.transactions {
            for address in dedup(parties(sent)).filter(watched) {
                let event = address_events::transaction(chain, block, sent);
                new_updates.push(address_update(
                    address,
                    Event::AddressTransaction(Box::new(event)),
                ));
            }
            if values {
                new_updates.extend(value_updates(chain, block, sent, watched));
            }
            while let Some(moved) = moves.next_if(|moved| moved.transaction_index <= sent.index) {
                new_updates.extend(transfer_updates(chain, block, moved, watched));
            }
        }
        // Where transactions are not indexed, only transfers remain.
        for moved in moves {
            new_updates.extend(transfer_updates(chain, block, moved, watched));
        }
    }
    new_updates
}

fn value_updates(
    chain: ChainId,
    block: &IndexedBlock,
    sent: &IndexedTransaction,
    watched: impl Fn(&Address) -> bool,
) -> Vec<NewUpdate> {
    dedup(
        [Some(sent.from), sent.value_recipient()]
            .into_iter()
            .flatten(),
    )
    .filter(watched)
    .filter_map(|address| {
        let event = address_events::value_transfer(chain, block, sent)?;
        Some(address_update(
            address,
            Event::AddressTransfer(Box::new(event)),
        ))
    })
    .collect()
}

fn transfer_updates(
    chain: ChainId,
    block: &IndexedBlock,
    moved: &Transfer,
    watched: impl Fn(&Address) -> bool,
) -> Vec<NewUpdate> {
    dedup([moved.from, moved.to].into_iter())
        .filter(watched)
        .map(|address| {
            let event = address_events::transfer(chain, block, moved);
            address_update(address, Event::AddressTransfer(Box::new(event)))
        })
        .collect()
}

fn parties(sent: &IndexedTransaction) -> impl Iterator<Item = Address> {
    [Some(sent.from), sent.to, sent.contract_address]
        .into_iter()
        .flatten()
}

/// Without repeats: a transfer of an address to itself is published once.
fn dedup(addresses: impl Iterator<Item = Address>) -> impl Iterator<Item = Address> {
    let mut seen = Vec::with_capacity(3);
    addresses.filter(move |address| {
        let new = !seen.contains(address);
        seen.push(*address);
        new
    })
}
