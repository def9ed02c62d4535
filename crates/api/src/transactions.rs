//! `/transactions/{hash}` and `/blocks/{id}/transactions`.

use alloy::eips::{eip2930, eip4844::DATA_GAS_PER_BLOB, eip7702::SignedAuthorization};
use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::{
    Routes, SharedApiState,
    blocks::{self, ChainQuery},
    error::{Problem, Problems},
    extract::{Params, Segment},
    page::{self, List, Page},
    wire::{Address, Bytes, Hash, Quantity},
};
use chaincast_model::IndexMode;
use chaincast_protocol::{B256, ChainId};
use chaincast_store::{
    Store,
    read::{LogRow, TransactionDetail, TransactionRow},
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(list_block_transactions))
        .routes(routes!(read_transaction))
}

/// The outcome of a transaction.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    Success,
    Failed,
}

/// A transaction of the canonical chain with its receipt. Lists omit its input and logs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TransactionSummary {
    chain_id: ChainId,
    hash: Hash,
    /// `success` or `failed`; null before Byzantium.
    #[schema(required)]
    status: Option<Outcome>,
    block_number: u64,
    block_hash: Hash,
    /// The header's timestamp, in seconds since the Unix epoch.
    block_timestamp: i64,
    transaction_index: u32,
    from: Address,
    /// Null when it creates a contract.
    #[schema(required)]
    to: Option<Address>,
    /// Address of the contract that it created; null if it created none.
    #[schema(required)]
    contract_address: Option<Address>,
    /// In wei.
    value: Quantity,
    nonce: Quantity,
    /// EIP-2718 type; 0 is a legacy transaction.
    r#type: u32,
    gas_limit: Quantity,
    #[schema(required)]
    gas_price: Option<Quantity>,
    #[schema(required)]
    max_fee_per_gas: Option<Quantity>,
    #[schema(required)]
    max_priority_fee_per_gas: Option<Quantity>,
    gas_used: Quantity,
    cumulative_gas_used: Quantity,
    effective_gas_price: Quantity,
    /// Number of confirmations: 1 if its block is the head.
    confirmations: u64,
    /// Whether its block is finalized.
    finalized: bool,
}

/// A transaction with its input and logs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Transaction {
    #[serde(flatten)]
    summary: TransactionSummary,
    input: Bytes,
    /// Addresses and storage slots that it declares to access (EIP-2930). Null for a legacy transaction. This and the
    /// fields below are null for a transaction stored by an earlier version.
    #[schema(required)]
    access_list: Option<Vec<AccessListItem>>,
    /// For type 4 (EIP-7702): the accounts that delegate to code.
    #[schema(required)]
    authorization_list: Option<Vec<Authorization>>,
    /// For type 3 (EIP-4844), like the blob fields below.
    #[schema(required)]
    blob_versioned_hashes: Option<Vec<Hash>>,
    /// In wei.
    #[schema(required)]
    max_fee_per_blob_gas: Option<Quantity>,
    #[schema(required)]
    blob_gas_used: Option<Quantity>,
    /// In wei, as returned by the node: no root covers it.
    #[schema(required)]
    blob_gas_price: Option<Quantity>,
    /// In order of emission.
    logs: Vec<Log>,
}

/// The declared accesses of a transaction to one account.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccessListItem {
    address: Address,
    storage_keys: Vec<Hash>,
}

/// A signed authorization of an account to delegate to code (EIP-7702).
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Authorization {
    /// 0 is valid on every chain.
    chain_id: Quantity,
    /// The address whose code it delegates to.
    address: Address,
    nonce: Quantity,
    y_parity: u8,
    r: Quantity,
    s: Quantity,
}

/// A log of a transaction.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Log {
    /// Position in the block.
    log_index: u32,
    address: Address,
    /// Up to four. The first is the hash of the event's signature, unless the event is anonymous.
    topics: Vec<Hash>,
    data: Bytes,
}

impl TransactionSummary {
    pub(super) fn new(chain_id: ChainId, row: TransactionRow) -> Self {
        let status = row.succeeded.map(|succeeded| match succeeded {
            true => Outcome::Success,
            false => Outcome::Failed,
        });
        Self {
            chain_id,
            hash: Hash(row.hash),
            status,
            block_number: row.block_number,
            block_hash: Hash(row.block_hash),
            block_timestamp: row.block_timestamp,
            transaction_index: row.transaction_index,
            from: Address(row.from),
            to: row.to.map(Address),
            contract_address: row.contract_address.map(Address),
            value: Quantity(row.value),
            nonce: Quantity(row.nonce),
            r#type: row.kind,
            gas_limit: row.gas_limit.into(),
            gas_price: row.gas_price.map(Quantity),
            max_fee_per_gas: row.max_fee_per_gas.map(Quantity),
            max_priority_fee_per_gas: row.max_priority_fee_per_gas.map(Quantity),
            gas_used: row.gas_used.into(),
            cumulative_gas_used: row.cumulative_gas_used.into(),
            effective_gas_price: Quantity(row.effective_gas_price),
            confirmations: row.confirmations,
            finalized: row.finalized,
        }
    }
}

impl Transaction {
    fn new(chain_id: ChainId, detail: TransactionDetail) -> Self {
        let log = |row: LogRow| Log {
            log_index: row.log_index,
            address: Address(row.address),
            topics: row.topics.into_iter().map(Hash).collect(),
            data: Bytes(row.data),
        };
        let access = |item: eip2930::AccessListItem| AccessListItem {
            address: Address(item.address),
            storage_keys: item.storage_keys.into_iter().map(Hash).collect(),
        };
        let authorization = |signed: SignedAuthorization| Authorization {
            chain_id: Quantity(signed.inner().chain_id.to_string()),
            address: Address(signed.inner().address),
            nonce: signed.inner().nonce.into(),
            y_parity: signed.y_parity(),
            r: Quantity(signed.r().to_string()),
            s: Quantity(signed.s().to_string()),
        };
        let blobs = detail.blob_versioned_hashes;
        Self {
            summary: TransactionSummary::new(chain_id, detail.transaction),
            input: Bytes(detail.input),
            access_list: detail
                .access_list
                .map(|list| list.0.into_iter().map(access).collect()),
            authorization_list: detail
                .authorization_list
                .map(|list| list.into_iter().map(authorization).collect()),
            blob_gas_used: blobs
                .as_ref()
                .map(|hashes| (DATA_GAS_PER_BLOB * hashes.len() as u64).into()),
            blob_versioned_hashes: blobs.map(|hashes| hashes.into_iter().map(Hash).collect()),
            max_fee_per_blob_gas: detail.max_fee_per_blob_gas.map(Quantity),
            blob_gas_price: detail.blob_gas_price.map(Quantity),
            logs: detail.logs.into_iter().map(log).collect(),
        }
    }
}

/// One transaction, with its receipt and logs
///
/// If several blocks contain it, returns the one where it succeeded, otherwise the newest. Not found if only logs or
/// transfers of the chain are indexed; `detail` then states it.
#[utoipa::path(
    get, path = "/api/v1/transactions/{hash}", tag = "chain",
    params(("hash" = Hash, Path, description = "The transaction's hash"), ChainQuery),
    responses((status = 200, description = "The transaction", body = Transaction), Problems)
)]
async fn read_transaction(
    State(state): SharedApiState,
    segment: Segment,
    Params(query): Params<ChainQuery>,
) -> Result<Json<Transaction>, Problem> {
    let chain = state.chain(query.chain)?;
    let hash = segment.hash()?;
    let detail = state.store.read_transaction(chain, hash).await?;
    match detail {
        Some(detail) => Ok(Json(Transaction::new(chain, detail))),
        None => Err(missing(&state.store, chain, hash).await?),
    }
}

/// The problem for a transaction that is not found.
async fn missing(store: &Store, chain: ChainId, hash: B256) -> Result<Problem, Problem> {
    let rows = store.read_chains(&[chain]).await?;
    let index = rows.first().map(|row| row.index).unwrap_or_default();
    Ok(Problem::not_found(match index {
        IndexMode::Blocks => {
            format!("transaction {hash} is not in any indexed block of chain {chain}")
        }
        IndexMode::Logs | IndexMode::Transfers => {
            format!("transactions of chain {chain} are not indexed: its index mode is \"{index}\"")
        }
    }))
}

/// Parameters of a list without filters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// EIP-155 id; defaults to the first configured chain.
    pub chain: Option<u64>,
    /// Items per page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<u32>,
    /// `next` of the previous page.
    pub cursor: Option<String>,
}

/// The transactions of a block, in block order
///
/// A cursor is bound to the block's hash: after a reorg at that height it is rejected. Empty if only logs or transfers
/// of the chain are indexed.
#[utoipa::path(
    get, path = "/api/v1/blocks/{id}/transactions", tag = "chain",
    params(
        ("id" = String, Path, description = "A number, a hash, `latest`, `safe` or `finalized`", example = "latest"),
        ListQuery,
    ),
    responses((status = 200, description = "A page of transactions", body = Page<TransactionSummary>), Problems)
)]
async fn list_block_transactions(
    State(state): SharedApiState,
    Segment(id): Segment,
    Params(query): Params<ListQuery>,
) -> Result<Json<Page<TransactionSummary>>, Problem> {
    let chain = state.chain(query.chain)?;
    let limit = page::limit(query.limit, &state.config)?;
    let block = blocks::find(&state, chain, blocks::block_id(&id)?).await?;
    let list = List::new(format!("block-transactions/{chain}/{}", block.hash));
    let after = list
        .position(query.cursor.as_deref())?
        .and_then(|[index]| u32::try_from(index).ok());
    let rows = state
        .store
        .read_block_transactions(chain, block.hash, after, limit + 1)
        .await?;
    Ok(Json(list.page(
        rows,
        limit,
        |row| [row.transaction_index.into()],
        |row| TransactionSummary::new(chain, row),
    )))
}
