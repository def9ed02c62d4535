//! `/contracts` and `/contracts/{name}/events`.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::{
    Routes, SharedApiState,
    error::{Problem, Problems, shortened},
    extract::{Params, Segment, parse_hex},
    page::{self, List, Page},
    wire::{Address, Hash},
};
use chaincast_protocol::{ChainId, Channel};
use chaincast_store::{
    StoreError,
    read::{ContractEventFilter, ContractEventKey, ContractEventRow, ContractRow},
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(list_contracts))
        .routes(routes!(list_contract_events))
}

/// A configured contract.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Contract {
    #[schema(examples("usdc"))]
    name: String,
    /// The channel that publishes its events.
    #[schema(examples("contract:usdc"))]
    channel: String,
    chain_id: ChainId,
    /// Addresses of the contracts; empty if a factory announces them.
    addresses: Vec<Address>,
    /// The factory that announces the contracts; null if they are listed in `addresses`.
    #[schema(required)]
    factory: Option<Factory>,
    /// Signatures of the decoded events.
    #[schema(examples(json!(["Transfer(address,address,uint256)"])))]
    events: Vec<String>,
    /// The first block whose logs are decoded.
    start_block: u64,
    /// Every block from here to `decodedThrough` is decoded.
    decoded_from: u64,
    /// `null` while no block is indexed.
    #[schema(required)]
    decoded_through: Option<u64>,
    /// Number of blocks whose stored logs are not decoded yet, for example after the contract was added.
    left_blocks: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ContractFactory)]
struct Factory {
    addresses: Vec<Address>,
    #[schema(examples("PairCreated(address,address,address,uint256)"))]
    event: String,
}

impl From<ContractRow> for Contract {
    fn from(row: ContractRow) -> Self {
        let listed: Vec<_> = row.addresses.into_iter().map(Address).collect();
        let (addresses, factory) = match row.factory_event {
            Some(event) => {
                let factory = Factory {
                    addresses: listed,
                    event,
                };
                (Vec::new(), Some(factory))
            }
            None => (listed, None),
        };
        Self {
            channel: Channel::Contract(row.name.to_ascii_lowercase().into(), None).to_string(),
            name: row.name,
            chain_id: row.chain_id,
            addresses,
            factory,
            events: row.events,
            start_block: row.start_block,
            decoded_from: row.decoded_from,
            decoded_through: row.decoded_through,
            left_blocks: row.decoded_from.saturating_sub(row.goal),
        }
    }
}

/// An event of a configured contract.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContractEvent {
    #[schema(examples("usdc"))]
    contract: String,
    #[schema(examples("Transfer"))]
    event: String,
    /// The contract that emitted it.
    address: Address,
    /// The arguments by name, in ABI order; an unnamed argument by its position. Integers are decimal strings, bytes
    /// 0x-hex, tuples objects; an indexed value of a dynamic type is `{"hash": "0x…"}`.
    #[schema(value_type = Object, examples(json!({
        "from": "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045", "to": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "value": "1000000"
    })))]
    args: Box<RawValue>,
    chain_id: ChainId,
    block_number: u64,
    block_hash: Hash,
    /// The header's timestamp, in seconds since the Unix epoch.
    block_timestamp: i64,
    /// `null` if only logs of the chain are indexed and the hash is not stored with them.
    #[schema(required)]
    transaction_hash: Option<Hash>,
    transaction_index: u32,
    /// Position in the block.
    log_index: u32,
    /// Whether its block is finalized.
    finalized: bool,
}

impl ContractEvent {
    fn new(contract: &ContractRow, row: ContractEventRow) -> Result<Self, StoreError> {
        Ok(Self {
            contract: contract.name.clone(),
            event: row.event,
            address: Address(row.address),
            args: RawValue::from_string(row.args).map_err(|error| StoreError::Corrupt {
                what: "contract event",
                reason: error.to_string(),
            })?,
            chain_id: contract.chain_id,
            block_number: row.block_number,
            block_hash: Hash(row.block_hash),
            block_timestamp: row.block_timestamp,
            transaction_hash: row.transaction_hash.map(Hash),
            transaction_index: row.transaction_index,
            log_index: row.log_index,
            finalized: row.finalized,
        })
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ContractsQuery {
    /// EIP-155 id: only contracts on that chain; defaults to all chains.
    chain: Option<u64>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// EIP-155 id of the contract's chain; optional.
    chain: Option<u64>,
    /// Only events with this name, case-insensitive; overloads share a name.
    #[param(example = "Transfer")]
    event: Option<String>,
    /// Only events emitted by this address, case-insensitive.
    address: Option<String>,
    /// The lowest block, inclusive.
    from_block: Option<u64>,
    /// The highest block, inclusive.
    to_block: Option<u64>,
    /// Events per page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// `next` of the previous page.
    cursor: Option<String>,
}

/// The configured contracts and their decoding progress
#[utoipa::path(
    get, path = "/api/v1/contracts", tag = "contracts", params(ContractsQuery),
    responses((status = 200, description = "All contracts, on one page", body = Page<Contract>), Problems)
)]
async fn list_contracts(
    State(state): SharedApiState,
    Params(query): Params<ContractsQuery>,
) -> Result<Json<Page<Contract>>, Problem> {
    let chain = query.chain.map(|id| state.chain(Some(id))).transpose()?;
    let rows = state.store.read_contracts().await?.into_iter();
    let selected = rows.filter(|row| chain.is_none_or(|chain| row.chain_id == chain));
    Ok(Json(Page {
        data: selected.map(Contract::from).collect(),
        next: None,
    }))
}

/// Decoded events of a contract, newest first
///
/// While `leftBlocks` of the contract is above 0, older events are still missing. A cursor is a position in the chain,
/// as for the transactions of an address.
#[utoipa::path(
    get, path = "/api/v1/contracts/{name}/events", tag = "contracts",
    params(("name" = String, Path, description = "Name of the contract, case-insensitive", example = "usdc"), EventsQuery),
    responses((status = 200, description = "A page of events", body = Page<ContractEvent>), Problems)
)]
async fn list_contract_events(
    State(state): SharedApiState,
    Segment(name): Segment,
    Params(query): Params<EventsQuery>,
) -> Result<Json<Page<ContractEvent>>, Problem> {
    let chain = query.chain.map(|id| state.chain(Some(id))).transpose()?;
    let limit = page::limit(query.limit, &state.config)?;
    if let (Some(from), Some(to)) = (query.from_block, query.to_block)
        && from > to
    {
        return Err(Problem::bad_parameter(
            "to_block",
            "to_block must not be below from_block",
        ));
    }
    // No name contains NUL, which PostgreSQL rejects in text.
    let found = match name.contains('\0') {
        true => None,
        false => state.store.read_contract(&name).await?,
    };
    let Some(contract) = found else {
        return Err(Problem::not_found(format!(
            "no contract {:?} is configured; /api/v1/contracts lists the configured contracts",
            shortened(&name)
        )));
    };
    if let Some(chain) = chain.filter(|chain| *chain != contract.chain_id) {
        return Err(Problem::not_found(format!(
            "contract {:?} is on chain {}, not on {chain}",
            contract.name, contract.chain_id
        )));
    }
    let filter = ContractEventFilter {
        event: query
            .event
            .map(|event| event_name(&contract, &event))
            .transpose()?,
        address: query
            .address
            .map(|address| parse_address(&address))
            .transpose()?,
        from_block: query.from_block,
        to_block: query.to_block,
    };
    // Only the name: another definition of it has the same positions for shared events.
    let list = List::new(format!(
        "contract-events/{}/{}/{filter:?}",
        contract.chain_id,
        name.to_ascii_lowercase()
    ));
    let before = list
        .position(query.cursor.as_deref())?
        .and_then(|[block, index]| {
            Some(ContractEventKey {
                block_number: u64::try_from(block).ok()?,
                log_index: u32::try_from(index).ok()?,
            })
        });
    let rows = state
        .store
        .read_contract_events(contract.id, &filter, before, limit + 1)
        .await?;
    let page = list.page(
        rows,
        limit,
        |row| [row.block_number as i64, row.log_index.into()],
        |row| ContractEvent::new(&contract, row),
    );
    Ok(Json(Page {
        data: page.data.into_iter().collect::<Result<_, _>>()?,
        next: page.next,
    }))
}

/// The name of the contract's event, as in its ABI.
fn event_name(contract: &ContractRow, name: &str) -> Result<String, Problem> {
    let mut names = contract
        .events
        .iter()
        .filter_map(|one| one.split('(').next());
    match names.find(|known| known.eq_ignore_ascii_case(name)) {
        Some(found) => Ok(found.to_owned()),
        None => Err(Problem::bad_parameter(
            "event",
            format!(
                "{:?} is not an event of contract {}; its events are {}",
                shortened(name),
                contract.name,
                contract.events.join(", ")
            ),
        )),
    }
}

fn parse_address(text: &str) -> Result<chaincast_protocol::Address, Problem> {
    parse_hex(text).ok_or_else(|| {
        let value = shortened(text);
        Problem::bad_parameter(
            "address",
            format!("address must be 0x and 40 hex digits, not {value:?}"),
        )
    })
}
