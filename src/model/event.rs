//! What the outside hears: the `data` of each stored update, in the shapes of the gateway's protocol.

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{
    Address, AddressReorg, AddressTransaction, AddressTransfer, B256, BlockRef, Candle,
    CandleInterval, ChainId, JsonNumber, PriceAlert, PriceBlock, PriceStatus, Token,
    TransactionUpdate,
};

/// The data of one event; [`Event::name`] is what clients listen for.
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
    pub fn name(&self) -> &'static str {
        match self {
            Self::NewBlock(_) => "new-block",
            Self::Reorg(_) => "reorg",
            Self::BlockFinalized(_) => "block-finalized",
            Self::PriceUpdate(_) => "price-update",
            Self::PriceAlert(_) => "price-alert",
            Self::CandleUpdate(_) => "candle-update",
            Self::ContractEvent(_) => "contract-event",
            Self::ContractReorg(_) => "contract-reorg",
            Self::TransactionUpdate(_) => "transaction-update",
            Self::AddressTransaction(_) => "address-transaction",
            Self::AddressTransfer(_) => "address-transfer",
            Self::AddressReorg(_) => "address-reorg",
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
    /// Server time of the announcement, in ms.
    pub timestamp: i64,
    /// The header's timestamp, in seconds.
    pub block_timestamp: u64,
    /// Count of transactions.
    pub transactions: u64,
    /// Decimal strings, as every quantity that may pass 2^53.
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
    /// How many blocks were dropped.
    pub depth: u64,
    pub common_ancestor: BlockRef,
    /// Newest first.
    pub dropped: Vec<BlockRef>,
    /// Server time, in ms.
    pub timestamp: i64,
}

/// The chain will not go back behind this block.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockFinalized {
    pub number: u64,
    pub hash: super::B256,
    pub chain_id: ChainId,
    /// Server time, in ms.
    pub timestamp: i64,
}

/// A token's price changed, or its status did.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceUpdate {
    pub token: Token,
    pub price: JsonNumber,
    /// Server time of the announcement, in ms.
    pub timestamp: i64,
    pub quote: &'static str,
    /// In the quote currency, see [`super::Price::confidence`].
    pub confidence: JsonNumber,
    pub sources: Vec<std::sync::Arc<str>>,
    /// Age of the newest tick used when this was announced, in ms.
    pub age_ms: i64,
    pub status: PriceStatus,
    /// Why the status is not `ok`; left out while it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<super::PriceReason>,
    /// Every source that was fresh, by name.
    pub details: Vec<PriceUpdateDetail>,
}

/// One source of an announced price.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceUpdateDetail {
    pub source: Arc<str>,
    /// Age of its tick when this was announced, in ms.
    pub age_ms: i64,
    /// Where its tick is on a chain; `None` for sources elsewhere.
    pub block: Option<PriceBlock>,
    /// Too far from the others to be used.
    pub outlier: bool,
}

/// A candle grew, closed, or was put right after it had closed. Each update has the whole candle.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CandleUpdate {
    pub token: Token,
    pub interval: CandleInterval,
    /// When the candle begins, in ms since the Unix epoch.
    pub timestamp: i64,
    pub open: JsonNumber,
    pub high: JsonNumber,
    pub low: JsonNumber,
    pub close: JsonNumber,
    /// How many prices it is made of.
    pub count: u64,
    /// Whether its time is over. It is said again when a late price puts it right.
    pub closed: bool,
    /// Whether it only fills a gap; never, on the channel.
    pub synthetic: bool,
}

impl CandleUpdate {
    /// Of a candle as it stands.
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

/// Fields that are money. Formats that tell strings, integers and floats apart write them as strings, always:
/// a [`JsonNumber`] is as likely `3456` as `3456.12`.
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
    /// By name; `None` when they are too large for a message: the API has them.
    pub args: Option<Box<RawValue>>,
    pub block_number: u64,
    pub block_hash: B256,
    /// The header's timestamp, in seconds.
    pub block_timestamp: u64,
    pub transaction_hash: Option<B256>,
    pub log_index: u32,
    pub chain_id: ChainId,
    /// Server time of the announcement, in ms.
    pub timestamp: i64,
}

impl ContractEvent {
    /// Arguments larger than this are not sent, in bytes of JSON: a message must fit what a session may have waiting.
    pub const LARGEST_ARGS: usize = 65_536;
}

/// Events announced for these blocks are taken back; those of the new branch follow.
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
