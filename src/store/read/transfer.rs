//! Transfers of tokens.

use super::{
    super::{Store, StoreError},
    row::{Reader, bigint},
};
use crate::model::{Address, B256, ChainId, TokenStandard};

/// A transfer of a token of any standard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferRow {
    pub block_number: u64,
    pub block_hash: B256,
    /// The header's timestamp, in seconds.
    pub block_timestamp: i64,
    /// `None` when neither the transaction nor its hash is stored.
    pub transaction_hash: Option<B256>,
    pub transaction_index: u32,
    /// Position in the block.
    pub log_index: u32,
    /// Position in the log.
    pub position: u32,
    pub standard: TokenStandard,
    /// `None` for ERC-20.
    pub token_id: Option<String>,
    /// What the token's contract says of itself, when that is read and usable.
    pub token_symbol: Option<String>,
    pub token_decimals: Option<u8>,
    /// The token's contract.
    pub token: Address,
    pub from: Address,
    pub to: Address,
    /// In the token's smallest unit.
    pub amount: String,
    pub finalized: bool,
}

/// A transfer's place in its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferKey {
    pub block_number: u64,
    pub log_index: u32,
    pub position: u32,
}

impl Store {
    /// Transfers from or to an address, newest first, from behind `before`, at most `limit`.
    pub async fn read_address_transfers(
        &self,
        chain: ChainId,
        address: Address,
        before: Option<TransferKey>,
        limit: u32,
    ) -> Result<Vec<TransferRow>, StoreError> {
        // Each side reads its index backwards and stops at the limit; UNION folds what an address sent to itself.
        let side = |column: &str| {
            format!(
                "(SELECT block_number, log_index, position FROM transfers
                  WHERE chain_id = $1 AND {column} = $2 AND (block_number, log_index, position) < ($3, $4, $6)
                      AND (block_number, log_index) <= ($3, $4)
                  ORDER BY block_number DESC, log_index DESC, position DESC LIMIT $5)"
            )
        };
        let sql = format!(
            "WITH k AS ({} UNION {})
             SELECT r.block_number, b.hash AS block_hash, b.timestamp,
                    coalesce(t.hash, r.transaction_hash) AS transaction_hash, r.transaction_index, r.log_index,
                    r.position, r.standard, r.token_id::text AS token_id, m.symbol, m.decimals, r.token_address,
                    r.from_address, r.to_address, r.amount::text AS amount,
                    coalesce(r.block_number <= c.finalized_number, false) AS finalized
             FROM k
             JOIN transfers r ON r.chain_id = $1 AND r.block_number = k.block_number AND r.log_index = k.log_index
                             AND r.position = k.position
             JOIN blocks b ON b.chain_id = r.chain_id AND b.number = r.block_number
             JOIN chains c ON c.chain_id = r.chain_id
             LEFT JOIN transactions t ON t.chain_id = r.chain_id AND t.block_number = r.block_number
                                     AND t.transaction_index = r.transaction_index
             LEFT JOIN token_contracts m ON m.chain_id = r.chain_id AND m.address = r.token_address
             ORDER BY r.block_number DESC, r.log_index DESC, r.position DESC LIMIT $5",
            side("from_address"),
            side("to_address"),
        );
        let rows = sqlx::query(&sql)
            .bind(bigint(chain))
            .bind(address.as_slice())
            .bind(before.map_or(i64::MAX, |key| bigint(key.block_number)))
            .bind(before.map_or(i64::MAX, |key| i64::from(key.log_index)))
            .bind(i64::from(limit))
            .bind(before.map_or(i64::MAX, |key| i64::from(key.position)))
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| {
                let row = Reader::new(row, "transfer");
                let standard: i16 = row.get("standard")?;
                let decimals: Option<i16> = row.get("decimals")?;
                Ok(TransferRow {
                    block_number: row.natural("block_number")?,
                    block_hash: row.hash("block_hash")?,
                    block_timestamp: row.get("timestamp")?,
                    transaction_hash: row.hash_or_null("transaction_hash")?,
                    transaction_index: row.index("transaction_index")?,
                    log_index: row.index("log_index")?,
                    position: row.index("position")?,
                    standard: TokenStandard::of_number(standard)
                        .ok_or_else(|| row.corrupt("standard", standard))?,
                    token_id: row.get("token_id")?,
                    token_symbol: row.get("symbol")?,
                    token_decimals: decimals.and_then(|decimals| u8::try_from(decimals).ok()),
                    token: row.address("token_address")?,
                    from: row.address("from_address")?,
                    to: row.address("to_address")?,
                    amount: row.get("amount")?,
                    finalized: row.get("finalized")?,
                })
            })
            .collect()
    }
}
