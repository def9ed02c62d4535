//! A chain's row: its identity and how far it is indexed.

use std::time::Duration;

use sqlx::{PgConnection, Row, postgres::PgRow};

use super::{StoreError, bigint, hash, ref_at, root};
use chaincast_model::{IndexMode, KnownBlock};
use chaincast_protocol::{BlockRef, ChainId};

/// The stored state of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainState {
    /// EIP-155 id of the chain.
    pub chain_id: ChainId,
    /// The block that distinguishes the chain from others with the same id: block 0, or the first indexed block if no
    /// node serves block 0. A reorg that replaces the latter replaces the identity.
    pub identity: BlockRef,
    /// The first block that is indexed.
    pub start_block: u64,
    /// Which data of its blocks is indexed.
    pub index_mode: IndexMode,
    /// The newest indexed block; `None` before the first.
    pub head: Option<BlockRef>,
    /// The node's `safe` block.
    pub safe_number: Option<u64>,
    /// The newest indexed block that is final.
    pub finalized: Option<BlockRef>,
    /// The indexed data of every block from `start_block` up to this one is proven, without a gap.
    pub verified_through: Option<u64>,
    /// Keys of the checks, of data that no root covers, that were off for one of these blocks.
    pub unproved: Vec<String>,
    /// The node's head at the last request.
    pub node_head: Option<u64>,
}

/// A node's head and tags. `None` keeps the stored value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tags {
    /// Height of the node's head.
    pub node_head: Option<u64>,
    /// Height of the node's `safe` block.
    pub safe_number: Option<u64>,
    /// The newest indexed block that is final.
    pub finalized: Option<BlockRef>,
}

/// Registers a chain, or reads its stored state. The caller compares its configuration with the result: `start_block`,
/// and an identity that is not block 0, are replaced only while no block is indexed.
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
    state(connection, chain_id).await?.ok_or_else(|| {
        StoreError::Conflict(format!(
            "the row of chain {chain_id} disappeared from the database"
        ))
    })
}

/// Sets which data of a chain's blocks is indexed. Ignored once a block is indexed.
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

/// The stored state of a chain; `None` if it was never registered.
pub async fn state(
    connection: &mut PgConnection,
    chain_id: ChainId,
) -> Result<Option<ChainState>, StoreError> {
    sqlx::query("SELECT * FROM chains WHERE chain_id = $1")
        .bind(bigint(chain_id, "chain_id")?)
        .fetch_optional(connection)
        .await?
        .map(|row| parse_state(chain_id, &row))
        .transpose()
}

/// Stored blocks that show whether a node serves this chain: the identity, then the first and the newest final block,
/// for a node that has pruned lower ones. Empty if no block is stored and the identity is not block 0.
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

/// Stores the node's head and tags.
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

/// Stores the node's head and when the node reported it (`ago`). Does not move the cursor.
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

/// Records the keys of checks that were off for blocks up to `verified_through`.
pub async fn record_unproved(
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

fn parse_state(chain_id: ChainId, row: &PgRow) -> Result<ChainState, StoreError> {
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
        index_mode: IndexMode::from_name(&mode).ok_or_else(|| StoreError::Corrupt {
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
