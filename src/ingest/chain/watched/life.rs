//! The life of watched transactions: included, confirmed block by block, or replaced.

use rustc_hash::FxHashSet;
use sqlx::PgConnection;

use super::told;
use crate::{
    model::{ChainId, IndexedBlock, NewUpdate, TransactionStatus, TransactionUpdate},
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
    let Some(first) = blocks.first() else {
        return Ok(Vec::new());
    };
    let sent: Vec<Inclusion> = blocks.iter().flat_map(inclusions).collect();
    let included: Vec<Inclusion> = sent
        .iter()
        .filter(|sent| watched.contains(sent.hash.as_slice()))
        .copied()
        .collect();
    watches::include(connection, chain, &included).await?;
    let replaced = watches::replace(connection, chain, &sent).await?;
    // The last one that the first new block still confirms lies depth - 1 below it.
    let above = first.header.number.saturating_sub(depth);
    let young = watches::confirming(connection, chain, above).await?;
    let mut news = Vec::new();
    for block in blocks {
        let at = block.header.number;
        let gone = replaced
            .iter()
            .filter(|update| update.block_number == Some(at));
        news.extend(gone.cloned().map(told));
        news.extend(
            young
                .iter()
                .filter_map(|update| confirmed(update, at, depth))
                .map(told),
        );
    }
    Ok(news)
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

/// What the block at height `at` says of a transaction: one more confirmation, up to `depth` of them.
fn confirmed(update: &TransactionUpdate, at: u64, depth: u64) -> Option<TransactionUpdate> {
    let below = at.checked_sub(update.block_number?)?;
    let count = below + 1;
    (count <= depth).then(|| TransactionUpdate {
        status: match count == depth {
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
    use crate::model::B256;

    #[test]
    fn each_block_confirms_once_more_until_the_depth_and_no_further() {
        let update = TransactionUpdate {
            block_number: Some(7),
            ..TransactionUpdate::of(B256::ZERO, TransactionStatus::Included, Some(1))
        };
        let told: Vec<_> = (5..=11)
            .filter_map(|at| confirmed(&update, at, 3))
            .map(|update| (update.status, update.confirmations.unwrap()))
            .collect();
        assert_eq!(
            told,
            [
                (TransactionStatus::Included, 1),
                (TransactionStatus::Included, 2),
                (TransactionStatus::Confirmed, 3)
            ]
        );
    }
}
