//! Canonical blocks.

use sqlx::postgres::PgRow;

use super::{
    super::{Store, StoreError},
    row::{Reader, bigint},
};
use crate::model::{Address, B256, ChainId};

/// What names a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockId {
    Number(u64),
    Hash(B256),
    /// The head.
    Latest,
    Safe,
    Finalized,
}

/// A block of the canonical chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockRow {
    pub number: u64,
    pub hash: B256,
    pub parent_hash: B256,
    /// In seconds.
    pub timestamp: i64,
    pub miner: Address,
    pub gas_used: u64,
    pub gas_limit: u64,
    pub base_fee_per_gas: Option<String>,
    pub difficulty: String,
    /// In bytes.
    pub size: Option<u64>,
    pub state_root: B256,
    pub transactions_root: B256,
    pub receipts_root: B256,
    pub extra_data: Vec<u8>,
    pub mix_hash: Option<B256>,
    pub nonce: Option<Vec<u8>>,
    pub blob_gas_used: Option<u64>,
    pub excess_blob_gas: Option<u64>,
    pub transaction_count: u32,
    pub log_count: u32,
    /// Whether it is at or below the chain's finalized block.
    pub finalized: bool,
}

const SELECT: &str =
    "SELECT b.number, b.hash, b.parent_hash, b.timestamp, b.miner, b.gas_used, b.gas_limit,
    b.base_fee_per_gas::text AS base_fee_per_gas, b.difficulty::text AS difficulty, b.size,
    b.state_root, b.transactions_root, b.receipts_root, b.extra_data, b.mix_hash, b.nonce,
    b.blob_gas_used, b.excess_blob_gas, b.transaction_count, b.log_count,
    coalesce(b.number <= c.finalized_number, false) AS finalized
    FROM chains c JOIN blocks b ON b.chain_id = c.chain_id WHERE c.chain_id = $1";

impl Store {
    /// The canonical block that `id` names.
    pub async fn read_block(
        &self,
        chain: ChainId,
        id: BlockId,
    ) -> Result<Option<BlockRow>, StoreError> {
        let condition = match id {
            BlockId::Number(_) => "b.number = $2",
            BlockId::Hash(_) => "b.hash = $2",
            BlockId::Latest => "b.number = c.head_number",
            BlockId::Safe => "b.number = c.safe_number",
            BlockId::Finalized => "b.number = c.finalized_number",
        };
        let sql = format!("{SELECT} AND {condition}");
        let query = sqlx::query(&sql).bind(bigint(chain));
        let query = match &id {
            BlockId::Number(number) => query.bind(bigint(*number)),
            BlockId::Hash(hash) => query.bind(hash.as_slice()),
            _ => query,
        };
        let row = query.fetch_optional(&self.pool).await?;
        row.as_ref().map(block).transpose()
    }

    /// Blocks with `after < number < before`, newest first, at most `limit`.
    pub async fn read_blocks(
        &self,
        chain: ChainId,
        before: Option<u64>,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Vec<BlockRow>, StoreError> {
        let sql =
            format!("{SELECT} AND b.number < $2 AND b.number > $3 ORDER BY b.number DESC LIMIT $4");
        let rows = sqlx::query(&sql)
            .bind(bigint(chain))
            .bind(before.map_or(i64::MAX, bigint))
            .bind(after.map_or(-1, bigint))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(block).collect()
    }

    /// The height of a block that a reorg dropped, when `hash` is one.
    pub async fn read_dropped_block(
        &self,
        chain: ChainId,
        hash: B256,
    ) -> Result<Option<u64>, StoreError> {
        let row = sqlx::query(
            "SELECT number FROM dropped_blocks WHERE chain_id = $1 AND hash = $2 LIMIT 1",
        )
        .bind(bigint(chain))
        .bind(hash.as_slice())
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| Reader::new(&row, "dropped block").natural("number"))
            .transpose()
    }
}

fn block(row: &PgRow) -> Result<BlockRow, StoreError> {
    let row = Reader::new(row, "block");
    Ok(BlockRow {
        number: row.natural("number")?,
        hash: row.hash("hash")?,
        parent_hash: row.hash("parent_hash")?,
        timestamp: row.get("timestamp")?,
        miner: row.address("miner")?,
        gas_used: row.natural("gas_used")?,
        gas_limit: row.natural("gas_limit")?,
        base_fee_per_gas: row.get("base_fee_per_gas")?,
        difficulty: row.get("difficulty")?,
        size: row.natural_or_null("size")?,
        state_root: row.hash("state_root")?,
        transactions_root: row.hash("transactions_root")?,
        receipts_root: row.hash("receipts_root")?,
        extra_data: row.get("extra_data")?,
        mix_hash: row.hash_or_null("mix_hash")?,
        nonce: row.get("nonce")?,
        blob_gas_used: row.natural_or_null("blob_gas_used")?,
        excess_blob_gas: row.natural_or_null("excess_blob_gas")?,
        transaction_count: row.index("transaction_count")?,
        log_count: row.index("log_count")?,
        finalized: row.get("finalized")?,
    })
}
