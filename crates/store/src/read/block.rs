//! Canonical blocks.

use alloy::{
    consensus::Header,
    eips::eip4895::Withdrawal,
    primitives::{B64, Bloom},
};
use sqlx::postgres::PgRow;

#[cfg(feature = "explain")]
use super::super::explain::{Known, Query};
use super::{
    super::{Store, StoreError},
    row::{RowReader, bigint},
};
use chaincast_protocol::{Address, B256, ChainId};

/// Identifies a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockId {
    /// The block at this height.
    Number(u64),
    /// The block with this hash.
    Hash(B256),
    /// The head.
    Latest,
    /// The node's `safe` block, if it is indexed.
    Safe,
    /// The newest indexed block that is final.
    Finalized,
}

/// A block of the canonical chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockRow {
    /// Height.
    pub number: u64,
    /// Keccak-256 of the header in RLP.
    pub hash: B256,
    /// Hash of the block below.
    pub parent_hash: B256,
    /// In seconds since the Unix epoch.
    pub timestamp: i64,
    /// The beneficiary. `None`, as for the other optional fields of the header, if the node left it out and the check
    /// that needs it was off.
    pub miner: Option<Address>,
    /// Gas used by all transactions.
    pub gas_used: u64,
    /// Gas that all transactions together may use.
    pub gas_limit: u64,
    /// In wei, decimal; `None` before EIP-1559.
    pub base_fee_per_gas: Option<String>,
    /// Decimal; 0 since the Merge (EIP-3675).
    pub difficulty: String,
    /// Size of the encoded block in bytes; `None` if it is not known.
    pub size: Option<u64>,
    /// Whether the size was computed instead of taken from the node; `None` if an earlier version stored the block.
    pub size_proved: Option<bool>,
    /// Keccak-256 of the list of ommers in RLP. `None`, as for the fields from here to `slot_number`, also if an
    /// earlier version stored the block.
    pub ommers_hash: Option<B256>,
    /// Root of the trie of the withdrawals (EIP-4895).
    pub withdrawals_root: Option<B256>,
    /// Root of the parent beacon block (EIP-4788).
    pub parent_beacon_block_root: Option<B256>,
    /// Hash over the requests to the consensus layer (EIP-7685).
    pub requests_hash: Option<B256>,
    /// Hash of the block's access list (EIP-7928).
    pub block_access_list_hash: Option<B256>,
    /// Slot of the beacon chain (EIP-7843).
    pub slot_number: Option<u64>,
    /// Root of the state trie after the block.
    pub state_root: Option<B256>,
    /// Root of the trie of the transactions.
    pub transactions_root: Option<B256>,
    /// Root of the trie of the receipts.
    pub receipts_root: Option<B256>,
    /// Bytes that the block's producer chose.
    pub extra_data: Vec<u8>,
    /// Proof of work, or since the Merge `prevRandao` (EIP-4399); `None` for AuRa headers.
    pub mix_hash: Option<B256>,
    /// Proof of work, 8 bytes; `None` for AuRa headers.
    pub nonce: Option<Vec<u8>>,
    /// Blob gas used by all transactions; `None` before EIP-4844.
    pub blob_gas_used: Option<u64>,
    /// The running total of blob gas above the target; `None` before EIP-4844.
    pub excess_blob_gas: Option<u64>,
    /// Number of transactions, stored or not.
    pub transaction_count: u32,
    /// Number of stored logs.
    pub log_count: u32,
    /// Whether it is at or below the chain's finalized block.
    pub finalized: bool,
}

/// A block with the fields that lists leave out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeBlockRow {
    /// The fields that lists have too.
    pub block: BlockRow,
    /// `None` if an earlier version stored the block.
    pub logs_bloom: Option<Bloom>,
    /// `None` if the block has no withdrawals list, or it is not known.
    pub withdrawals: Option<Vec<Withdrawal>>,
}

impl WholeBlockRow {
    /// The header as it is hashed; `None` if not all of its fields are stored.
    pub fn header(&self) -> Option<Header> {
        let block = &self.block;
        Some(Header {
            parent_hash: block.parent_hash,
            ommers_hash: block.ommers_hash?,
            beneficiary: block.miner?,
            state_root: block.state_root?,
            transactions_root: block.transactions_root?,
            receipts_root: block.receipts_root?,
            logs_bloom: self.logs_bloom?,
            difficulty: block.difficulty.parse().ok()?,
            number: block.number,
            gas_limit: block.gas_limit,
            gas_used: block.gas_used,
            timestamp: u64::try_from(block.timestamp).ok()?,
            extra_data: block.extra_data.clone().into(),
            mix_hash: block.mix_hash?,
            nonce: B64::try_from(block.nonce.as_deref()?).ok()?,
            base_fee_per_gas: match &block.base_fee_per_gas {
                Some(fee) => Some(fee.parse().ok()?),
                None => None,
            },
            withdrawals_root: block.withdrawals_root,
            blob_gas_used: block.blob_gas_used,
            excess_blob_gas: block.excess_blob_gas,
            parent_beacon_block_root: block.parent_beacon_block_root,
            requests_hash: block.requests_hash,
            block_access_list_hash: block.block_access_list_hash,
            slot_number: block.slot_number,
        })
    }
}

const COLUMNS: &str = "b.number, b.hash, b.parent_hash, b.timestamp, b.miner, b.gas_used, b.gas_limit::text AS gas_limit,
    b.base_fee_per_gas::text AS base_fee_per_gas, b.difficulty::text AS difficulty, b.size, b.size_proved,
    b.ommers_hash, b.withdrawals_root, b.parent_beacon_block_root, b.requests_hash, b.block_access_list_hash, b.slot_number,
    b.state_root, b.transactions_root, b.receipts_root, b.extra_data, b.mix_hash, b.nonce,
    b.blob_gas_used, b.excess_blob_gas, b.transaction_count, b.log_count,
    coalesce(b.number <= c.finalized_number, false) AS finalized";

const FROM: &str = "FROM chains c JOIN blocks b ON b.chain_id = c.chain_id WHERE c.chain_id = $1";

impl Store {
    /// The canonical block `id`.
    pub async fn read_block(
        &self,
        chain: ChainId,
        id: BlockId,
    ) -> Result<Option<BlockRow>, StoreError> {
        let row = self.block_row(chain, id, COLUMNS).await?;
        row.as_ref().map(block).transpose()
    }

    /// Like [`Self::read_block`], with the fields that lists leave out.
    pub async fn read_whole_block(
        &self,
        chain: ChainId,
        id: BlockId,
    ) -> Result<Option<WholeBlockRow>, StoreError> {
        let columns = format!("{COLUMNS}, b.logs_bloom, b.withdrawals");
        let Some(row) = self.block_row(chain, id, &columns).await? else {
            return Ok(None);
        };
        let block = block(&row)?;
        let row = RowReader::new(&row, "block");
        let bloom: Option<&[u8]> = row.get("logs_bloom")?;
        Ok(Some(WholeBlockRow {
            block,
            logs_bloom: bloom
                .map(|bytes| {
                    Bloom::try_from(bytes).map_err(|error| row.corrupt("logs_bloom", error))
                })
                .transpose()?,
            withdrawals: row.rlp_or_null("withdrawals")?,
        }))
    }

    async fn block_row(
        &self,
        chain: ChainId,
        id: BlockId,
        columns: &str,
    ) -> Result<Option<PgRow>, StoreError> {
        let condition = match id {
            BlockId::Number(_) => "b.number = $2",
            BlockId::Hash(_) => "b.hash = $2",
            BlockId::Latest => "b.number = c.head_number",
            BlockId::Safe => "b.number = c.safe_number",
            BlockId::Finalized => "b.number = c.finalized_number",
        };
        let sql = format!("SELECT {columns} {FROM} AND {condition}");
        let query = sqlx::query(&sql).bind(bigint(chain));
        let query = match &id {
            BlockId::Number(number) => query.bind(bigint(*number)),
            BlockId::Hash(hash) => query.bind(hash.as_slice()),
            _ => query,
        };
        Ok(query.fetch_optional(&self.reads).await?)
    }

    /// Blocks with `after < number < before`, newest first, at most `limit`.
    pub async fn read_blocks(
        &self,
        chain: ChainId,
        before: Option<u64>,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Vec<BlockRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} {FROM} AND b.number < $2 AND b.number > $3 ORDER BY b.number DESC LIMIT $4"
        );
        let rows = sqlx::query(&sql)
            .bind(bigint(chain))
            .bind(before.map_or(i64::MAX, bigint))
            .bind(after.map_or(-1, bigint))
            .bind(i64::from(limit))
            .fetch_all(&self.reads)
            .await?;
        rows.iter().map(block).collect()
    }

    /// The height of the dropped block `hash`, if a reorg dropped it.
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
        .fetch_optional(&self.reads)
        .await?;
        row.map(|row| RowReader::new(&row, "dropped block").natural("number"))
            .transpose()
    }
}

fn block(row: &PgRow) -> Result<BlockRow, StoreError> {
    let row = RowReader::new(row, "block");
    Ok(BlockRow {
        number: row.natural("number")?,
        hash: row.hash("hash")?,
        parent_hash: row.hash("parent_hash")?,
        timestamp: row.get("timestamp")?,
        miner: row.address_or_null("miner")?,
        gas_used: row.natural("gas_used")?,
        gas_limit: row.numeric_u64("gas_limit")?,
        base_fee_per_gas: row.get("base_fee_per_gas")?,
        difficulty: row.get("difficulty")?,
        size: row.natural_or_null("size")?,
        size_proved: row.get("size_proved")?,
        ommers_hash: row.hash_or_null("ommers_hash")?,
        withdrawals_root: row.hash_or_null("withdrawals_root")?,
        parent_beacon_block_root: row.hash_or_null("parent_beacon_block_root")?,
        requests_hash: row.hash_or_null("requests_hash")?,
        block_access_list_hash: row.hash_or_null("block_access_list_hash")?,
        slot_number: row.natural_or_null("slot_number")?,
        state_root: row.hash_or_null("state_root")?,
        transactions_root: row.hash_or_null("transactions_root")?,
        receipts_root: row.hash_or_null("receipts_root")?,
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

#[cfg(feature = "explain")]
pub(super) fn explained<'a>(store: &'a Store, known: &'a Known) -> Vec<Query<'a>> {
    let (chain, limit) = (known.chain, known.limit);
    let number = BlockId::Number(known.number);
    vec![
        Query::new("read_block by number", store.read_block(chain, number)),
        Query::new(
            "read_block by hash",
            store.read_block(chain, BlockId::Hash(known.block)),
        ),
        Query::new(
            "read_block latest",
            store.read_block(chain, BlockId::Latest),
        ),
        Query::new(
            "read_block finalized",
            store.read_block(chain, BlockId::Finalized),
        ),
        Query::new("read_whole_block", store.read_whole_block(chain, number)),
        Query::new("read_blocks", store.read_blocks(chain, None, None, limit)),
        Query::new(
            "read_blocks behind one",
            store.read_blocks(chain, Some(known.number), None, limit),
        ),
        Query::new(
            "read_dropped_block",
            store.read_dropped_block(chain, known.block),
        ),
    ]
}
