//! Consistency of a chain's stored data, for `verify`: tags, events, tokens and published updates against stored blocks
//! and logs.
//!
//! Each comparison is one statement, so that both sides are from one snapshot despite concurrent commits.

use sqlx::{PgConnection, Row};

use super::{Inconsistency, StoreError, bigint};
use chaincast_protocol::{ChainId, Channel, ContractEvent, EventName};

/// A finalized block that is not stored.
const FINALIZED: &str = "SELECT c.finalized_number,
        format('the finalized mark is 0x%s, stored there is %s', encode(c.finalized_hash, 'hex'),
            coalesce('0x' || encode(b.hash, 'hex'), 'no block'))
    FROM chains c LEFT JOIN blocks b ON b.chain_id = c.chain_id AND b.number = c.finalized_number
    WHERE c.chain_id = $1 AND c.finalized_number IS NOT NULL AND b.hash IS DISTINCT FROM c.finalized_hash LIMIT $2";

/// `verified_through` outside of the stored blocks, or with an index mode that is not verified.
const VERIFIED: &str = "SELECT verified_through, format(
        'verified_through is %s, indexed are blocks %s to %s as %s', verified_through, start_block, head_number, index_mode)
    FROM chains WHERE chain_id = $1 AND verified_through IS NOT NULL AND (index_mode = 'transfers'
        OR head_number IS NULL OR verified_through NOT BETWEEN start_block AND head_number) LIMIT $2";

/// Contract events whose transaction differs from that of their log.
const EVENTS: &str = "SELECT e.block_number,
        format('event %s of log %s is of transaction %s, its log of %s', e.event, e.log_index, e.transaction_index,
            l.transaction_index)
    FROM contract_events e JOIN logs l ON l.chain_id = e.chain_id AND l.block_number = e.block_number
        AND l.log_index = e.log_index
    WHERE e.chain_id = $1 AND l.transaction_index <> e.transaction_index ORDER BY 1, e.log_index LIMIT $2";

/// Token contracts with transfers but without a row.
const TOKENS: &str = "SELECT min(t.block_number), format('token 0x%s has transfers and no row', encode(t.token_address, 'hex'))
    FROM transfers t LEFT JOIN token_contracts k ON k.chain_id = t.chain_id AND k.address = t.token_address
    WHERE t.chain_id = $1 AND t.token_address IS NOT NULL AND k.address IS NULL
    GROUP BY t.token_address ORDER BY 1 LIMIT $2";

/// Updates of the chain's `new-block` channel that differ from the stored block, also above the head. Not counted:
/// updates undone by a later reorg, and updates of another chain, which `new-block` contains from the time when that
/// chain was the default. A block that is not stored is one line. The
/// events are `$4` new-block, `$5` block-finalized and `$6` reorg.
const ANNOUNCED: &str = "WITH said AS (
        SELECT u.seq, u.event, u.data, CASE WHEN n.text ~ '^[0-9]{1,18}$' THEN n.text::bigint END AS number, n.text,
            CASE u.event WHEN $6 THEN u.data #>> '{commonAncestor,hash}' ELSE u.data ->> 'hash' END AS hash,
            min(CASE WHEN u.event = $6 AND n.text ~ '^[0-9]{1,18}$' THEN n.text::bigint END)
                OVER (ORDER BY u.seq DESC) AS ancestor
        FROM updates u JOIN channels c ON c.id = u.channel_id, LATERAL (SELECT CASE u.event
            WHEN $6 THEN u.data #>> '{commonAncestor,number}' ELSE u.data ->> 'number' END) AS n (text)
        WHERE c.name = $3 AND u.event IN ($4, $5, $6)
            AND NOT EXISTS (SELECT FROM chains o WHERE o.chain_id <> $1 AND o.chain_id::text = u.data ->> 'chainId'))
    SELECT coalesce(s.number, 0), format('update %s of %s announces %s %s, stored is %s', s.seq, $3, v.key,
        coalesce(v.said, 'nothing'), coalesce(v.stored, CASE WHEN b.hash IS NULL THEN 'no block' ELSE 'nothing' END))
    FROM said s JOIN chains h ON h.chain_id = $1 LEFT JOIN blocks b ON b.chain_id = $1 AND b.number = s.number,
    LATERAL (VALUES
        ('block', lower(s.hash), '0x' || encode(b.hash, 'hex'), true),
        ('number', s.text, s.text, s.number IS NOT NULL),
        ('chainId', s.data ->> 'chainId', h.chain_id::text, true),
        ('depth', s.data ->> 'depth', CASE json_typeof(s.data -> 'dropped') WHEN 'array'
            THEN json_array_length(s.data -> 'dropped')::text END, s.event = $6),
        ('parentHash', lower(s.data ->> 'parentHash'), '0x' || encode(b.parent_hash, 'hex'), s.event = $4),
        ('blockTimestamp', s.data ->> 'blockTimestamp', b.timestamp::text, s.event = $4),
        ('transactions', s.data ->> 'transactions', b.transaction_count::text, s.event = $4),
        ('gasUsed', s.data ->> 'gasUsed', b.gas_used::text, s.event = $4),
        ('gasLimit', s.data ->> 'gasLimit', b.gas_limit::text, s.event = $4),
        ('baseFeePerGas', s.data ->> 'baseFeePerGas', b.base_fee_per_gas::text, s.event = $4)
    ) AS v (key, said, stored, counts)
    WHERE (s.ancestor IS NULL OR s.number IS NULL OR s.ancestor >= s.number)
        AND (s.event <> $6 OR s.number IS NULL OR s.number >= h.start_block)
        AND CASE WHEN s.number IS NULL THEN v.key = 'number' WHEN b.hash IS NULL THEN v.key = 'block'
            ELSE v.counts AND v.said IS DISTINCT FROM v.stored END
    ORDER BY 1, s.seq, v.key LIMIT $2";

/// Blocks published as final (`$4`) above the finalized block.
const FINAL: &str = "SELECT n.number, format('update %s of %s announces block %s as final, the finalized mark is %s', u.seq, $3,
        n.number, coalesce(h.finalized_number::text, 'none'))
    FROM chains h JOIN channels c ON c.name = $3 JOIN updates u ON u.channel_id = c.id AND u.event = $4,
        LATERAL (SELECT CASE WHEN u.data ->> 'number' ~ '^[0-9]{1,18}$' THEN (u.data ->> 'number')::bigint END)
            AS n (number)
    WHERE h.chain_id = $1 AND n.number > coalesce(h.finalized_number, -1)
        AND NOT EXISTS (SELECT FROM chains o WHERE o.chain_id <> $1 AND o.chain_id::text = u.data ->> 'chainId') ORDER BY 1, u.seq LIMIT $2";

/// Updates of contract channels that differ from the stored event. Not counted: updates undone by a later reorg of the
/// channel, and updates from before the current definition. The events are `$4` contract-event and `$5` contract-reorg; `$6`
/// is what the channels' names begin with.
const CONTRACTS: &str = "WITH said AS (
        SELECT k.id, k.name, h.name AS channel, u.seq, u.event AS kind, u.data, u.created_at > k.defined_at AS counts,
            CASE WHEN u.event = $4 AND u.data ->> 'blockNumber' ~ '^[0-9]{1,18}$'
                THEN (u.data ->> 'blockNumber')::bigint END AS number,
            CASE WHEN u.data ->> 'logIndex' ~ '^[0-9]{1,9}$' THEN (u.data ->> 'logIndex')::int END AS log_index,
            min(CASE WHEN u.event = $5 AND u.data #>> '{commonAncestor,number}' ~ '^[0-9]{1,18}$'
                THEN (u.data #>> '{commonAncestor,number}')::bigint END)
                OVER (PARTITION BY u.channel_id ORDER BY u.seq DESC) AS ancestor
        FROM contracts k
        JOIN channels h ON h.name = $6 || k.name OR starts_with(h.name, $6 || k.name || ':')
        JOIN updates u ON u.channel_id = h.id AND u.event IN ($4, $5)
        WHERE k.chain_id = $1 AND k.retired_at IS NULL)
    SELECT coalesce(s.number, 0), format('update %s of %s announces %s %s, stored is %s', s.seq, s.channel, v.key,
        coalesce(v.said, 'nothing'), coalesce(v.stored, 'nothing'))
    FROM said s
    LEFT JOIN contract_events e ON e.contract_id = s.id AND e.block_number = s.number AND e.log_index = s.log_index
    LEFT JOIN blocks b ON b.chain_id = $1 AND b.number = s.number
    LEFT JOIN logs l ON l.chain_id = $1 AND l.block_number = s.number AND l.log_index = s.log_index
    LEFT JOIN transactions t ON t.chain_id = $1 AND t.block_number = s.number
        AND t.transaction_index = e.transaction_index,
    LATERAL (VALUES
        ('an event of block', format('%s log %s', s.data ->> 'blockNumber', s.data ->> 'logIndex'), NULL),
        ('contract', lower(s.data ->> 'contract'), s.name),
        ('event', s.data ->> 'event', e.event),
        ('channel', s.channel, CASE WHEN s.channel = $6 || s.name THEN s.channel
            ELSE $6 || s.name || ':' || lower(e.event) END),
        ('address', lower(s.data ->> 'address'), '0x' || encode(e.address, 'hex')),
        ('args', (s.data -> 'args')::text, CASE WHEN s.data ->> 'args' IS NULL AND octet_length(e.args::text) > $3
            THEN (s.data -> 'args')::text ELSE e.args::text END),
        ('chainId', s.data ->> 'chainId', $1::text),
        ('blockHash', lower(s.data ->> 'blockHash'), '0x' || encode(b.hash, 'hex')),
        ('blockTimestamp', s.data ->> 'blockTimestamp', b.timestamp::text),
        ('transactionHash', lower(s.data ->> 'transactionHash'),
            '0x' || encode(coalesce(l.transaction_hash, t.hash), 'hex'))
    ) AS v (key, said, stored)
    WHERE s.kind = $4 AND s.counts AND (s.ancestor IS NULL OR s.number IS NULL OR s.ancestor >= s.number)
        AND CASE WHEN e.contract_id IS NULL THEN v.key = 'an event of block'
            ELSE v.key <> 'an event of block' AND v.said IS DISTINCT FROM v.stored END
    ORDER BY 1, s.channel, s.seq, v.key LIMIT $2";

/// Contradictions in a chain's stored data, at most `limit` of each kind. `announced` is the channel of the chain's
/// blocks.
pub async fn contradictions(
    connection: &mut PgConnection,
    chain_id: ChainId,
    announced: &Channel,
    limit: u32,
) -> Result<Vec<Inconsistency>, StoreError> {
    let mut found = Vec::new();
    let (chain, channel) = (bigint(chain_id, "chain_id")?, announced.to_string());
    for (table, sql) in [
        ("chains", FINALIZED),
        ("chains", VERIFIED),
        ("contract_events", EVENTS),
        ("token_contracts", TOKENS),
        ("updates", ANNOUNCED),
        ("updates", FINAL),
        ("updates", CONTRACTS),
    ] {
        let query = sqlx::query(sql).bind(chain).bind(i64::from(limit));
        let query = match sql {
            ANNOUNCED => query
                .bind(&channel)
                .bind(EventName::NewBlock.as_str())
                .bind(EventName::BlockFinalized.as_str())
                .bind(EventName::Reorg.as_str()),
            FINAL => query
                .bind(&channel)
                .bind(EventName::BlockFinalized.as_str()),
            CONTRACTS => query
                .bind(ContractEvent::MAX_ARGS_BYTES as i64)
                .bind(EventName::ContractEvent.as_str())
                .bind(EventName::ContractReorg.as_str())
                .bind(Channel::contract_names()),
            _ => query,
        };
        for row in query.fetch_all(&mut *connection).await? {
            found.push(Inconsistency {
                number: row.try_get::<i64, _>(0)? as u64,
                table,
                what: row.try_get(1)?,
            });
        }
    }
    Ok(found)
}
