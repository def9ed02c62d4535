//! Decoded events: inserted and deleted with their blocks.

use sqlx::{PgConnection, Row};

use crate::{StoreError, chain::bigint};
use chaincast_model::{DecodedEvent, FoundAddress};
use chaincast_protocol::{ChainId, Channel};

/// Inserts events and addresses from the newest blocks of a chain and records that the contracts are decoded up to the
/// block `through`. `ids` are the contracts' ids in their order.
pub async fn insert(
    connection: &mut PgConnection,
    chain_id: ChainId,
    ids: &[i64],
    events: &[DecodedEvent],
    found: &[FoundAddress],
    through: u64,
) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    insert_events(connection, chain_id, ids, events).await?;
    insert_addresses(connection, found, |contract| ids.get(contract).copied()).await?;
    sqlx::query("UPDATE contracts SET decoded_through = $2 WHERE id = ANY ($1)")
        .bind(ids)
        .bind(bigint(through, "block number")?)
        .execute(connection)
        .await?;
    Ok(())
}

/// Inserts events of stored blocks. An existing one is not changed: a range may be decoded again.
pub async fn insert_events(
    connection: &mut PgConnection,
    chain_id: ChainId,
    ids: &[i64],
    events: &[DecodedEvent],
) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let count = events.len();
    let (mut contracts, mut numbers) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let (mut indexes, mut transactions) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let (mut names, mut addresses, mut args) = (
        Vec::with_capacity(count),
        Vec::with_capacity(count),
        Vec::with_capacity(count),
    );
    for event in events {
        let Some(id) = ids.get(event.contract) else {
            continue;
        };
        contracts.push(*id);
        numbers.push(bigint(event.block_number, "block number")?);
        indexes.push(event.log_index as i32);
        transactions.push(event.transaction_index as i32);
        names.push(&*event.event);
        addresses.push(event.address.as_slice());
        args.push(event.args.as_str());
    }
    sqlx::query(
        "INSERT INTO contract_events (chain_id, contract_id, block_number, log_index, transaction_index, event,
             address, args)
         SELECT $1, contract, number, index, transaction, event, address, args::json
         FROM unnest($2::bigint[], $3::bigint[], $4::int[], $5::int[], $6::text[], $7::bytea[], $8::text[])
             AS t (contract, number, index, transaction, event, address, args)
         ON CONFLICT DO NOTHING",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .bind(contracts)
    .bind(numbers)
    .bind(indexes)
    .bind(transactions)
    .bind(names)
    .bind(addresses)
    .bind(args)
    .execute(connection)
    .await?;
    Ok(())
}

/// Inserts announced addresses; for a known address the first position is kept.
pub(super) async fn insert_addresses(
    connection: &mut PgConnection,
    found: &[FoundAddress],
    id: impl Fn(usize) -> Option<i64>,
) -> Result<(), StoreError> {
    // ON CONFLICT cannot update a row twice: keep only the first announcement of each address.
    let mut first = std::collections::BTreeMap::new();
    for one in found {
        let Some(contract) = id(one.contract) else {
            continue;
        };
        let number = bigint(one.block_number, "block number")?;
        let place = (number, one.log_index as i32);
        let known = first.entry((contract, one.address)).or_insert(place);
        *known = place.min(*known);
    }
    if first.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = first.keys().map(|(id, _)| *id).collect();
    let addresses: Vec<_> = first
        .keys()
        .map(|(_, address)| address.as_slice())
        .collect();
    let numbers: Vec<_> = first.values().map(|(number, _)| *number).collect();
    let indexes: Vec<_> = first.values().map(|(_, index)| *index).collect();
    sqlx::query(
        "INSERT INTO contract_addresses AS a (contract_id, address, block_number, log_index)
         SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::int[])
         ON CONFLICT (contract_id, address) DO UPDATE
         SET block_number = excluded.block_number, log_index = excluded.log_index
         WHERE (excluded.block_number, excluded.log_index) < (a.block_number, a.log_index)",
    )
    .bind(ids)
    .bind(addresses)
    .bind(numbers)
    .bind(indexes)
    .execute(connection)
    .await?;
    Ok(())
}

/// The channels of contracts and of single events with events in blocks above `number`.
pub async fn channels_above(
    connection: &mut PgConnection,
    chain_id: ChainId,
    number: u64,
) -> Result<Vec<Channel>, StoreError> {
    let rows = sqlx::query(
        "SELECT DISTINCT c.name, lower(e.event) AS event FROM contract_events e
         JOIN contracts c ON c.id = e.contract_id AND c.retired_at IS NULL
         WHERE c.chain_id = $1 AND e.block_number > $2 ORDER BY 1, 2",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .bind(bigint(number, "block number")?)
    .fetch_all(connection)
    .await?;
    let mut channels = Vec::new();
    for row in rows {
        let name: std::sync::Arc<str> = row.try_get::<String, _>("name")?.into();
        let event: String = row.try_get("event")?;
        let whole = Channel::Contract(name.clone(), None);
        if channels.last() != Some(&whole) && !channels.contains(&whole) {
            channels.push(whole);
        }
        channels.push(Channel::Contract(name, Some(event.into())));
    }
    Ok(channels)
}

/// Deletes events and addresses from blocks above `to`.
pub(crate) async fn unwind(
    connection: &mut PgConnection,
    chain_id: i64,
    to: i64,
) -> Result<(), StoreError> {
    for statement in [
        "DELETE FROM contract_events WHERE contract_id IN (SELECT id FROM contracts WHERE chain_id = $1)
             AND block_number > $2",
        "DELETE FROM contract_addresses WHERE contract_id IN (SELECT id FROM contracts WHERE chain_id = $1)
             AND block_number > $2",
        "UPDATE contracts SET decoded_through = least(decoded_through, $2),
             decoded_from = least(decoded_from, $2 + 1), found_from = least(found_from, $2 + 1)
         WHERE chain_id = $1",
    ] {
        sqlx::query(statement)
            .bind(chain_id)
            .bind(to)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
