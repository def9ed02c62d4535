//! Transfers of the chain's native coin and of tokens.
//!
//! Two sources in one list: logs; and, below the first block in which native transfers are logs, the values of
//! transactions, which are not stored again as transfers.

use sqlx::postgres::PgRow;

#[cfg(feature = "explain")]
use super::super::explain::{Known, Query};
use super::{
    super::{Store, StoreError},
    row::{RowReader, bigint},
};
use chaincast_model::TokenStandard;
use chaincast_protocol::{Address, B256, ChainId};

/// A transfer, native or of a token of any standard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferRow {
    /// Height of its block.
    pub block_number: u64,
    /// Hash of that block.
    pub block_hash: B256,
    /// The header's timestamp, in seconds since the Unix epoch.
    pub block_timestamp: i64,
    /// `None` when neither the transaction nor its hash is stored.
    pub transaction_hash: Option<B256>,
    /// Position of its transaction in the block.
    pub transaction_index: u32,
    /// Position of its log among all logs of the block; `None` for a transaction's own value.
    pub log_index: Option<u32>,
    /// Position within the log: above 0 only in an ERC-1155 batch.
    pub position: u32,
    /// [`TokenStandard::Native`] for the native coin.
    pub standard: TokenStandard,
    /// The token id within the contract, decimal; `None` for ERC-20 and the native coin.
    pub token_id: Option<String>,
    /// The symbol that the token contract returned; `None` if it is not read yet or not usable.
    pub token_symbol: Option<String>,
    /// The decimals that the token contract returned; `None` if they are not read yet or not usable.
    pub token_decimals: Option<u8>,
    /// The token contract; `None` for the native coin.
    pub token: Option<Address>,
    /// The zero address if the amount was minted.
    pub from: Address,
    /// The zero address if the amount was burned.
    pub to: Address,
    /// In wei, or the token's smallest unit, decimal; 1 for ERC-721.
    pub amount: String,
    /// Whether its block is at or below the chain's finalized block.
    pub finalized: bool,
}

/// A transfer's position in its chain: a transaction's own value comes before its logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferKey {
    /// Height of its block.
    pub block_number: u64,
    /// Position of its transaction in the block.
    pub transaction_index: u32,
    /// Position of its log among all logs of the block; `None` for a transaction's own value.
    pub log_index: Option<u32>,
    /// Position within the log.
    pub position: u32,
}

/// Logged transfers whose `party` is the address. The index is read backwards up to the limit.
fn logged(party: &str) -> String {
    format!(
        "(SELECT block_number, transaction_index, log_index, position FROM transfers
          WHERE chain_id = $1 AND {party} = $2 AND (block_number, log_index) <= ($3, $8)
              AND (block_number, transaction_index, log_index, position) < ($3, $4, $5, $6)
          ORDER BY block_number DESC, log_index DESC, position DESC LIMIT $7)"
    )
}

/// Values of transactions whose `party` is the address, where `moved` says that it is one of the two. The scalar subquery
/// runs once and bounds the index.
fn sent(party: &str, moved: &str) -> String {
    format!(
        "(SELECT block_number, transaction_index, -1, 0 FROM transactions
          WHERE chain_id = $1 AND {party} = $2 AND value > 0 AND status IS DISTINCT FROM 0 AND {moved}
              AND (block_number, transaction_index) < ($3, $9)
              AND block_number < (SELECT coalesce(native_transfers_from, 9223372036854775807) FROM chains WHERE chain_id = $1)
          ORDER BY block_number DESC, transaction_index DESC LIMIT $7)"
    )
}

/// Transfers from or to the address $2, after the position ($3, $4, $5, $6), at most $7. Within a block, log indexes
/// increase with transaction indexes, so both orders agree.
fn page() -> String {
    let has_receiver = "(to_address IS NOT NULL OR contract_address IS NOT NULL)";
    let is_creation = "contract_address IS NOT NULL AND to_address IS NULL";
    // UNION removes duplicates of transfers to oneself.
    let sides = [
        logged("from_address"),
        logged("to_address"),
        sent("from_address", has_receiver),
        sent("to_address", has_receiver),
        sent("contract_address", is_creation),
    ];
    let sides = sides.join(" UNION ");
    format!(
        "WITH k (block_number, transaction_index, log_index, position) AS ({sides}
             ORDER BY 1 DESC, 2 DESC, 3 DESC, 4 DESC LIMIT $7)
         SELECT k.block_number, b.hash AS block_hash, b.timestamp, coalesce(t.hash, r.transaction_hash) AS transaction_hash,
                k.transaction_index, nullif(k.log_index, -1) AS log_index, k.position,
                coalesce(r.standard, 0::smallint) AS standard, r.token_id::text AS token_id, m.symbol, m.decimals,
                r.token_address, coalesce(r.from_address, t.from_address) AS from_address,
                coalesce(r.to_address, t.to_address, t.contract_address) AS to_address,
                coalesce(r.amount, t.value)::text AS amount,
                coalesce(k.block_number <= c.finalized_number, false) AS finalized
         FROM k
         JOIN blocks b ON b.chain_id = $1 AND b.number = k.block_number
         JOIN chains c ON c.chain_id = $1
         LEFT JOIN transfers r ON r.chain_id = $1 AND r.block_number = k.block_number AND r.log_index = k.log_index
                              AND r.position = k.position
         LEFT JOIN transactions t ON t.chain_id = $1 AND t.block_number = k.block_number
                                 AND t.transaction_index = k.transaction_index
         LEFT JOIN token_contracts m ON m.chain_id = $1 AND m.address = r.token_address
         ORDER BY k.block_number DESC, k.transaction_index DESC, k.log_index DESC, k.position DESC"
    )
}

impl Store {
    /// Transfers from or to an address before `before`, newest first, at most `limit`.
    pub async fn read_address_transfers(
        &self,
        chain: ChainId,
        address: Address,
        before: Option<TransferKey>,
        limit: u32,
    ) -> Result<Vec<TransferRow>, StoreError> {
        let sql = page();
        let at = |part: fn(TransferKey) -> i64| before.map_or(i64::MAX, part);
        let log_index = at(|key| key.log_index.map_or(-1, i64::from));
        let rows = sqlx::query(&sql)
            .bind(bigint(chain))
            .bind(address.as_slice())
            .bind(at(|key| bigint(key.block_number)))
            .bind(at(|key| i64::from(key.transaction_index)))
            .bind(log_index)
            .bind(at(|key| i64::from(key.position)))
            .bind(i64::from(limit))
            // After a transaction's value, the logs of earlier transactions in the block follow.
            .bind(at(|key| key.log_index.map_or(i64::MAX, i64::from)))
            // After a log, the value of its transaction follows.
            .bind(at(|key| {
                i64::from(key.transaction_index) + i64::from(key.log_index.is_some())
            }))
            .fetch_all(&self.reads)
            .await?;
        rows.iter().map(transfer).collect()
    }
}

fn transfer(row: &PgRow) -> Result<TransferRow, StoreError> {
    let row = RowReader::new(row, "transfer");
    let standard: i16 = row.get("standard")?;
    let decimals: Option<i16> = row.get("decimals")?;
    Ok(TransferRow {
        block_number: row.natural("block_number")?,
        block_hash: row.hash("block_hash")?,
        block_timestamp: row.get("timestamp")?,
        transaction_hash: row.hash_or_null("transaction_hash")?,
        transaction_index: row.index("transaction_index")?,
        log_index: row.index_or_null("log_index")?,
        position: row.index("position")?,
        standard: TokenStandard::from_number(standard)
            .ok_or_else(|| row.corrupt("standard", standard))?,
        token_id: row.get("token_id")?,
        token_symbol: row.get("symbol")?,
        token_decimals: decimals.and_then(|decimals| u8::try_from(decimals).ok()),
        token: row.address_or_null("token_address")?,
        from: row.address("from_address")?,
        to: row.address("to_address")?,
        amount: row.get("amount")?,
        finalized: row.get("finalized")?,
    })
}

#[cfg(feature = "explain")]
pub(super) fn explained<'a>(store: &'a Store, known: &'a Known) -> Vec<Query<'a>> {
    let (chain, limit) = (known.chain, known.limit);
    let key = |log_index| {
        Some(TransferKey {
            block_number: known.number,
            transaction_index: 1,
            log_index,
            position: 0,
        })
    };
    vec![
        Query::new(
            "read_address_transfers, busy",
            store.read_address_transfers(chain, known.busy, None, limit),
        ),
        Query::new(
            "read_address_transfers, busy, behind one",
            store.read_address_transfers(chain, known.busy, key(Some(1)), limit),
        ),
        Query::new(
            "read_address_transfers, busy, behind a value",
            store.read_address_transfers(chain, known.busy, key(None), limit),
        ),
        Query::new(
            "read_address_transfers, quiet",
            store.read_address_transfers(chain, known.quiet, None, limit),
        ),
    ]
}
