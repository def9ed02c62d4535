//! Decoded events of configured contracts.

#[cfg(feature = "explain")]
use super::super::explain::{Known, Query};
use super::{
    super::{Store, StoreError},
    row::{RowReader, bigint},
};
use chaincast_protocol::{Address, B256};

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractEventRow {
    /// Height of its block.
    pub block_number: u64,
    /// Hash of that block.
    pub block_hash: B256,
    /// The header's timestamp, in seconds.
    pub block_timestamp: i64,
    /// `None` when neither the transaction nor its hash is stored.
    pub transaction_hash: Option<B256>,
    /// Position of its transaction in the block.
    pub transaction_index: u32,
    /// Position of its log among all logs of the block.
    pub log_index: u32,
    /// The event's name in the ABI.
    pub event: String,
    /// The contract that emitted it.
    pub address: Address,
    /// The text of one JSON object.
    pub args: String,
    /// Whether its block is at or below the chain's finalized block.
    pub finalized: bool,
}

/// Selects events of a contract.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContractEventFilter {
    /// The name as in the ABI.
    pub event: Option<String>,
    /// The contract that emitted it.
    pub address: Option<Address>,
    /// The lowest block, inclusive.
    pub from_block: Option<u64>,
    /// The highest block, inclusive.
    pub to_block: Option<u64>,
}

/// An event's position in its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContractEventKey {
    /// Height of its block.
    pub block_number: u64,
    /// Position of its log among all logs of the block.
    pub log_index: u32,
}

impl Store {
    /// Events of a contract before `before`, newest first, at most `limit`.
    pub async fn read_contract_events(
        &self,
        contract: i64,
        filter: &ContractEventFilter,
        before: Option<ContractEventKey>,
        limit: u32,
    ) -> Result<Vec<ContractEventRow>, StoreError> {
        // The statement contains only the given filters, so that each combination can use its index.
        let event = match filter.event {
            Some(_) => "AND event = $6",
            None => "",
        };
        let address = match filter.address {
            Some(_) => "AND address = $7",
            None => "",
        };
        let sql = format!(
            "WITH e AS (
                 SELECT * FROM contract_events
                 WHERE contract_id = $1 AND (block_number, log_index) < ($2, $3) AND block_number >= $4
                     {event} {address} AND ($6::text IS NULL OR true) AND ($7::bytea IS NULL OR true)
                 ORDER BY block_number DESC, log_index DESC LIMIT $5)
             SELECT e.block_number, b.hash AS block_hash, b.timestamp, coalesce(t.hash, l.transaction_hash)
                    AS transaction_hash, e.transaction_index, e.log_index, e.event, e.address, e.args::text AS args,
                    coalesce(e.block_number <= c.finalized_number, false) AS finalized
             FROM e
             -- Each by its key: how few rows a page has is not known when it is planned.
             JOIN LATERAL (SELECT hash, timestamp FROM blocks
                           WHERE chain_id = e.chain_id AND number = e.block_number LIMIT 1) b ON true
             JOIN chains c ON c.chain_id = e.chain_id
             LEFT JOIN transactions t ON t.chain_id = e.chain_id AND t.block_number = e.block_number
                                     AND t.transaction_index = e.transaction_index
             LEFT JOIN logs l ON l.chain_id = e.chain_id AND l.block_number = e.block_number
                             AND l.log_index = e.log_index
             ORDER BY e.block_number DESC, e.log_index DESC"
        );
        // After the last item of the previous page, and not above `to_block`.
        let top = filter
            .to_block
            .map_or(i64::MAX, |to| bigint(to).saturating_add(1));
        let (block, index) = match before {
            Some(key) if bigint(key.block_number) < top => {
                (bigint(key.block_number), i64::from(key.log_index))
            }
            _ if top == i64::MAX => (i64::MAX, i64::MAX),
            _ => (top, -1),
        };
        let rows = sqlx::query(&sql)
            .bind(contract)
            .bind(block)
            .bind(index)
            .bind(bigint(filter.from_block.unwrap_or(0)))
            .bind(i64::from(limit))
            .bind(&filter.event)
            .bind(filter.address.map(|address| address.to_vec()))
            .fetch_all(&self.reads)
            .await?;
        rows.iter()
            .map(|row| {
                let row = RowReader::new(row, "contract event");
                Ok(ContractEventRow {
                    block_number: row.natural("block_number")?,
                    block_hash: row.hash("block_hash")?,
                    block_timestamp: row.get("timestamp")?,
                    transaction_hash: row.hash_or_null("transaction_hash")?,
                    transaction_index: row.index("transaction_index")?,
                    log_index: row.index("log_index")?,
                    event: row.get("event")?,
                    address: row.address("address")?,
                    args: row.get("args")?,
                    finalized: row.get("finalized")?,
                })
            })
            .collect()
    }
}

#[cfg(feature = "explain")]
pub(super) fn explained<'a>(store: &'a Store, known: &'a Known) -> Vec<Query<'a>> {
    let every = ContractEventFilter::default;
    let one_event = ContractEventFilter {
        event: Some("Rare".to_owned()),
        ..every()
    };
    let one_emitter = ContractEventFilter {
        address: Some(Address::with_last_byte(7)),
        ..every()
    };
    let one = Some(ContractEventKey {
        block_number: 10_000,
        log_index: 1,
    });
    let read = |filter: ContractEventFilter, before| async move {
        store
            .read_contract_events(1, &filter, before, known.limit)
            .await
    };
    vec![
        Query::new("read_contract_events", read(every(), None)),
        Query::new("read_contract_events behind one", read(every(), one)),
        Query::new("read_contract_events, one event", read(one_event, one)),
        Query::new("read_contract_events, one emitter", read(one_emitter, one)),
    ]
}
