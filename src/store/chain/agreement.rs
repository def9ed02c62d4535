//! Whether what is stored of a chain agrees with itself: marks, events, tokens and announced blocks, for `verify`.
//!
//! Each comparison is one statement, so that both sides are of one moment whatever is committed meanwhile.

use sqlx::{PgConnection, Row};

use super::{StoreError, Stray, bigint};
use crate::model::{ChainId, Channel};

/// A finalized mark that is not a stored block.
const FINALIZED: &str = "SELECT c.finalized_number,
        format('the finalized mark is 0x%s, stored there is %s', encode(c.finalized_hash, 'hex'),
            coalesce('0x' || encode(b.hash, 'hex'), 'no block'))
    FROM chains c LEFT JOIN blocks b ON b.chain_id = c.chain_id AND b.number = c.finalized_number
    WHERE c.chain_id = $1 AND c.finalized_number IS NOT NULL AND b.hash IS DISTINCT FROM c.finalized_hash LIMIT $2";

/// A proof of blocks that are not stored, or in a mode that proves nothing.
const VERIFIED: &str = "SELECT verified_through, format(
        'verified_through is %s, indexed are blocks %s to %s as %s', verified_through, start_block, head_number, index_mode)
    FROM chains WHERE chain_id = $1 AND verified_through IS NOT NULL AND (index_mode = 'transfers'
        OR head_number IS NULL OR verified_through NOT BETWEEN start_block AND head_number) LIMIT $2";

/// Events of contracts that name another transaction than their logs do.
const EVENTS: &str = "SELECT e.block_number,
        format('event %s of log %s is of transaction %s, its log of %s', e.event, e.log_index, e.transaction_index,
            l.transaction_index)
    FROM contract_events e JOIN logs l ON l.chain_id = e.chain_id AND l.block_number = e.block_number
        AND l.log_index = e.log_index
    WHERE e.chain_id = $1 AND l.transaction_index <> e.transaction_index ORDER BY 1, e.log_index LIMIT $2";

/// Tokens of transfers that have no row.
const TOKENS: &str = "SELECT min(t.block_number), format('token 0x%s has transfers and no row', encode(t.token_address, 'hex'))
    FROM transfers t LEFT JOIN token_contracts k ON k.chain_id = t.chain_id AND k.address = t.token_address
    WHERE t.chain_id = $1 AND t.token_address IS NOT NULL AND k.address IS NULL
    GROUP BY t.token_address ORDER BY 1 LIMIT $2";

/// Announced blocks that are not the stored ones, above the head too; those that a later reorg took back do not count, nor
/// do those of another chain, which `new-block` has of the time when that chain was the first one.
const ANNOUNCED: &str = "SELECT t.number, format('update %s of %s announces block %s, stored is %s', t.seq, $3, t.hash,
        coalesce('0x' || encode(b.hash, 'hex'), 'no block'))
    FROM (SELECT u.seq, (u.data ->> 'number')::bigint AS number, lower(u.data ->> 'hash') AS hash,
            min((u.data #>> '{commonAncestor,number}')::bigint) OVER (ORDER BY u.seq DESC) AS ancestor
        FROM updates u JOIN channels c ON c.id = u.channel_id
        WHERE c.name = $3 AND u.event IN ('new-block', 'block-finalized', 'reorg') AND NOT EXISTS (
            SELECT FROM chains o WHERE o.chain_id <> $1 AND o.chain_id::text = u.data ->> 'chainId')) AS t
    LEFT JOIN blocks b ON b.chain_id = $1 AND b.number = t.number
    WHERE t.number IS NOT NULL AND (t.ancestor IS NULL OR t.ancestor >= t.number)
        AND t.hash IS DISTINCT FROM '0x' || encode(b.hash, 'hex') ORDER BY 1, t.seq LIMIT $2";

/// Where what is stored of a chain contradicts itself; `announced` is the channel of its blocks. At most `limit` of each
/// kind.
pub async fn contradictions(
    connection: &mut PgConnection,
    chain_id: ChainId,
    announced: &Channel,
    limit: u32,
) -> Result<Vec<Stray>, StoreError> {
    let mut found = Vec::new();
    let channel = announced.to_string();
    for (table, sql) in [
        ("chains", FINALIZED),
        ("chains", VERIFIED),
        ("contract_events", EVENTS),
        ("token_contracts", TOKENS),
        ("updates", ANNOUNCED),
    ] {
        let query = sqlx::query(sql)
            .bind(bigint(chain_id, "chain_id")?)
            .bind(i64::from(limit));
        let query = match table {
            "updates" => query.bind(&channel),
            _ => query,
        };
        for row in query.fetch_all(&mut *connection).await? {
            found.push(Stray {
                number: row.try_get::<i64, _>(0)? as u64,
                table,
                what: row.try_get(1)?,
            });
        }
    }
    Ok(found)
}
