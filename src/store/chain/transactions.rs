//! The transactions of applied blocks, with what their receipts add.

use sqlx::PgConnection;

use super::{StoreError, bigint};
use crate::model::{ChainId, IndexedBlock};

/// Inserts the transactions of blocks that are stored already.
pub(super) async fn insert(
    connection: &mut PgConnection,
    chain_id: ChainId,
    blocks: &[IndexedBlock],
) -> Result<(), StoreError> {
    let count = blocks.iter().map(|block| block.transactions.len()).sum();
    if count == 0 {
        return Ok(());
    }
    let mut numbers = Vec::with_capacity(count);
    let mut all = Vec::with_capacity(count);
    for block in blocks {
        let number = bigint(block.header.number, "block number")?;
        for transaction in &block.transactions {
            numbers.push(number);
            all.push(transaction);
        }
    }
    macro_rules! column {
        ($t:ident => $value:expr) => {
            all.iter().map(|$t| $value).collect::<Vec<_>>()
        };
        (try $t:ident => $value:expr) => {
            all.iter()
                .map(|$t| $value)
                .collect::<Result<Vec<_>, StoreError>>()?
        };
    }
    let text = |wei: Option<u128>| wei.map(|wei| wei.to_string());
    sqlx::query(
        "INSERT INTO transactions (chain_id, block_number, transaction_index, hash, from_address, to_address,
             contract_address, value, nonce, input, type, gas_limit, gas_price, max_fee_per_gas,
             max_priority_fee_per_gas, status, gas_used, cumulative_gas_used, effective_gas_price)
         SELECT $1, number, index, hash, sender, receiver, contract, value::numeric, nonce::numeric, input, type,
             gas_limit, gas_price::numeric, max_fee::numeric, max_priority_fee::numeric, status, gas_used,
             cumulative_gas_used, effective_gas_price::numeric
         FROM unnest($2::bigint[], $3::int[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[], $8::text[],
             $9::text[], $10::bytea[], $11::smallint[], $12::bigint[], $13::text[], $14::text[], $15::text[],
             $16::smallint[], $17::bigint[], $18::bigint[], $19::text[])
             AS t (number, index, hash, sender, receiver, contract, value, nonce, input, type, gas_limit,
                 gas_price, max_fee, max_priority_fee, status, gas_used, cumulative_gas_used, effective_gas_price)",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .bind(numbers)
    .bind(column!(t => t.index as i32))
    .bind(column!(t => t.hash.as_slice()))
    .bind(column!(t => t.from.as_slice()))
    .bind(column!(t => t.to.as_ref().map(|to| to.as_slice())))
    .bind(column!(t => t.contract_address.as_ref().map(|contract| contract.as_slice())))
    .bind(column!(t => t.value.to_string()))
    .bind(column!(t => t.nonce.to_string()))
    .bind(column!(t => t.input.as_ref()))
    .bind(column!(t => i16::from(t.transaction_type)))
    .bind(column!(try t => bigint(t.gas_limit, "gas limit")))
    .bind(column!(t => text(t.gas_price)))
    .bind(column!(t => text(t.max_fee_per_gas)))
    .bind(column!(t => text(t.max_priority_fee_per_gas)))
    .bind(column!(t => t.success.map(i16::from)))
    .bind(column!(try t => bigint(t.gas_used, "gas used")))
    .bind(column!(try t => bigint(t.cumulative_gas_used, "cumulative gas used")))
    .bind(column!(t => t.effective_gas_price.to_string()))
    .execute(connection)
    .await?;
    Ok(())
}
