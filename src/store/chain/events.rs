//! The logs of applied blocks, and the transfers among them.

use sqlx::PgConnection;

use super::{StoreError, bigint};
use crate::model::{ChainId, IndexedBlock};

/// Inserts the logs of blocks that are stored already.
pub(super) async fn insert_logs(
    connection: &mut PgConnection,
    chain_id: ChainId,
    blocks: &[IndexedBlock],
) -> Result<(), StoreError> {
    let (mut numbers, mut indexes, mut transactions) = (vec![], vec![], vec![]);
    let (mut addresses, mut data, mut hashes) = (vec![], vec![], vec![]);
    let mut topics: [Vec<Option<&[u8]>>; 4] = Default::default();
    for block in blocks {
        let number = bigint(block.header.number, "block number")?;
        for log in &block.logs {
            numbers.push(number);
            indexes.push(log.index as i32);
            transactions.push(log.transaction_index as i32);
            addresses.push(log.address.as_slice());
            for (position, column) in topics.iter_mut().enumerate() {
                column.push(log.topics.get(position).map(|topic| topic.as_slice()));
            }
            data.push(log.data.as_ref());
            hashes.push(log.transaction_hash.as_ref().map(|hash| hash.as_slice()));
        }
    }
    if numbers.is_empty() {
        return Ok(());
    }
    let [topic0, topic1, topic2, topic3] = topics;
    sqlx::query(
        "INSERT INTO logs (chain_id, block_number, log_index, transaction_index, address,
             topic0, topic1, topic2, topic3, data, transaction_hash)
         SELECT $1, * FROM unnest($2::bigint[], $3::int[], $4::int[], $5::bytea[],
             $6::bytea[], $7::bytea[], $8::bytea[], $9::bytea[], $10::bytea[], $11::bytea[])",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .bind(numbers)
    .bind(indexes)
    .bind(transactions)
    .bind(addresses)
    .bind(topic0)
    .bind(topic1)
    .bind(topic2)
    .bind(topic3)
    .bind(data)
    .bind(hashes)
    .execute(connection)
    .await?;
    Ok(())
}

/// Inserts the transfers of blocks that are stored already.
pub(super) async fn insert_transfers(
    connection: &mut PgConnection,
    chain_id: ChainId,
    blocks: &[IndexedBlock],
) -> Result<(), StoreError> {
    let (mut numbers, mut indexes, mut transactions) = (vec![], vec![], vec![]);
    let (mut tokens, mut senders, mut receivers, mut amounts) = (vec![], vec![], vec![], vec![]);
    let (mut positions, mut standards, mut ids, mut hashes) = (vec![], vec![], vec![], vec![]);
    for block in blocks {
        let number = bigint(block.header.number, "block number")?;
        for transfer in &block.transfers {
            numbers.push(number);
            indexes.push(transfer.log_index as i32);
            transactions.push(transfer.transaction_index as i32);
            tokens.push(transfer.token.as_slice());
            senders.push(transfer.from.as_slice());
            receivers.push(transfer.to.as_slice());
            amounts.push(transfer.amount.to_string());
            positions.push(transfer.position as i32);
            standards.push(transfer.standard.number());
            ids.push(transfer.token_id.map(|id| id.to_string()));
            hashes.push(
                transfer
                    .transaction_hash
                    .as_ref()
                    .map(|hash| hash.as_slice()),
            );
        }
    }
    if numbers.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO transfers (chain_id, block_number, log_index, transaction_index, token_address,
             from_address, to_address, amount, position, standard, token_id, transaction_hash)
         SELECT $1, number, log_index, transaction_index, token, sender, receiver, amount::numeric, position,
             standard, token_id::numeric, hash
         FROM unnest($2::bigint[], $3::int[], $4::int[], $5::bytea[], $6::bytea[], $7::bytea[], $8::text[],
             $9::int[], $10::smallint[], $11::text[], $12::bytea[])
             AS t (number, log_index, transaction_index, token, sender, receiver, amount, position, standard,
                 token_id, hash)",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .bind(numbers)
    .bind(indexes)
    .bind(transactions)
    .bind(tokens)
    .bind(senders)
    .bind(receivers)
    .bind(amounts)
    .bind(positions)
    .bind(standards)
    .bind(ids)
    .bind(hashes)
    .execute(connection)
    .await?;
    Ok(())
}
