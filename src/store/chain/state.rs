//! The row of a chain: what it is, and how far it is indexed.

use std::time::Duration;

use sqlx::{PgConnection, Row, postgres::PgRow};

use super::{StoreError, bigint, hash, ref_at, root};
use crate::model::{BlockRef, ChainId, IndexMode, KnownBlock};

/// What is stored of a chain as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainState {
    pub chain_id: ChainId,
    /// The block that tells the chain from others of its id: block 0, or the first that was indexed where no node has it.
    /// A reorg that replaces the latter replaces the identity.
    pub identity: BlockRef,
    /// The first block that is indexed.
    pub start_block: u64,
    /// How much of its blocks is indexed.
    pub index_mode: IndexMode,
    /// The newest indexed block; `None` before the first.
    pub head: Option<BlockRef>,
    /// The node's `safe` block.
    pub safe_number: Option<u64>,
    /// The newest indexed block that is final.
    pub finalized: Option<BlockRef>,
    /// What is indexed of every block up to this one is proven, without a hole from `start_block` on.
    pub verified_through: Option<u64>,
    /// Checks of what no root is over that were off for one of these blocks, by their keys.
    pub unproved: Vec<String>,
    /// The node's head when it was last asked.
    pub node_head: Option<u64>,
}

/// What a node says of its chain, to be recorded. `None` leaves what is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tags {
    pub node_head: Option<u64>,
    pub safe_number: Option<u64>,
    pub finalized: Option<BlockRef>,
}

/// Enters a chain, or reads what is stored of it. The caller compares what it gave with what is stored: `start_block` is
/// replaced only while no block is indexed, and so is an identity that is not block 0.
pub async fn register(
    connection: &mut PgConnection,
    chain_id: ChainId,
    identity: BlockRef,
    start_block: u64,
) -> Result<ChainState, StoreError> {
    sqlx::query(
        "INSERT INTO chains AS c (chain_id, genesis_hash, start_block, identity_number) VALUES ($1, $2, $3, $4)
         ON CONFLICT (chain_id) DO UPDATE SET start_block = excluded.start_block,
             genesis_hash = CASE c.identity_number WHEN 0 THEN c.genesis_hash ELSE excluded.genesis_hash END,
             identity_number = CASE c.identity_number WHEN 0 THEN 0 ELSE excluded.identity_number END
         WHERE c.head_number IS NULL AND (c.start_block <> excluded.start_block
             OR c.identity_number > 0 AND c.genesis_hash <> excluded.genesis_hash)",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .bind(identity.hash.as_slice())
    .bind(bigint(start_block, "start_block")?)
    .bind(bigint(identity.number, "block number")?)
    .execute(&mut *connection)
    .await?;
    state(connection, chain_id)
        .await?
        .ok_or_else(|| StoreError::Conflict(format!("chain {chain_id} vanished from the database")))
}

/// Says how much of a chain's blocks is indexed; once a block is, that stays as it is.
pub async fn set_index_mode(
    connection: &mut PgConnection,
    chain_id: ChainId,
    mode: IndexMode,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE chains SET index_mode = $2 WHERE chain_id = $1 AND head_number IS NULL AND index_mode <> $2")
        .bind(bigint(chain_id, "chain_id")?)
        .bind(mode.name())
        .execute(connection)
        .await?;
    Ok(())
}

/// What is stored of a chain; `None` when it never was registered.
pub async fn state(
    connection: &mut PgConnection,
    chain_id: ChainId,
) -> Result<Option<ChainState>, StoreError> {
    sqlx::query("SELECT * FROM chains WHERE chain_id = $1")
        .bind(bigint(chain_id, "chain_id")?)
        .fetch_optional(connection)
        .await?
        .map(|row| state_of(chain_id, &row))
        .transpose()
}

/// Stored blocks that show whether a node serves this chain: the one of its identity, then the first and the newest final
/// one, for a node that has no longer what is below. None of a chain of which nothing stays: no block is stored, and it is
/// not known by block 0.
pub async fn known_blocks(
    connection: &mut PgConnection,
    state: &ChainState,
) -> Result<Vec<KnownBlock>, StoreError> {
    let stays = |number: u64| {
        number == 0
            || state
                .finalized
                .is_some_and(|finalized| number <= finalized.number)
    };
    let mut known = Vec::new();
    if stays(state.identity.number) {
        known.push(KnownBlock::fixed(state.identity));
    }
    let first = ref_at(connection, state.chain_id, state.start_block).await?;
    let first = match first {
        Some(block) => Some(KnownBlock {
            block,
            parent: match stays(block.number) {
                true => None,
                false => root(connection, state.chain_id).await?,
            },
        }),
        None => None,
    };
    let finalized = state.finalized.map(KnownBlock::fixed);
    for one in first.into_iter().chain(finalized) {
        let number = one.block.number;
        if known
            .iter()
            .all(|other: &KnownBlock| other.block.number != number)
        {
            known.push(one);
        }
    }
    Ok(known)
}

/// Records what the node says.
pub async fn record_tags(
    connection: &mut PgConnection,
    chain_id: ChainId,
    tags: &Tags,
) -> Result<(), StoreError> {
    let number = |value: Option<u64>| value.map(|v| bigint(v, "block number")).transpose();
    sqlx::query(
        "UPDATE chains SET node_head = coalesce($2, node_head), safe_number = coalesce($3, safe_number),
             finalized_number = coalesce($4, finalized_number),
             finalized_hash = coalesce($5, finalized_hash), updated_at = now()
         WHERE chain_id = $1",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .bind(number(tags.node_head)?)
    .bind(number(tags.safe_number)?)
    .bind(number(tags.finalized.map(|block| block.number))?)
    .bind(tags.finalized.map(|block| block.hash.to_vec()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Records the node's head and that the node told it `ago`. The cursor does not move by it.
pub async fn record_node(
    connection: &mut PgConnection,
    chain_id: ChainId,
    node_head: u64,
    ago: Duration,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE chains SET node_head = $2, node_seen_at = now() - make_interval(secs => $3::bigint / 1000.0)
         WHERE chain_id = $1",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .bind(bigint(node_head, "block number")?)
    .bind(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX))
    .execute(connection)
    .await?;
    Ok(())
}

/// Remembers that these checks, by their keys, were off for blocks that `verified_through` counts.
pub async fn note_unproved(
    connection: &mut PgConnection,
    chain_id: ChainId,
    keys: &[&str],
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE chains SET unproved = ARRAY(SELECT DISTINCT key FROM unnest(unproved || $2::text[]) AS key ORDER BY key)
         WHERE chain_id = $1 AND NOT unproved @> $2::text[]",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .bind(keys)
    .execute(connection)
    .await?;
    Ok(())
}

fn state_of(chain_id: ChainId, row: &PgRow) -> Result<ChainState, StoreError> {
    let number = |column: &str| -> Result<Option<u64>, StoreError> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(|v| v as u64))
    };
    let block = |number: Option<u64>, column: &str| -> Result<Option<BlockRef>, StoreError> {
        let bytes: Option<Vec<u8>> = row.try_get(column)?;
        match (number, bytes) {
            (Some(number), Some(bytes)) => Ok(Some(BlockRef {
                number,
                hash: hash(&bytes, "block hash")?,
            })),
            _ => Ok(None),
        }
    };
    let mode: String = row.try_get("index_mode")?;
    Ok(ChainState {
        chain_id,
        identity: BlockRef {
            number: row.try_get::<i64, _>("identity_number")? as u64,
            hash: hash(&row.try_get::<Vec<u8>, _>("genesis_hash")?, "genesis hash")?,
        },
        start_block: row.try_get::<i64, _>("start_block")? as u64,
        index_mode: IndexMode::of_name(&mode).ok_or_else(|| StoreError::Corrupt {
            what: "index mode",
            reason: format!("it is {mode:?}, which this version does not know"),
        })?,
        head: block(number("head_number")?, "head_hash")?,
        safe_number: number("safe_number")?,
        finalized: block(number("finalized_number")?, "finalized_hash")?,
        verified_through: number("verified_through")?,
        unproved: row.try_get("unproved")?,
        node_head: number("node_head")?,
    })
}
