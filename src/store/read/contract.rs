//! Configured contracts.

use sqlx::postgres::PgRow;

use super::{super::Store, super::StoreError, row::Reader};
use crate::model::{Address, ChainId};

/// The most contracts that are listed.
const MOST: i64 = 10_000;

/// A contract as the indexer has it configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractRow {
    pub id: i64,
    pub chain_id: ChainId,
    /// As configured.
    pub name: String,
    /// Of the contracts, or of their factory.
    pub addresses: Vec<Address>,
    /// Signature of the event by which the factory announces contracts.
    pub factory_event: Option<String>,
    /// Signatures.
    pub events: Vec<String>,
    pub start_block: u64,
    /// The block down to which logs will be decoded: the first of the index or of the contract.
    pub goal: u64,
    /// Every stored block from here on is decoded.
    pub decoded_from: u64,
    /// `None` while no block is indexed.
    pub decoded_through: Option<u64>,
}

const CONTRACTS: &str = "SELECT k.*, greatest(k.start_block, c.start_block) AS goal, c.head_number
    FROM contracts k JOIN chains c ON c.chain_id = k.chain_id WHERE k.retired_at IS NULL";

impl Store {
    /// All contracts in force, in the order of the configuration.
    pub async fn read_contracts(&self) -> Result<Vec<ContractRow>, StoreError> {
        let rows = sqlx::query(&format!(
            "{CONTRACTS} ORDER BY k.chain_id, k.position, k.id LIMIT $1"
        ))
        .bind(MOST)
        .fetch_all(&self.reads)
        .await?;
        rows.iter().map(contract_of).collect()
    }

    /// The contract with that name, in any case.
    pub async fn read_contract(&self, name: &str) -> Result<Option<ContractRow>, StoreError> {
        // One that moved to another chain may stand twice: the later one is meant.
        let row = sqlx::query(&format!(
            "{CONTRACTS} AND k.name = $1 ORDER BY k.id DESC LIMIT 1"
        ))
        .bind(name.to_ascii_lowercase())
        .fetch_optional(&self.reads)
        .await?;
        row.as_ref().map(contract_of).transpose()
    }

    /// Whether there is a contract of that name, and an event of it, both in lower case.
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
    /// Whether one of its events has this name, in any case.
    pub fn has_event(&self, name: &str) -> bool {
        let names = self.events.iter().filter_map(|one| one.split('(').next());
        names.into_iter().any(|one| one.eq_ignore_ascii_case(name))
    }
}

fn contract_of(row: &PgRow) -> Result<ContractRow, StoreError> {
    let row = Reader::new(row, "contract");
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
