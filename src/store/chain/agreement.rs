//! Whether what is stored of a chain agrees with itself: marks, events, tokens and updates, for whoever verifies it.
//!
//! Each look is one statement, so that all it compares is of one moment whatever is committed meanwhile.

use sqlx::{PgConnection, Row};

use super::{StoreError, Stray, bigint};
use crate::model::{ChainId, Channel};

/// A finalized mark that is not a stored block.
const FINALIZED: &str = "SELECT c.finalized_number,
        format('finalized is %s, stored there is %s', encode(c.finalized_hash, 'hex'), coalesce(encode(b.hash, 'hex'), 'no block'))
    FROM chains c LEFT JOIN blocks b ON b.chain_id = c.chain_id AND b.number = c.finalized_number
    WHERE c.chain_id = $1 AND c.finalized_number IS NOT NULL AND b.hash IS DISTINCT FROM c.finalized_hash LIMIT $2";

/// Proof that is said of blocks that are not there, or of a mode that proves nothing.
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

/// Tokens that moved and that nothing is known of.
const TOKENS: &str = "SELECT min(t.block_number), format('token %s moved and is not entered', encode(t.token_address, 'hex'))
    FROM transfers t LEFT JOIN token_contracts k ON k.chain_id = t.chain_id AND k.address = t.token_address
    WHERE t.chain_id = $1 AND t.token_address IS NOT NULL AND k.address IS NULL
    GROUP BY t.token_address ORDER BY 1 LIMIT $2";

/// Blocks that were announced last at their heights and are not the stored ones.
const ANNOUNCED: &str = "WITH told AS (
        SELECT DISTINCT ON (number) seq, number, hash FROM (
            SELECT u.seq, (u.data ->> 'number')::bigint AS number, lower(u.data ->> 'hash') AS hash
            FROM updates u JOIN channels c ON c.id = u.channel_id WHERE c.name = $3 AND u.event = 'new-block') AS u
        ORDER BY number, seq DESC)
    SELECT t.number, format('update %s of %s announces block %s, stored is %s', t.seq, $3, t.hash,
        coalesce('0x' || encode(b.hash, 'hex'), 'none'))
    FROM told t JOIN chains c ON c.chain_id = $1 LEFT JOIN blocks b ON b.chain_id = $1 AND b.number = t.number
    WHERE t.number <= c.head_number AND t.hash IS DISTINCT FROM '0x' || encode(b.hash, 'hex') ORDER BY 1 LIMIT $2";

/// Updates of the channel with a hole between them, or above its seq.
const SEQS: &str = "SELECT 0::bigint, format('channel %s stands at %s and has %s updates from %s to %s', c.name, c.seq, u.count,
        u.first, u.last)
    FROM channels c JOIN LATERAL (SELECT count(*) AS count, min(seq) AS first, max(seq) AS last FROM updates
        WHERE channel_id = c.id) AS u ON u.count > 0
    WHERE $1 > 0 AND c.name = $3 AND (u.last > c.seq OR u.last - u.first + 1 <> u.count) LIMIT $2";

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
        ("updates", SEQS),
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
