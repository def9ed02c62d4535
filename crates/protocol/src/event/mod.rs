//! The `data` of each stored update: serialized when it is committed, parsed by clients.

mod address;
mod block;
mod candle;
mod contract;
mod heartbeat;
mod price;
mod transaction;

use serde::{Deserialize, Serialize};

pub use self::{
    address::{
        AddressReorg, AddressTransaction, AddressTransfer, TransactionResult, TransferSource,
    },
    block::{BlockFinalized, NewBlock, Reorg},
    candle::CandleUpdate,
    contract::{ContractEvent, ContractReorg},
    heartbeat::{Heartbeat, StaleSource},
    price::{PriceUpdate, PriceUpdateDetail},
    transaction::{TransactionStatus, TransactionUpdate},
};
use crate::{EventName, PriceAlert};

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

    /// Parses the JSON text of the data of an event; `None` for an event that is not stored (the heartbeat), and for one
    /// that this version does not have.
    pub fn parse(name: &EventName, data: &str) -> serde_json::Result<Option<Self>> {
        fn read<'a, T: Deserialize<'a>>(data: &'a str) -> serde_json::Result<T> {
            serde_json::from_str(data)
        }
        Ok(Some(match name {
            EventName::NewBlock => Self::NewBlock(read(data)?),
            EventName::Reorg => Self::Reorg(read(data)?),
            EventName::BlockFinalized => Self::BlockFinalized(read(data)?),
            EventName::PriceUpdate => Self::PriceUpdate(read(data)?),
            EventName::PriceAlert => Self::PriceAlert(read(data)?),
            EventName::CandleUpdate => Self::CandleUpdate(read(data)?),
            EventName::ContractEvent => Self::ContractEvent(read(data)?),
            EventName::ContractReorg => Self::ContractReorg(read(data)?),
            EventName::TransactionUpdate => Self::TransactionUpdate(read(data)?),
            EventName::AddressTransaction => Self::AddressTransaction(read(data)?),
            EventName::AddressTransfer => Self::AddressTransfer(read(data)?),
            EventName::AddressReorg => Self::AddressReorg(read(data)?),
            EventName::Heartbeat | EventName::Unknown(_) => return Ok(None),
        }))
    }
}

/// Monetary fields. Formats that distinguish strings, integers and floats always encode them as strings, because a
/// [`JsonNumber`](crate::JsonNumber) can be `3456` or `3456.12`.
pub const DECIMALS: [&str; 7] = [
    "price",
    "confidence",
    "threshold",
    "open",
    "high",
    "low",
    "close",
];
