//! The life of watched transactions: included, confirmed block by block, or replaced.

use rustc_hash::{FxHashMap, FxHashSet};
use sqlx::PgConnection;

use super::told;
use crate::{
    model::{B256, ChainId, IndexedBlock, NewUpdate, TransactionStatus, TransactionUpdate},
    store::{
        StoreError,
        watches::{self, Inclusion},
    },
};

/// What consecutive new blocks mean for watched transactions, in their order.
pub(super) async fn of_blocks(
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
    let included = once(included.copied());
    watches::include(connection, chain, &included).await?;
    let replaced = watches::replace(connection, chain, &sent).await?;
    let young = watches::confirming(connection, chain).await?;
    let (mut news, mut deep) = (Vec::new(), FxHashSet::default());
    for block in blocks {
        let at = block.header.number;
        let gone = replaced
            .iter()
            .filter(|update| update.block_number == Some(at));
        news.extend(gone.cloned().map(told));
        for update in &young {
            let Some(update) = confirmed(update, at, depth) else {
                continue;
            };
            if update.status == TransactionStatus::Confirmed && !deep.insert(update.hash) {
                continue;
            }
            news.push(told(update));
        }
    }
    watches::confirm(connection, &Vec::from_iter(deep)).await?;
    Ok(news)
}

/// Each transaction once: of several blocks that hold one, where it succeeded, or else the last.
fn once(sent: impl Iterator<Item = Inclusion>) -> Vec<Inclusion> {
    let mut by_hash = FxHashMap::<B256, Inclusion>::default();
    for sent in sent {
        let known = by_hash.entry(sent.hash).or_insert(sent);
        if known.succeeded != Some(true) || sent.succeeded == Some(true) {
            *known = sent;
        }
    }
    by_hash.into_values().collect()
}

/// What to announce of transactions that a reorg to height `at` left in these blocks.
pub(super) fn held(
    updates: &[TransactionUpdate],
    at: u64,
    depth: u64,
) -> impl Iterator<Item = NewUpdate> {
    updates
        .iter()
        .filter_map(move |update| confirmed(update, at, depth))
        .map(told)
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

/// What the block at height `at` says of a transaction that is not confirmed yet. It may be deeper than it has to be:
/// the blocks between were not announced.
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
    use crate::model::{Address, BlockRef};

    #[test]
    fn a_transaction_is_confirmed_from_the_depth_on_and_told_nothing_below_its_block() {
        let update = TransactionUpdate {
            block_number: Some(7),
            ..TransactionUpdate::of(B256::ZERO, TransactionStatus::Included, Some(1))
        };
        let told = |at| {
            let update = confirmed(&update, at, 3)?;
            Some((update.status, update.confirmations.unwrap()))
        };
        assert_eq!(told(6), None);
        assert_eq!(told(7), Some((TransactionStatus::Included, 1)));
        assert_eq!(told(8), Some((TransactionStatus::Included, 2)));
        assert_eq!(told(9), Some((TransactionStatus::Confirmed, 3)));
        assert_eq!(told(900), Some((TransactionStatus::Confirmed, 894)));
    }

    #[test]
    fn takes_block_where_transaction_succeeded() {
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
            let taken = once(given);
            assert_eq!(taken.len(), 1);
            assert_eq!(taken[0].block.number, expected);
        }
    }
}
