//! Configured contracts.

use sqlx::postgres::PgRow;

#[cfg(feature = "explain")]
use super::super::explain::{Known, Query};
use super::{super::Store, super::StoreError, row::RowReader};
use chaincast_protocol::{Address, ChainId};

/// Maximum number of contracts listed.
const MOST: i64 = 10_000;

/// A contract as configured in the indexer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractRow {
    /// Key in the table `contracts`, for [`Store::read_contract_events`].
    pub id: i64,
    /// EIP-155 id of the chain.
    pub chain_id: ChainId,
    /// As configured.
    pub name: String,
    /// Addresses of the contracts, or of their factory.
    pub addresses: Vec<Address>,
    /// Signature of the event by which the factory announces contracts.
    pub factory_event: Option<String>,
    /// Event signatures.
    pub events: Vec<String>,
    /// The configured first block: logs below it are not decoded.
    pub start_block: u64,
    /// The block down to which logs will be decoded: the larger first block of the index and of the contract.
    pub goal: u64,
    /// Every stored block from here on is decoded.
    pub decoded_from: u64,
    /// `None` while no block is indexed.
    pub decoded_through: Option<u64>,
}

const CONTRACTS: &str = "SELECT k.*, greatest(k.start_block, c.start_block) AS goal, c.head_number
    FROM contracts k JOIN chains c ON c.chain_id = k.chain_id WHERE k.retired_at IS NULL";

impl Store {
    /// All active contracts, in configuration order.
    pub async fn read_contracts(&self) -> Result<Vec<ContractRow>, StoreError> {
        let rows = sqlx::query(&format!(
            "{CONTRACTS} ORDER BY k.chain_id, k.position, k.id LIMIT $1"
        ))
        .bind(MOST)
        .fetch_all(&self.reads)
        .await?;
        rows.iter().map(parse_contract).collect()
    }

    /// The contract with this name, case-insensitive.
    pub async fn read_contract(&self, name: &str) -> Result<Option<ContractRow>, StoreError> {
        // A contract that moved to another chain may have two rows: use the later one.
        let row = sqlx::query(&format!(
            "{CONTRACTS} AND k.name = $1 ORDER BY k.id DESC LIMIT 1"
        ))
        .bind(name.to_ascii_lowercase())
        .fetch_optional(&self.reads)
        .await?;
        row.as_ref().map(parse_contract).transpose()
    }

    /// Whether this contract, and this event of it, exist; both in lower case.
    pub async fn has_contract_event(
        &self,
        contract: &str,
        event: Option<&str>,
    ) -> Result<bool, StoreError> {
        let Some(row) = self.read_contract(contract).await? else {
            return Ok(false);
        };
        Ok(event.is_none_or(|event| row.has_event(event)))
    }
}

impl ContractRow {
    /// Whether one of its events has this name, case-insensitive.
    fn has_event(&self, name: &str) -> bool {
        let names = self.events.iter().filter_map(|one| one.split('(').next());
        names.into_iter().any(|one| one.eq_ignore_ascii_case(name))
    }
}

fn parse_contract(row: &PgRow) -> Result<ContractRow, StoreError> {
    let row = RowReader::new(row, "contract");
    let addresses: Vec<Vec<u8>> = row.get("addresses")?;
    let addresses = addresses
        .iter()
        .map(|bytes| Address::try_from(bytes.as_slice()));
    let head = row.natural_or_null("head_number")?;
    Ok(ContractRow {
        id: row.get("id")?,
        chain_id: row.natural("chain_id")?,
        name: row.get("shown")?,
        addresses: addresses
            .collect::<Result<_, _>>()
            .map_err(|error| row.corrupt("addresses", error))?,
        factory_event: row.get("factory_event")?,
        events: row.get("events")?,
        start_block: row.natural("start_block")?,
        goal: row.natural("goal")?,
        decoded_from: row.natural("decoded_from")?,
        decoded_through: match head {
            Some(_) => u64::try_from(row.get::<i64>("decoded_through")?).ok(),
            None => None,
        },
    })
}

#[cfg(feature = "explain")]
pub(super) fn explained<'a>(store: &'a Store, _: &'a Known) -> Vec<Query<'a>> {
    vec![
        Query::new("read_contracts", store.read_contracts()),
        Query::new("read_contract", store.read_contract("demo")),
        Query::new(
            "has_contract_event",
            store.has_contract_event("demo", Some("said")),
        ),
    ]
}
