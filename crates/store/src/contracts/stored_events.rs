//! Stored contract data, for `verify`, which decodes the stored logs again.

use alloy::primitives::Bytes;
use sqlx::{PgConnection, Row};

use crate::{StoreError, chain::bigint};
use chaincast_protocol::{Address, B256, ChainId};

/// An active definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InForce {
    /// Key in the table `contracts`.
    pub id: i64,
    /// As in [`Definition::definition`](super::Definition::definition).
    pub definition: B256,
    /// Every block from here to the head is decoded.
    pub decoded_from: u64,
    /// The factory's own logs are read from here to the head.
    pub found_from: u64,
}

/// A row of `contract_events`. The address keeps the length stored in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Height of its block.
    pub block_number: u64,
    /// Position of its log among all logs of the block.
    pub log_index: u32,
    /// Position of its transaction in the block.
    pub transaction_index: u32,
    /// The event's name in the ABI.
    pub event: String,
    /// The contract that emitted it.
    pub address: Bytes,
    /// JSON text.
    pub args: String,
}

/// The active definitions of a chain.
pub async fn in_force(
    connection: &mut PgConnection,
    chain_id: ChainId,
) -> Result<Vec<InForce>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, definition, decoded_from, found_from FROM contracts WHERE chain_id = $1 AND retired_at IS NULL",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let definition: &[u8] = row.try_get("definition")?;
            Ok(InForce {
                id: row.try_get("id")?,
                definition: B256::try_from(definition).map_err(|error| StoreError::Corrupt {
                    what: "contract definition",
                    reason: error.to_string(),
                })?,
                decoded_from: row.try_get::<i64, _>("decoded_from")? as u64,
                found_from: row.try_get::<i64, _>("found_from")? as u64,
            })
        })
        .collect()
}

/// The stored events of a contract in blocks with `from <= number < below`, in order.
pub async fn events_between(
    connection: &mut PgConnection,
    id: i64,
    from: u64,
    below: u64,
) -> Result<Vec<StoredEvent>, StoreError> {
    let rows = sqlx::query(
        "SELECT block_number, log_index, transaction_index, event, address, args::text AS args FROM contract_events
         WHERE contract_id = $1 AND block_number >= $2 AND block_number < $3 ORDER BY block_number, log_index",
    )
    .bind(id)
    .bind(bigint(from, "block number")?)
    .bind(bigint(below, "block number")?)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(StoredEvent {
                block_number: row.try_get::<i64, _>("block_number")? as u64,
                log_index: row.try_get::<i32, _>("log_index")? as u32,
                transaction_index: row.try_get::<i32, _>("transaction_index")? as u32,
                event: row.try_get("event")?,
                address: Bytes::copy_from_slice(row.try_get("address")?),
                args: row.try_get("args")?,
            })
        })
        .collect()
}

/// Stored addresses of a factory that no stored log of the factory in the same block announces, with their blocks. The
/// factory's event has this topic and is emitted by one of `factories`.
pub async fn unannounced_addresses(
    connection: &mut PgConnection,
    chain_id: ChainId,
    id: i64,
    factories: &[Address],
    topic: B256,
    limit: u32,
) -> Result<Vec<(u64, String)>, StoreError> {
    let factories: Vec<&[u8]> = factories.iter().map(|one| one.as_slice()).collect();
    let rows = sqlx::query(
        "SELECT a.block_number, format('address 0x%s of log %s, which does not announce it',
                encode(a.address, 'hex'), a.log_index)
         FROM contract_addresses a WHERE a.contract_id = $2 AND NOT EXISTS (SELECT FROM logs l
             WHERE l.chain_id = $1 AND l.block_number = a.block_number AND l.log_index = a.log_index
                 AND l.address = ANY ($3) AND l.topic0 = $4
                 AND position(a.address IN coalesce(l.topic1, '') || coalesce(l.topic2, '') || coalesce(l.topic3, '')
                     || l.data) > 0)
         ORDER BY 1, a.log_index LIMIT $5",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .bind(id)
    .bind(factories)
    .bind(topic.as_slice())
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| Ok((row.try_get::<i64, _>(0)? as u64, row.try_get(1)?)))
        .collect()
}
