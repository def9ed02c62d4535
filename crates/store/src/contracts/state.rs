//! The active definitions and how far each is decoded.

use sqlx::{PgConnection, Row};

use crate::{StoreError, chain::bigint};
use chaincast_model::FoundAddress;
use chaincast_protocol::{Address, B256, BlockRef, ChainId};

/// A contract as configured.
#[derive(Debug, Clone)]
pub struct Definition {
    /// The name in channels and URL paths: the configured one in lower case.
    pub name: String,
    /// The configured name.
    pub display_name: String,
    /// Hash of everything that determines the decoded events: another hash is another row.
    pub definition: B256,
    /// Addresses of the contracts, or of their factory.
    pub addresses: Vec<Address>,
    /// Signature of the factory's event; `None` without a factory.
    pub factory_event: Option<String>,
    /// Signatures of the decoded events, such as `Transfer(address,address,uint256)`.
    pub events: Vec<String>,
    /// Logs of blocks below it are not decoded.
    pub start_block: u64,
}

/// The progress of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContractState {
    /// Key in the table `contracts`.
    pub id: i64,
    /// Every block from here to the head is decoded.
    pub decoded_from: u64,
    /// The factory's own logs are read from here to the head.
    pub found_from: u64,
}

/// Stores the configured definitions of a chain, in their order, and retires those no longer configured. A definition
/// that is new, or that missed indexed blocks, is decoded from the head on; everything below is left to the contract
/// backfill.
pub async fn sync(
    connection: &mut PgConnection,
    chain_id: ChainId,
    start_block: u64,
    head: Option<BlockRef>,
    definitions: &[Definition],
) -> Result<Vec<ContractState>, StoreError> {
    let chain = bigint(chain_id, "chain_id")?;
    let next = bigint(
        head.map_or(start_block, |head| head.number + 1),
        "block number",
    )?;
    let hashes: Vec<_> = definitions
        .iter()
        .map(|one| one.definition.as_slice())
        .collect();
    sqlx::query(
        "UPDATE contracts SET retired_at = now()
         WHERE chain_id = $1 AND retired_at IS NULL AND definition <> ALL ($2)",
    )
    .bind(chain)
    .bind(hashes)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "UPDATE contracts SET decoded_from = $2, found_from = $2, decoded_through = $2 - 1
         WHERE chain_id = $1 AND retired_at IS NULL AND decoded_through <> $2 - 1",
    )
    .bind(chain)
    .bind(next)
    .execute(&mut *connection)
    .await?;
    let mut states = Vec::with_capacity(definitions.len());
    for (position, one) in definitions.iter().enumerate() {
        let addresses: Vec<_> = one
            .addresses
            .iter()
            .map(|address| address.as_slice())
            .collect();
        let row = sqlx::query(
            "INSERT INTO contracts AS c (chain_id, name, shown, definition, position, addresses, factory_event, events,
                 start_block, decoded_from, decoded_through, found_from)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10::bigint - 1, $10)
             ON CONFLICT (chain_id, name) WHERE retired_at IS NULL
             DO UPDATE SET shown = excluded.shown, position = excluded.position
             RETURNING id, decoded_from, found_from",
        )
        .bind(chain)
        .bind(&one.name)
        .bind(&one.display_name)
        .bind(one.definition.as_slice())
        .bind(position as i32)
        .bind(addresses)
        .bind(&one.factory_event)
        .bind(&one.events)
        .bind(bigint(one.start_block, "start_block")?)
        .bind(next)
        .fetch_one(&mut *connection)
        .await?;
        states.push(ContractState {
            id: row.try_get("id")?,
            decoded_from: row.try_get::<i64, _>("decoded_from")? as u64,
            found_from: row.try_get::<i64, _>("found_from")? as u64,
        });
    }
    Ok(states)
}

/// Addresses announced by factories, for contracts with these ids in their order.
pub async fn found_addresses(
    connection: &mut PgConnection,
    ids: &[i64],
) -> Result<Vec<FoundAddress>, StoreError> {
    let rows = sqlx::query(
        "SELECT contract_id, address, block_number, log_index FROM contract_addresses
         WHERE contract_id = ANY ($1)",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let id: i64 = row.try_get("contract_id")?;
        let Some(contract) = ids.iter().position(|known| *known == id) else {
            continue;
        };
        let address: &[u8] = row.try_get("address")?;
        found.push(FoundAddress {
            contract,
            address: Address::try_from(address).map_err(|error| StoreError::Corrupt {
                what: "contract address",
                reason: error.to_string(),
            })?,
            block_number: row.try_get::<i64, _>("block_number")? as u64,
            log_index: row.try_get::<i32, _>("log_index")? as u32,
        });
    }
    Ok(found)
}

/// Records that every block from `from` on is decoded.
pub async fn record_decoded(
    connection: &mut PgConnection,
    id: i64,
    from: u64,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE contracts SET decoded_from = $2 WHERE id = $1")
        .bind(id)
        .bind(bigint(from, "block number")?)
        .execute(connection)
        .await?;
    Ok(())
}

/// Records addresses found in the factory's logs from block `from` on. If there are any, blocks decoded without them
/// are decoded again. Returns the block where that begins.
pub async fn record_found(
    connection: &mut PgConnection,
    id: i64,
    from: u64,
    found: &[FoundAddress],
) -> Result<u64, StoreError> {
    super::event::insert_addresses(connection, found, |_| Some(id)).await?;
    let decoded: i64 = sqlx::query_scalar(
        "UPDATE contracts SET found_from = $2,
             decoded_from = CASE WHEN $3 THEN decoded_through + 1 ELSE decoded_from END
         WHERE id = $1 RETURNING decoded_from",
    )
    .bind(id)
    .bind(bigint(from, "block number")?)
    .bind(!found.is_empty())
    .fetch_one(connection)
    .await?;
    Ok(decoded as u64)
}

/// Deletes rows of a retired definition of a chain, at most `limit` per call, and then the definition itself. Returns
/// whether more are left.
pub async fn delete_retired(
    connection: &mut PgConnection,
    chain_id: ChainId,
    limit: u32,
) -> Result<bool, StoreError> {
    let chain = bigint(chain_id, "chain_id")?;
    let id = sqlx::query_scalar::<_, i64>(
        "SELECT id FROM contracts WHERE chain_id = $1 AND retired_at IS NOT NULL LIMIT 1",
    )
    .bind(chain)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(id) = id else {
        return Ok(false);
    };
    for statement in [
        "DELETE FROM contract_events WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM contract_events WHERE contract_id = $1 LIMIT $2))",
        "DELETE FROM contract_addresses WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM contract_addresses WHERE contract_id = $1 LIMIT $2))",
    ] {
        let deleted = sqlx::query(statement)
            .bind(id)
            .bind(i64::from(limit))
            .execute(&mut *connection)
            .await?;
        if deleted.rows_affected() >= u64::from(limit) {
            return Ok(true);
        }
    }
    sqlx::query("DELETE FROM contracts WHERE id = $1")
        .bind(id)
        .execute(connection)
        .await?;
    Ok(true)
}
