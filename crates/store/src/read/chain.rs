//! The state of each chain.

#[cfg(feature = "explain")]
use super::super::explain::{Known, Query};
use super::{
    super::{Store, StoreError, read_pool::ReadPool},
    row::{RowReader, bigint},
};
use chaincast_model::IndexMode;
use chaincast_protocol::{B256, ChainHealth, ChainId, ChainLimits};

/// A height stored with the chain's cursor. Hash and header time are known if the block is indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Height.
    pub number: u64,
    /// `None` if the block is not indexed.
    pub hash: Option<B256>,
    /// The header's timestamp, in seconds.
    pub timestamp: Option<i64>,
}

/// A halt: why a chain is not indexed further without intervention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaltRow {
    /// EIP-155 id of the chain.
    pub chain_id: ChainId,
    /// Human-readable.
    pub reason: String,
    /// In ms since the Unix epoch.
    pub halted_at: i64,
}

/// A chain's cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainRow {
    /// EIP-155 id of the chain.
    pub chain_id: ChainId,
    /// The first block that is indexed.
    pub start_block: u64,
    /// Which data of its blocks is indexed.
    pub index: IndexMode,
    /// The newest indexed canonical block.
    pub head: Option<Mark>,
    /// The node's `safe` block.
    pub safe: Option<Mark>,
    /// The newest indexed block that is final.
    pub finalized: Option<Mark>,
    /// As in [`ChainState::verified_through`](crate::chain::ChainState::verified_through).
    pub verified_through: Option<u64>,
    /// The first indexed block in which native transfers are logs: from here on they are complete.
    pub native_transfers_from: Option<u64>,
    /// Keys of the checks, of data that no root covers, that were off for a block up to there.
    pub unproved: Vec<String>,
    /// The node's head at the last request.
    pub node_head: Option<u64>,
    /// When the node last answered, in ms since the Unix epoch.
    pub node_seen_at: Option<i64>,
    /// Time since then, by the database's clock, in ms.
    pub node_silent_ms: Option<i64>,
    /// When the cursor last moved, in ms since the Unix epoch.
    pub updated_at: i64,
}

impl ChainRow {
    /// The health of the chain with these limits at `now_ms` (ms since the Unix epoch), by its row if it has one.
    pub fn health(row: Option<&Self>, limits: &ChainLimits, now_ms: i64) -> ChainHealth {
        let head = row.and_then(|row| row.head);
        let made = head.and_then(|head| head.timestamp);
        let age = |at: i64| u64::try_from(now_ms.saturating_sub(at.saturating_mul(1_000)));
        let node_age = row.and_then(|row| row.node_silent_ms);
        limits.health(
            head.map(|head| head.number),
            // A block ahead of this process's clock has age 0.
            made.map(|at| age(at).unwrap_or(0)),
            row.and_then(|row| row.node_head),
            node_age.map(|ms| u64::try_from(ms).unwrap_or(0)),
        )
    }
}

impl Store {
    /// The halts of these chains.
    pub async fn read_halts(&self, chains: &[ChainId]) -> Result<Vec<HaltRow>, StoreError> {
        let ids: Vec<i64> = chains.iter().map(|id| bigint(*id)).collect();
        let rows = sqlx::query("SELECT * FROM halts WHERE chain_id = ANY($1)")
            .bind(&ids)
            .fetch_all(&self.reads)
            .await?;
        rows.iter()
            .map(|row| {
                let row = RowReader::new(row, "halt");
                Ok(HaltRow {
                    chain_id: row.natural("chain_id")?,
                    reason: row.get("reason")?,
                    halted_at: row.millis("halted_at")?,
                })
            })
            .collect()
    }

    /// The cursors of these chains; a chain never indexed is missing.
    pub async fn read_chains(&self, chains: &[ChainId]) -> Result<Vec<ChainRow>, StoreError> {
        Self::chains_in(&self.reads, chains).await
    }

    /// Like [`Self::read_chains`], for the gateway.
    pub async fn live_chains(&self, chains: &[ChainId]) -> Result<Vec<ChainRow>, StoreError> {
        Self::chains_in(&self.live_reads, chains).await
    }

    async fn chains_in(reads: &ReadPool, chains: &[ChainId]) -> Result<Vec<ChainRow>, StoreError> {
        let ids: Vec<i64> = chains.iter().map(|id| bigint(*id)).collect();
        let rows = sqlx::query(
            "SELECT c.chain_id, c.start_block, c.index_mode, c.verified_through, c.unproved, c.native_transfers_from, c.node_head, c.updated_at,
                    c.node_seen_at,
                    (extract(epoch FROM now() - c.node_seen_at) * 1000)::bigint AS node_silent_ms,
                    c.head_number, c.head_hash, h.timestamp AS head_timestamp,
                    c.safe_number, s.hash AS safe_hash, s.timestamp AS safe_timestamp,
                    c.finalized_number, c.finalized_hash, f.timestamp AS finalized_timestamp
             FROM chains c
             LEFT JOIN blocks h ON h.chain_id = c.chain_id AND h.number = c.head_number
             LEFT JOIN blocks s ON s.chain_id = c.chain_id AND s.number = c.safe_number
             LEFT JOIN blocks f ON f.chain_id = c.chain_id AND f.number = c.finalized_number
             WHERE c.chain_id = ANY($1)",
        )
        .bind(&ids)
        .fetch_all(reads)
        .await?;
        rows.iter()
            .map(|row| {
                let row = RowReader::new(row, "chain");
                Ok(ChainRow {
                    chain_id: row.natural("chain_id")?,
                    start_block: row.natural("start_block")?,
                    index: mode(&row)?,
                    head: mark(&row, "head_number", "head_hash", "head_timestamp")?,
                    safe: mark(&row, "safe_number", "safe_hash", "safe_timestamp")?,
                    finalized: mark(
                        &row,
                        "finalized_number",
                        "finalized_hash",
                        "finalized_timestamp",
                    )?,
                    verified_through: row.natural_or_null("verified_through")?,
                    native_transfers_from: row.natural_or_null("native_transfers_from")?,
                    unproved: row.get("unproved")?,
                    node_head: row.natural_or_null("node_head")?,
                    node_seen_at: row.millis_or_null("node_seen_at")?,
                    node_silent_ms: row.get("node_silent_ms")?,
                    updated_at: row.millis("updated_at")?,
                })
            })
            .collect()
    }
}

fn mark(
    row: &RowReader<'_>,
    number: &str,
    hash: &str,
    timestamp: &str,
) -> Result<Option<Mark>, StoreError> {
    let Some(number) = row.natural_or_null(number)? else {
        return Ok(None);
    };
    Ok(Some(Mark {
        number,
        hash: row.hash_or_null(hash)?,
        timestamp: row.get(timestamp)?,
    }))
}

fn mode(row: &RowReader<'_>) -> Result<IndexMode, StoreError> {
    let name: String = row.get("index_mode")?;
    IndexMode::from_name(&name).ok_or(StoreError::Corrupt {
        what: "index mode",
        reason: format!("it is {name:?}, which this version does not know"),
    })
}

#[cfg(feature = "explain")]
pub(super) fn explained<'a>(store: &'a Store, known: &'a Known) -> Vec<Query<'a>> {
    let chains = std::slice::from_ref(&known.chain);
    vec![
        Query::new("read_chains", store.read_chains(chains)),
        Query::new("live_chains", store.live_chains(chains)),
        Query::new("read_halts", store.read_halts(chains)),
    ]
}
