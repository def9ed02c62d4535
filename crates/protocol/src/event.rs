//! The `data` of each stored update, in the shapes of the gateway's protocol.

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{
    Address, AddressReorg, AddressTransaction, AddressTransfer, B256, BlockRef, Candle,
    CandleInterval, ChainId, EventName, JsonNumber, PriceAlert, PriceBlock, PriceStatus, Token,
    TransactionUpdate,
};

/// The data of one event; clients listen for [`Event::name`].
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Event {
    NewBlock(NewBlock),
    Reorg(Reorg),
    BlockFinalized(BlockFinalized),
    PriceUpdate(PriceUpdate),
    PriceAlert(PriceAlert),
    CandleUpdate(CandleUpdate),
    ContractEvent(ContractEvent),
    ContractReorg(ContractReorg),
    TransactionUpdate(TransactionUpdate),
    AddressTransaction(Box<AddressTransaction>),
    AddressTransfer(Box<AddressTransfer>),
    AddressReorg(AddressReorg),
}

impl Event {
    pub fn name(&self) -> EventName {
        match self {
            Self::NewBlock(_) => EventName::NewBlock,
            Self::Reorg(_) => EventName::Reorg,
            Self::BlockFinalized(_) => EventName::BlockFinalized,
            Self::PriceUpdate(_) => EventName::PriceUpdate,
            Self::PriceAlert(_) => EventName::PriceAlert,
            Self::CandleUpdate(_) => EventName::CandleUpdate,
            Self::ContractEvent(_) => EventName::ContractEvent,
            Self::ContractReorg(_) => EventName::ContractReorg,
            Self::TransactionUpdate(_) => EventName::TransactionUpdate,
            Self::AddressTransaction(_) => EventName::AddressTransaction,
            Self::AddressTransfer(_) => EventName::AddressTransfer,
            Self::AddressReorg(_) => EventName::AddressReorg,
        }
    }
}

/// A block became the head of the canonical chain.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewBlock {
    pub number: u64,
    pub hash: super::B256,
    pub parent_hash: super::B256,
    /// Server time of the update, in ms.
    pub timestamp: i64,
    /// The header's timestamp, in seconds.
    pub block_timestamp: u64,
    /// Count of transactions.
    pub transactions: u64,
    /// Decimal strings, like every quantity that may exceed 2^53.
    pub gas_used: String,
    pub gas_limit: String,
    pub base_fee_per_gas: Option<String>,
    pub chain_id: ChainId,
}

/// Blocks left the canonical chain; the `new-block` events of the new branch follow.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reorg {
    pub chain_id: ChainId,
    /// Number of dropped blocks.
    pub depth: u64,
    pub common_ancestor: BlockRef,
    /// Newest first.
    pub dropped: Vec<BlockRef>,
    /// Server time, in ms.
    pub timestamp: i64,
}

/// No reorg will drop this block or an older one.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockFinalized {
    pub number: u64,
    pub hash: super::B256,
    pub chain_id: ChainId,
    /// Server time, in ms.
    pub timestamp: i64,
}

/// The price of a token, or its status, changed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceUpdate {
    pub token: Token,
    pub price: JsonNumber,
    /// Server time of the update, in ms.
    pub timestamp: i64,
    pub quote: &'static str,
    /// In the quote currency; see [`super::Price::confidence`].
    pub confidence: JsonNumber,
    pub sources: Vec<std::sync::Arc<str>>,
    /// Age of the newest used tick when this was published, in ms.
    pub age_ms: i64,
    pub status: PriceStatus,
    /// Why the status is not `ok`; omitted if it is `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<super::PriceReason>,
    /// All fresh sources, by name.
    pub details: Vec<PriceUpdateDetail>,
}

/// One source of a published price.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceUpdateDetail {
    pub source: Arc<str>,
    /// Age of its tick when this was published, in ms.
    pub age_ms: i64,
    /// The block of its tick; `None` for off-chain sources.
    pub block: Option<PriceBlock>,
    /// Too far from the others to be used.
    pub outlier: bool,
}

/// A candle was updated, closed, or corrected after its close. Each update has the whole candle.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CandleUpdate {
    pub token: Token,
    pub interval: CandleInterval,
    /// Start of the candle, in ms since the Unix epoch.
    pub timestamp: i64,
    pub open: JsonNumber,
    pub high: JsonNumber,
    pub low: JsonNumber,
    pub close: JsonNumber,
    /// Number of prices in the candle.
    pub count: u64,
    /// Whether its interval has ended. The update is sent again if a late price corrects the candle.
    pub closed: bool,
    /// Whether it only fills a gap; always false on the channel.
    pub synthetic: bool,
}

impl CandleUpdate {
    /// An update with the current state of a candle.
    pub fn new(token: &Token, interval: CandleInterval, candle: &Candle, closed: bool) -> Self {
        Self {
            token: token.clone(),
            interval,
            timestamp: candle.start,
            open: JsonNumber(candle.open.clone()),
            high: JsonNumber(candle.high.clone()),
            low: JsonNumber(candle.low.clone()),
            close: JsonNumber(candle.close.clone()),
            count: candle.count,
            closed,
            synthetic: candle.is_synthetic(),
        }
    }
}

/// Monetary fields. Formats that distinguish strings, integers and floats always encode them as strings, because a
/// [`JsonNumber`] can be `3456` or `3456.12`.
pub const DECIMALS: [&str; 7] = [
    "price",
    "confidence",
    "threshold",
    "open",
    "high",
    "low",
    "close",
];

/// A configured contract emitted an event.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContractEvent {
    /// The name in the configuration.
    pub contract: Arc<str>,
    /// The name in the ABI.
    pub event: Arc<str>,
    /// Checksummed (EIP-55).
    #[serde(serialize_with = "checksummed")]
    pub address: Address,
    /// Arguments by name; `None` if they are too large for a message (the API returns them).
    pub args: Option<Box<RawValue>>,
    pub block_number: u64,
    pub block_hash: B256,
    /// The header's timestamp, in seconds.
    pub block_timestamp: u64,
    pub transaction_hash: Option<B256>,
    pub log_index: u32,
    pub chain_id: ChainId,
    /// Server time of the update, in ms.
    pub timestamp: i64,
}

impl ContractEvent {
    /// Largest arguments that are sent, in bytes of JSON: a message must fit into a session's backlog.
    pub const MAX_ARGS_BYTES: usize = 65_536;
}

/// The events of these blocks are withdrawn; those of the new branch follow.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContractReorg {
    pub chain_id: ChainId,
    pub common_ancestor: BlockRef,
    /// Newest first.
    pub dropped: Vec<BlockRef>,
    /// Server time, in ms.
    pub timestamp: i64,
}

fn checksummed<S: Serializer>(address: &Address, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(address)
}
