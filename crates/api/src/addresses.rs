//! `/addresses/{address}/transactions` and `/addresses/{address}/transfers`.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    Routes, SharedApiState,
    error::{Problem, Problems},
    extract::{Params, Segment},
    page::{self, List, Page},
    transactions::{ListQuery, TransactionSummary},
    wire::{Address, Hash, Quantity},
};
use chaincast_model::TokenStandard;
use chaincast_protocol::ChainId;
use chaincast_store::read::{TransactionKey, TransferKey, TransferRow};

pub(super) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(list_address_transactions))
        .routes(routes!(list_address_transfers))
}

/// A transfer of the chain's native coin or of an ERC-20, ERC-721 or ERC-1155 token.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Transfer {
    chain_id: ChainId,
    block_number: u64,
    block_hash: Hash,
    /// The header's timestamp, in seconds since the Unix epoch.
    block_timestamp: i64,
    /// `null` if only logs of the chain are indexed and the hash is not stored with them.
    #[schema(required)]
    transaction_hash: Option<Hash>,
    transaction_index: u32,
    /// `log`, or `transaction`: the transaction's own value, on a chain or at a height without logs of native
    /// transfers.
    source: Source,
    /// Position in the block; `null` if the transaction itself is the source.
    #[schema(required)]
    log_index: Option<u32>,
    /// Position in the log; above 0 only in an ERC-1155 batch.
    position: u32,
    standard: Standard,
    /// The token contract; `null` for the native coin.
    #[schema(required)]
    token: Option<Address>,
    /// Id of the token within its contract; `null` for ERC-20 and the native coin.
    #[schema(required)]
    token_id: Option<Quantity>,
    /// The symbol that the contract returns; `null` if it is not read yet or not usable. A contract may return any
    /// symbol: it proves nothing.
    #[schema(required)]
    token_symbol: Option<String>,
    /// The decimals that the contract returns, with the same limits as `tokenSymbol`.
    #[schema(required)]
    token_decimals: Option<u8>,
    from: Address,
    /// The zero address if the amount was burned.
    to: Address,
    /// In wei, or the token's smallest unit; 1 for ERC-721.
    amount: Quantity,
    /// Whether its block is finalized.
    finalized: bool,
}

/// What a transfer was read from.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Source {
    Log,
    Transaction,
}

/// The native coin, or the standard of the token contract.
#[derive(Debug, Serialize, ToSchema)]
enum Standard {
    #[serde(rename = "native")]
    Native,
    #[serde(rename = "ERC-20")]
    Erc20,
    #[serde(rename = "ERC-721")]
    Erc721,
    #[serde(rename = "ERC-1155")]
    Erc1155,
}

impl From<TokenStandard> for Standard {
    fn from(standard: TokenStandard) -> Self {
        match standard {
            TokenStandard::Native => Self::Native,
            TokenStandard::Erc20 => Self::Erc20,
            TokenStandard::Erc721 => Self::Erc721,
            TokenStandard::Erc1155 => Self::Erc1155,
        }
    }
}

impl Transfer {
    fn new(chain_id: ChainId, row: TransferRow) -> Self {
        Self {
            chain_id,
            block_number: row.block_number,
            block_hash: Hash(row.block_hash),
            block_timestamp: row.block_timestamp,
            transaction_hash: row.transaction_hash.map(Hash),
            transaction_index: row.transaction_index,
            source: match row.log_index {
                Some(_) => Source::Log,
                None => Source::Transaction,
            },
            log_index: row.log_index,
            position: row.position,
            standard: row.standard.into(),
            token_id: row.token_id.map(Quantity),
            token_symbol: row.token_symbol,
            token_decimals: row.token_decimals,
            token: row.token.map(Address),
            from: Address(row.from),
            to: Address(row.to),
            amount: Quantity(row.amount),
            finalized: row.finalized,
        }
    }
}

/// Transactions from or to an address, and the one that created it, newest first
///
/// A cursor is a position in the chain, not a count: new blocks do not move it. After a reorg it continues at the same
/// height and index of the new branch: transactions in blocks common to both branches are listed exactly once. Rows
/// returned from dropped blocks are no longer valid, and rows of the new branch above the cursor are not returned:
/// `reorg` on `new-block`, or `address-reorg` on `address:ADDRESS`, announces both. Rows with `finalized` never change.
#[utoipa::path(
    get, path = "/api/v1/addresses/{address}/transactions", tag = "chain",
    params(("address" = Address, Path, description = "Case-insensitive"), ListQuery),
    responses((status = 200, description = "A page of transactions", body = Page<TransactionSummary>), Problems)
)]
async fn list_address_transactions(
    State(state): SharedApiState,
    segment: Segment,
    Params(query): Params<ListQuery>,
) -> Result<Json<Page<TransactionSummary>>, Problem> {
    let chain = state.chain(query.chain)?;
    let address = segment.address()?;
    let limit = page::limit(query.limit, &state.config)?;
    let list = List::new(format!("address-transactions/{chain}/{address}"));
    let before = place(&list, query.cursor.as_deref())?.map(|(block_number, transaction_index)| {
        TransactionKey {
            block_number,
            transaction_index,
        }
    });
    let rows = state
        .store
        .read_address_transactions(chain, address, before, limit + 1)
        .await?;
    Ok(Json(list.page(
        rows,
        limit,
        |row| [row.block_number as i64, row.transaction_index.into()],
        |row| TransactionSummary::new(chain, row),
    )))
}

/// Transfers of the native coin and of tokens from or to an address, newest first
///
/// Native, ERC-20, ERC-721 and ERC-1155. From `nativeTransfersCompleteFrom` of `/status` on, every native transfer is a
/// log, including inner calls. Below it, and on chains without it, the values of successful transactions are listed,
/// with `source` `transaction`; transfers of inner calls are not known there. A transaction's value comes before its
/// logs. A cursor is a position in the chain, as for transactions.
#[utoipa::path(
    get, path = "/api/v1/addresses/{address}/transfers", tag = "chain",
    params(("address" = Address, Path, description = "Case-insensitive"), ListQuery),
    responses((status = 200, description = "A page of transfers", body = Page<Transfer>), Problems)
)]
async fn list_address_transfers(
    State(state): SharedApiState,
    segment: Segment,
    Params(query): Params<ListQuery>,
) -> Result<Json<Page<Transfer>>, Problem> {
    let chain = state.chain(query.chain)?;
    let address = segment.address()?;
    let limit = page::limit(query.limit, &state.config)?;
    let list = List::new(format!("address-transfers/{chain}/{address}"));
    let before =
        list.position(query.cursor.as_deref())?
            .and_then(|[block, transaction, log, position]| {
                Some(TransferKey {
                    block_number: u64::try_from(block).ok()?,
                    transaction_index: u32::try_from(transaction).ok()?,
                    log_index: u32::try_from(log).ok(),
                    position: u32::try_from(position).ok()?,
                })
            });
    let rows = state
        .store
        .read_address_transfers(chain, address, before, limit + 1)
        .await?;
    Ok(Json(list.page(
        rows,
        limit,
        |row| {
            [
                row.block_number as i64,
                row.transaction_index.into(),
                row.log_index.map_or(-1, i64::from),
                row.position.into(),
            ]
        },
        |row| Transfer::new(chain, row),
    )))
}

/// The block of a cursor and the index within it.
fn place(list: &List, cursor: Option<&str>) -> Result<Option<(u64, u32)>, Problem> {
    Ok(list
        .position(cursor)?
        .and_then(|[block, index]| Some((u64::try_from(block).ok()?, u32::try_from(index).ok()?))))
}
