//! How far the stored logs of each on-chain price source are decoded.

use sqlx::{PgConnection, Row};

use super::{StoreError, chain::bigint};
use chaincast_protocol::{B256, BlockRef, ChainId, Token};

/// A configured source.
#[derive(Debug, Clone, Copy)]
pub struct ConfiguredSource<'a> {
    /// The token that it prices.
    pub token: &'a Token,
    /// Its name, unique within its token.
    pub source: &'a str,
    /// Hash of what is read and how: with another hash, its logs are decoded again.
    pub definition: B256,
}

/// The progress of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackfillState {
    /// Every block from here to the head is decoded.
    pub decoded_from: u64,
    /// Ticks of an earlier definition may exist below.
    pub replaces: bool,
}

/// Stores the configured sources of a chain and deletes those that are no longer configured. Returns their progress, in
/// the given order. A source that is new, has another definition, or missed indexed blocks is decoded from the head on;
/// everything below is left to the price backfill.
pub async fn sync(
    connection: &mut PgConnection,
    chain_id: ChainId,
    start_block: u64,
    head: Option<BlockRef>,
    configured: &[ConfiguredSource<'_>],
) -> Result<Vec<BackfillState>, StoreError> {
    let chain = bigint(chain_id, "chain_id")?;
    let next = bigint(
        head.map_or(start_block, |head| head.number + 1),
        "block number",
    )?;
    let tokens: Vec<&str> = configured.iter().map(|one| one.token.as_str()).collect();
    let sources: Vec<&str> = configured.iter().map(|one| one.source).collect();
    sqlx::query(
        "DELETE FROM price_pasts p WHERE chain_id = $1
             AND NOT EXISTS (SELECT FROM unnest($2::text[], $3::text[]) AS t (token, source)
                             WHERE t.token = p.token AND t.source = p.source)",
    )
    .bind(chain)
    .bind(tokens)
    .bind(sources)
    .execute(&mut *connection)
    .await?;
    let mut states = Vec::with_capacity(configured.len());
    for one in configured {
        let row = sqlx::query(
            "INSERT INTO price_pasts AS p (chain_id, token, source, definition, decoded_from, decoded_through)
             VALUES ($1, $2, $3, $4, $5, $5::bigint - 1)
             ON CONFLICT (chain_id, token, source) DO UPDATE SET
                 definition = excluded.definition,
                 replaces = p.replaces OR p.definition <> excluded.definition,
                 decoded_through = $5 - 1,
                 decoded_from = CASE WHEN p.definition = excluded.definition AND p.decoded_through = $5 - 1
                                THEN p.decoded_from ELSE $5 END
             RETURNING decoded_from, replaces",
        )
        .bind(chain)
        .bind(one.token.as_str())
        .bind(one.source)
        .bind(one.definition.as_slice())
        .bind(next)
        .fetch_one(&mut *connection)
        .await?;
        states.push(BackfillState {
            decoded_from: row.try_get::<i64, _>("decoded_from")? as u64,
            replaces: row.try_get("replaces")?,
        });
    }
    Ok(states)
}

/// Records the first decoded block of sources of a chain and, if `through` is given, the last one.
pub async fn record(
    connection: &mut PgConnection,
    chain_id: ChainId,
    decoded: &[(&Token, &str, u64)],
    through: Option<u64>,
) -> Result<(), StoreError> {
    if decoded.is_empty() {
        return Ok(());
    }
    let mut from = Vec::with_capacity(decoded.len());
    for (.., block) in decoded {
        from.push(bigint(*block, "block number")?);
    }
    let through = through
        .map(|block| bigint(block, "block number"))
        .transpose()?;
    sqlx::query(
        "UPDATE price_pasts p SET decoded_from = t.decoded_from, decoded_through = coalesce($5, p.decoded_through)
         FROM unnest($2::text[], $3::text[], $4::bigint[]) AS t (token, source, decoded_from)
         WHERE p.chain_id = $1 AND p.token = t.token AND p.source = t.source",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .bind(decoded.iter().map(|(token, ..)| token.as_str()).collect::<Vec<_>>())
    .bind(decoded.iter().map(|(_, source, _)| *source).collect::<Vec<_>>())
    .bind(from)
    .bind(through)
    .execute(connection)
    .await?;
    Ok(())
}

/// Records that no tick of an earlier definition is left.
pub async fn record_replaced(
    connection: &mut PgConnection,
    chain_id: ChainId,
    token: &Token,
    source: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE price_pasts SET replaces = false WHERE chain_id = $1 AND token = $2 AND source = $3",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .bind(token.as_str())
    .bind(source)
    .execute(connection)
    .await?;
    Ok(())
}
