//! What of new blocks touches which address.

use rustc_hash::FxHashSet;

use super::addressed;
use crate::model::{
    Address, AddressTransaction, AddressTransfer, ChainId, Event, IndexedBlock, IndexedTransaction,
    NewUpdate, Transfer,
};

/// Every hash and address that somebody might watch in these blocks.
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

/// The updates of watched addresses, in block order: each transaction, then what it transferred. Below `native_from`,
/// where native transfers are no logs, its own value is one.
pub(super) fn of_blocks(
    chain: ChainId,
    blocks: &[IndexedBlock],
    native_from: Option<u64>,
    watched: &FxHashSet<Vec<u8>>,
) -> Vec<NewUpdate> {
    let mut news = Vec::new();
    if watched.is_empty() {
        return news;
    }
    let watched = |address: &Address| watched.contains(address.as_slice());
    for block in blocks {
        let values = native_from.is_none_or(|from| block.header.number < from);
        let mut moves = block.transfers.iter().peekable();
        for sent in &block.transactions {
            for address in once(parties(sent)).filter(watched) {
                let event = AddressTransaction::new(chain, block, sent);
                news.push(addressed(
                    address,
                    Event::AddressTransaction(Box::new(event)),
                ));
            }
            if values {
                news.extend(value_of(chain, block, sent, watched));
            }
            while let Some(moved) = moves.next_if(|moved| moved.transaction_index <= sent.index) {
                news.extend(moved_by(chain, block, moved, watched));
            }
        }
        // Where transactions are not indexed, transfers are all there is.
        for moved in moves {
            news.extend(moved_by(chain, block, moved, watched));
        }
    }
    news
}

fn value_of(
    chain: ChainId,
    block: &IndexedBlock,
    sent: &IndexedTransaction,
    watched: impl Fn(&Address) -> bool,
) -> Vec<NewUpdate> {
    once([Some(sent.from), sent.paid()].into_iter().flatten())
        .filter(watched)
        .filter_map(|address| {
            let event = AddressTransfer::of_value(chain, block, sent)?;
            Some(addressed(address, Event::AddressTransfer(Box::new(event))))
        })
        .collect()
}

fn moved_by(
    chain: ChainId,
    block: &IndexedBlock,
    moved: &Transfer,
    watched: impl Fn(&Address) -> bool,
) -> Vec<NewUpdate> {
    once([moved.from, moved.to].into_iter())
        .filter(watched)
        .map(|address| {
            let event = AddressTransfer::new(chain, block, moved);
            addressed(address, Event::AddressTransfer(Box::new(event)))
        })
        .collect()
}

fn parties(sent: &IndexedTransaction) -> impl Iterator<Item = Address> {
    [Some(sent.from), sent.to, sent.contract_address]
        .into_iter()
        .flatten()
}

/// Without repeats: what an address sends itself is told once.
fn once(addresses: impl Iterator<Item = Address>) -> impl Iterator<Item = Address> {
    let mut seen = Vec::with_capacity(3);
    addresses.filter(move |address| {
        let new = !seen.contains(address);
        seen.push(*address);
        new
    })
}
