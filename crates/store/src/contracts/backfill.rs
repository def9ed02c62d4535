//! Stored logs, for the contract backfill.

use sqlx::PgConnection;

use crate::{
    StoreError,
    chain::bigint,
    stored_log::{parse_log, within_limit},
};
use chaincast_model::IndexedLog;
use chaincast_protocol::{Address, B256, ChainId};

/// Selects stored logs.
#[derive(Debug, Clone, Copy)]
pub struct StoredLogQuery<'a> {
    /// EIP-155 id of the chain.
    pub chain_id: ChainId,
    /// The first block.
    pub from: u64,
    /// The block after the last one.
    pub below: u64,
    /// First topics.
    pub topics: &'a [B256],
    /// Emitting addresses, each looked up in the index. `None` scans all logs of the blocks.
    pub addresses: Option<&'a [Address]>,
}

/// Stored logs with their block numbers, unordered; `None` if there are more than `limit`.
pub async fn stored_logs(
    connection: &mut PgConnection,
    wanted: StoredLogQuery<'_>,
    limit: u32,
) -> Result<Option<Vec<(u64, IndexedLog)>>, StoreError> {
    const COLUMNS: &str = "l.block_number, l.log_index, l.transaction_index, l.address, l.topic0, l.topic1, \
                           l.topic2, l.topic3, l.data";
    let sql = if wanted.addresses.is_some() {
        format!(
            "SELECT l.* FROM unnest($5::bytea[]) a (address) CROSS JOIN unnest($4::bytea[]) t (topic)
             CROSS JOIN LATERAL (
                 SELECT {COLUMNS} FROM logs l
                 WHERE l.chain_id = $1 AND l.address = a.address AND l.topic0 = t.topic
                     AND l.block_number >= $2 AND l.block_number < $3
                 LIMIT $6) l
             LIMIT $6"
        )
    } else {
        format!(
            "SELECT {COLUMNS} FROM logs l
             WHERE l.chain_id = $1 AND l.block_number >= $2 AND l.block_number < $3 AND l.topic0 = ANY ($4)
                 AND $5::bytea[] IS NULL
             LIMIT $6"
        )
    };
    let bytes =
        |addresses: &[Address]| addresses.iter().map(|one| one.to_vec()).collect::<Vec<_>>();
    let topics: Vec<_> = wanted.topics.iter().map(|topic| topic.as_slice()).collect();
    let rows = sqlx::query(&sql)
        .bind(bigint(wanted.chain_id, "chain_id")?)
        .bind(bigint(wanted.from, "block number")?)
        .bind(bigint(wanted.below, "block number")?)
        .bind(topics)
        .bind(wanted.addresses.map(bytes))
        .bind(i64::from(limit) + 1)
        .fetch_all(connection)
        .await?;
    within_limit(&rows, limit, parse_log)
}
