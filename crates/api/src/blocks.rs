//! `/blocks`, `/blocks/{id}` and `/blocks/{id}/header`.

use alloy::{eips::eip4895, primitives::keccak256};
use axum::{
    Json,
    extract::State,
    http::{HeaderValue, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::{
    ApiState, Routes, SharedApiState,
    error::{Problem, Problems, shortened},
    extract::{Params, Segment, parse_hex},
    page::{self, List, Page},
    wire::{Address, Bytes, Hash, Quantity},
};
use chaincast_protocol::ChainId;
use chaincast_store::read::{BlockId, BlockRow, WholeBlockRow};

pub(super) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(list_blocks))
        .routes(routes!(read_block))
        .routes(routes!(read_header))
}

/// A block of the canonical chain.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Block {
    chain_id: ChainId,
    number: u64,
    hash: Hash,
    parent_hash: Hash,
    /// The header's timestamp, in seconds since the Unix epoch.
    timestamp: i64,
    /// Null if the node left it out and the check that needs it is off; the same holds for `sha3Uncles`, the three
    /// roots and `logsBloom`.
    #[schema(required)]
    miner: Option<Address>,
    /// Number of transactions.
    transactions: u32,
    /// Number of logs.
    logs: u32,
    gas_used: Quantity,
    gas_limit: Quantity,
    /// In wei; null before London.
    #[schema(required)]
    base_fee_per_gas: Option<Quantity>,
    difficulty: Quantity,
    /// In bytes.
    #[schema(required)]
    size: Option<u64>,
    /// Whether `size` was computed from verified data; otherwise the node returned it. Null for a block stored by an
    /// earlier version, as are then `sha3Uncles`, `withdrawalsRoot`, `parentBeaconBlockRoot` and `requestsHash`.
    #[schema(required)]
    size_proved: Option<bool>,
    #[schema(required)]
    sha3_uncles: Option<Hash>,
    #[schema(required)]
    state_root: Option<Hash>,
    #[schema(required)]
    transactions_root: Option<Hash>,
    #[schema(required)]
    receipts_root: Option<Hash>,
    extra_data: Bytes,
    #[schema(required)]
    mix_hash: Option<Hash>,
    #[schema(required)]
    nonce: Option<Bytes>,
    #[schema(required)]
    blob_gas_used: Option<Quantity>,
    #[schema(required)]
    excess_blob_gas: Option<Quantity>,
    /// Null before Shanghai.
    #[schema(required)]
    withdrawals_root: Option<Hash>,
    /// Null before Cancun.
    #[schema(required)]
    parent_beacon_block_root: Option<Hash>,
    /// Null before Prague.
    #[schema(required)]
    requests_hash: Option<Hash>,
    /// Null before Amsterdam.
    #[schema(required)]
    block_access_list_hash: Option<Hash>,
    /// Null before Amsterdam.
    #[schema(required)]
    slot_number: Option<u64>,
    /// Whether the block is finalized: no reorg can drop it.
    finalized: bool,
}

/// A block with the fields that lists omit.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct WholeBlock {
    #[serde(flatten)]
    block: Block,
    /// The bloom filter of all of its logs. Null for a block stored by an earlier version.
    #[schema(required)]
    logs_bloom: Option<Bytes>,
    /// Withdrawals from the beacon chain. Null before Shanghai, on chains without withdrawals, and if they are not
    /// known.
    #[schema(required)]
    withdrawals: Option<Vec<Withdrawal>>,
}

/// A withdrawal from the beacon chain (EIP-4895).
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Withdrawal {
    index: Quantity,
    validator_index: Quantity,
    address: Address,
    /// In Gwei.
    amount: Quantity,
}

/// A block header in the encoding that its hash covers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Header {
    chain_id: ChainId,
    number: u64,
    /// Keccak-256 of `rlp`.
    hash: Hash,
    /// The header in RLP (Yellow Paper, section 4.3).
    rlp: Bytes,
}

impl WholeBlock {
    fn new(chain_id: ChainId, row: WholeBlockRow) -> Self {
        let withdrawal = |paid: eip4895::Withdrawal| Withdrawal {
            index: paid.index.into(),
            validator_index: paid.validator_index.into(),
            address: Address(paid.address),
            amount: paid.amount.into(),
        };
        Self {
            block: Block::new(chain_id, row.block),
            logs_bloom: row.logs_bloom.map(|bloom| Bytes(bloom.to_vec())),
            withdrawals: row
                .withdrawals
                .map(|paid| paid.into_iter().map(withdrawal).collect()),
        }
    }
}

impl Block {
    fn new(chain_id: ChainId, row: BlockRow) -> Self {
        Self {
            chain_id,
            number: row.number,
            hash: Hash(row.hash),
            parent_hash: Hash(row.parent_hash),
            timestamp: row.timestamp,
            miner: row.miner.map(Address),
            transactions: row.transaction_count,
            logs: row.log_count,
            gas_used: row.gas_used.into(),
            gas_limit: row.gas_limit.into(),
            base_fee_per_gas: row.base_fee_per_gas.map(Quantity),
            difficulty: Quantity(row.difficulty),
            size: row.size,
            size_proved: row.size_proved,
            sha3_uncles: row.ommers_hash.map(Hash),
            state_root: row.state_root.map(Hash),
            transactions_root: row.transactions_root.map(Hash),
            receipts_root: row.receipts_root.map(Hash),
            extra_data: Bytes(row.extra_data),
            mix_hash: row.mix_hash.map(Hash),
            nonce: row.nonce.map(Bytes),
            blob_gas_used: row.blob_gas_used.map(Quantity::from),
            excess_blob_gas: row.excess_blob_gas.map(Quantity::from),
            withdrawals_root: row.withdrawals_root.map(Hash),
            parent_beacon_block_root: row.parent_beacon_block_root.map(Hash),
            requests_hash: row.requests_hash.map(Hash),
            block_access_list_hash: row.block_access_list_hash.map(Hash),
            slot_number: row.slot_number,
            finalized: row.finalized,
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BlocksQuery {
    /// EIP-155 id; defaults to the first configured chain.
    chain: Option<u64>,
    /// Blocks per page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// Only blocks below this number.
    before: Option<u64>,
    /// Only blocks above this number.
    after: Option<u64>,
    /// `next` of the previous page.
    cursor: Option<String>,
}

/// Blocks, newest first
#[utoipa::path(
    get, path = "/api/v1/blocks", tag = "chain", params(BlocksQuery),
    responses((status = 200, description = "A page of blocks", body = Page<Block>), Problems)
)]
async fn list_blocks(
    State(state): SharedApiState,
    Params(query): Params<BlocksQuery>,
) -> Result<Json<Page<Block>>, Problem> {
    let chain = state.chain(query.chain)?;
    let limit = page::limit(query.limit, &state.config)?;
    let list = List::new(format!(
        "blocks/{chain}/{:?}/{:?}",
        query.before, query.after
    ));
    let before = match list.position(query.cursor.as_deref())? {
        Some([number]) => u64::try_from(number).ok(),
        None => query.before,
    };
    let rows = state
        .store
        .read_blocks(chain, before, query.after, limit + 1)
        .await?;
    Ok(Json(list.page(
        rows,
        limit,
        |row| [row.number as i64],
        |row| Block::new(chain, row),
    )))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ChainQuery {
    /// EIP-155 id; defaults to the first configured chain.
    pub chain: Option<u64>,
}

/// One block
#[utoipa::path(
    get, path = "/api/v1/blocks/{id}", tag = "chain",
    params(
        ("id" = String, Path, description = "A number, a hash, `latest`, `safe` or `finalized`", example = "latest"),
        ChainQuery,
    ),
    responses((status = 200, description = "The block", body = WholeBlock), Problems)
)]
async fn read_block(
    State(state): SharedApiState,
    Segment(id): Segment,
    Params(query): Params<ChainQuery>,
) -> Result<Response, Problem> {
    let chain = state.chain(query.chain)?;
    let id = block_id(&id)?;
    let row = find_whole(&state, chain, id).await?;
    let cache = cache(row.block.finalized, id);
    Ok(([(CACHE_CONTROL, cache)], Json(WholeBlock::new(chain, row))).into_response())
}

/// The header of a block, exactly as it is hashed
///
/// Not available for a block stored by an earlier version, nor on a chain whose headers have fields beyond Ethereum's.
#[utoipa::path(
    get, path = "/api/v1/blocks/{id}/header", tag = "chain",
    params(
        ("id" = String, Path, description = "A number, a hash, `latest`, `safe` or `finalized`", example = "latest"),
        ChainQuery,
    ),
    responses((status = 200, description = "The header", body = Header), Problems)
)]
async fn read_header(
    State(state): SharedApiState,
    Segment(id): Segment,
    Params(query): Params<ChainQuery>,
) -> Result<Response, Problem> {
    let chain = state.chain(query.chain)?;
    let id = block_id(&id)?;
    let row = find_whole(&state, chain, id).await?;
    let (number, hash) = (row.block.number, row.block.hash);
    let header = row.header().ok_or_else(|| {
        Problem::not_found(format!(
            "the header of block {number} is incomplete: the node left fields out, or an earlier version stored the \
             block; index it again to get the header"
        ))
    })?;
    let rlp = alloy::rlp::encode(&header);
    // A header with additional fields does not hash to the block's hash.
    if keccak256(&rlp) != hash {
        return Err(Problem::not_found(format!(
            "the header of block {number} has chain-specific fields, which are not stored"
        )));
    }
    let cache = cache(row.block.finalized, id);
    let header = Header {
        chain_id: chain,
        number,
        hash: Hash(hash),
        rlp: Bytes(rlp),
    };
    Ok(([(CACHE_CONTROL, cache)], Json(header)).into_response())
}

fn cache(finalized: bool, id: BlockId) -> HeaderValue {
    // After a reset of a test chain a number may refer to another block; a hash never does.
    HeaderValue::from_static(match (finalized, id) {
        (true, BlockId::Hash(_)) => "public, max-age=86400, immutable",
        (true, BlockId::Number(_)) => "public, max-age=60",
        _ => "no-store",
    })
}

/// Parses a path segment that identifies a block.
pub(super) fn block_id(text: &str) -> Result<BlockId, Problem> {
    match text.to_ascii_lowercase().as_str() {
        "latest" => return Ok(BlockId::Latest),
        "safe" => return Ok(BlockId::Safe),
        "finalized" => return Ok(BlockId::Finalized),
        _ => {}
    }
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = || text.parse().ok().filter(|_| digits).map(BlockId::Number);
    number()
        .or_else(|| parse_hex(text).map(BlockId::Hash))
        .ok_or_else(|| {
            Problem::bad_parameter(
                "id",
                format!(
                    "a block is identified by its number, its hash (0x and 64 hex digits), latest, safe or finalized, \
                     not {:?}",
                    shortened(text)
                ),
            )
        })
}

/// The block, or the problem if it does not exist.
pub(super) async fn find(
    state: &ApiState,
    chain: ChainId,
    id: BlockId,
) -> Result<BlockRow, Problem> {
    match state.store.read_block(chain, id).await? {
        Some(row) => Ok(row),
        None => Err(missing(state, chain, id).await?),
    }
}

/// Like [`find`], with the fields that lists omit.
async fn find_whole(
    state: &ApiState,
    chain: ChainId,
    id: BlockId,
) -> Result<WholeBlockRow, Problem> {
    match state.store.read_whole_block(chain, id).await? {
        Some(row) => Ok(row),
        None => Err(missing(state, chain, id).await?),
    }
}

async fn missing(state: &ApiState, chain: ChainId, id: BlockId) -> Result<Problem, Problem> {
    Ok(Problem::not_found(match id {
        BlockId::Number(number) => format!("block {number} of chain {chain} is not indexed"),
        BlockId::Hash(hash) => match state.store.read_dropped_block(chain, hash).await? {
            Some(number) => {
                format!("block {hash} at height {number} of chain {chain} was dropped by a reorg")
            }
            None => format!("block {hash} of chain {chain} is not indexed"),
        },
        BlockId::Latest => format!("no block of chain {chain} is indexed yet"),
        BlockId::Safe => format!("no indexed block of chain {chain} is safe yet"),
        BlockId::Finalized => format!("no indexed block of chain {chain} is finalized yet"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_block_ids() {
        assert_eq!(block_id("12").unwrap(), BlockId::Number(12));
        assert_eq!(block_id("Latest").unwrap(), BlockId::Latest);
        assert_eq!(block_id("safe").unwrap(), BlockId::Safe);
        assert_eq!(block_id("finalized").unwrap(), BlockId::Finalized);
        let hash = format!("0x{}", "AB".repeat(32));
        assert_eq!(
            block_id(&hash).unwrap(),
            BlockId::Hash(chaincast_protocol::B256::repeat_byte(0xab))
        );
        for bad in ["", "-1", "+1", "0x12", "newest", "99999999999999999999"] {
            assert!(block_id(bad).is_err(), "{bad:?}");
        }
    }
}
