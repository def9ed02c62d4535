//! The lifecycle of watched transactions: included, confirmed block by block, or replaced.

use rustc_hash::{FxHashMap, FxHashSet};
use sqlx::PgConnection;

use super::transaction_update;
use chaincast_model::IndexedBlock;
use chaincast_protocol::{B256, ChainId, NewUpdate, TransactionStatus, TransactionUpdate};
use chaincast_store::{
    StoreError,
    watches::{self, Inclusion},
};

/// The updates of watched transactions for consecutive new blocks, in block order.
pub(super) async fn block_updates(
    connection: &mut PgConnection,
    chain: ChainId,
    depth: u64,
    blocks: &[IndexedBlock],
    watched: &FxHashSet<Vec<u8>>,
) -> Result<Vec<NewUpdate>, StoreError> {
    let sent: Vec<Inclusion> = blocks.iter().flat_map(inclusions).collect();
    let included = sent
        .iter()
        .filter(|sent| watched.contains(sent.hash.as_slice()));
    let included = dedup(included.copied());
    watches::include(connection, chain, &included).await?;
    let replaced = watches::replace(connection, chain, &sent).await?;
    let unconfirmed = watches::confirming(connection, chain).await?;
    let (mut new_updates, mut newly_confirmed) = (Vec::new(), FxHashSet::default());
    for block in blocks {
        let at = block.header.number;
        let replaced_here = replaced
            .iter()
            .filter(|update| update.block_number == Some(at));
        new_updates.extend(replaced_here.cloned().map(transaction_update));
        for update in &unconfirmed {
            let Some(update) = confirmed(update, at, depth) else {
                continue;
            };
            if update.status == TransactionStatus::Confirmed && !newly_confirmed.insert(update.hash)
            {
                continue;
            }
            new_updates.push(transaction_update(update));
        }
    }
    watches::confirm(connection, &Vec::from_iter(newly_confirmed)).await?;
    Ok(new_updates)
}

/// Each transaction once. If several blocks include it, the one where it succeeded, or else the last.
fn dedup(sent: impl Iterator<Item = Inclusion>) -> Vec<Inclusion> {
    let mut by_hash = FxHashMap::<B256, Inclusion>::default();
    for sent in sent {
        let known = by_hash.entry(sent.hash).or_insert(sent);
        if known.succeeded != Some(true) || sent.succeeded == Some(true) {
            *known = sent;
        }
    }
    by_hash.into_values().collect()
}

/// The updates of transactions that a reorg to height `at` left in their blocks.
pub(super) fn after_reorg(
    updates: &[TransactionUpdate],
    at: u64,
    depth: u64,
) -> impl Iterator<Item = NewUpdate> {
    updates
        .iter()
        .filter_map(move |update| confirmed(update, at, depth))
        .map(transaction_update)
}

fn inclusions(block: &IndexedBlock) -> impl Iterator<Item = Inclusion> {
    let at = block.block_ref();
    block.transactions.iter().map(move |sent| Inclusion {
        hash: sent.hash,
        block: at,
        index: sent.index,
        succeeded: sent.success,
        sender: sent.from,
        nonce: sent.nonce,
    })
}

/// The update of an unconfirmed transaction at the block of height `at`. It may be deeper than `depth` already: the blocks
/// between were not announced.
fn confirmed(update: &TransactionUpdate, at: u64, depth: u64) -> Option<TransactionUpdate> {
    let count = at.checked_sub(update.block_number?)? + 1;
    Some(TransactionUpdate {
        status: match count >= depth {
            true => TransactionStatus::Confirmed,
            false => TransactionStatus::Included,
        },
        confirmations: Some(count),
        ..update.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaincast_protocol::{Address, BlockRef};

    #[test]
    fn transaction_is_confirmed_at_depth() {
        let update = TransactionUpdate {
            block_number: Some(7),
            ..TransactionUpdate::new(B256::ZERO, TransactionStatus::Included, Some(1))
        };
        let status_at = |at| {
            let update = confirmed(&update, at, 3)?;
            Some((update.status, update.confirmations.unwrap()))
        };
        assert_eq!(status_at(6), None);
        assert_eq!(status_at(7), Some((TransactionStatus::Included, 1)));
        assert_eq!(status_at(8), Some((TransactionStatus::Included, 2)));
        assert_eq!(status_at(9), Some((TransactionStatus::Confirmed, 3)));
        assert_eq!(status_at(900), Some((TransactionStatus::Confirmed, 894)));
    }

    #[test]
    fn dedup_prefers_successful_inclusion() {
        let sent = |number, succeeded| Inclusion {
            hash: B256::ZERO,
            block: BlockRef {
                number,
                hash: B256::ZERO,
            },
            index: 0,
            succeeded,
            sender: Address::ZERO,
            nonce: 0,
        };
        let (no, yes) = (Some(false), Some(true));
        for (given, expected) in [
            (&[(1, no), (2, yes)][..], 2),
            (&[(1, yes), (2, no)], 1),
            (&[(1, no), (2, no)], 2),
            (&[(1, None), (2, None)], 2),
        ] {
            let given = given.iter().map(|(number, ok)| sent(*number, *ok));
            let taken = dedup(given);
            assert_eq!(taken.len(), 1);
            assert_eq!(taken[0].block.number, expected);
        }
    }
}
