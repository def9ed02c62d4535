//! The events that channels carry: their names, and the `data` of each, serialized when it is committed and parsed by
//! clients.
//!
//! An event is its data, in a file here, and one line in the table below. The kind of channel that carries it lists it
//! in its [`events`](crate::channel::ChannelKind::events).

mod address;
mod block;
mod candle;
mod contract;
mod heartbeat;
mod name;
mod price;
mod price_alert;
mod transaction;
mod unknown_event;

use serde::{Deserialize, Serialize};

use self::unknown_event::UnknownEvent;
pub use self::{
    address::*, block::*, candle::*, contract::*, heartbeat::*, price::*, price_alert::*,
    transaction::*,
};

macro_rules! events {
    (
        stored { $($stored:ident($stored_data:ty) = $stored_name:literal,)+ }
        live { $($live:ident($live_data:ty) = $live_name:literal,)+ }
    ) => {
        /// The name of an event, which clients listen for. Its text is the same on the wire, in the store and on the bus.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum EventName {
            $($stored,)+
            $($live,)+
            /// Stored or sent by a newer version. Delivered unchanged: clients ignore events that they do not know.
            Unknown(UnknownEvent),
        }

        impl EventName {
            /// Every name that this version has.
            pub const ALL: &'static [Self] = &[$(Self::$stored,)+ $(Self::$live,)+];

            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$stored => $stored_name,)+
                    $(Self::$live => $live_name,)+
                    Self::Unknown(unknown) => unknown.as_str(),
                }
            }

            /// The schema of the event's data; `None` for an event that this version does not have.
            #[cfg(feature = "schema")]
            pub(crate) fn data_schema(
                &self,
                generator: &mut schemars::SchemaGenerator,
            ) -> Option<schemars::Schema> {
                Some(match self {
                    $(Self::$stored => generator.subschema_for::<$stored_data>(),)+
                    $(Self::$live => generator.subschema_for::<$live_data>(),)+
                    Self::Unknown(_) => return None,
                })
            }
        }

        impl From<&str> for EventName {
            fn from(name: &str) -> Self {
                match name {
                    $($stored_name => Self::$stored,)+
                    $($live_name => Self::$live,)+
                    _ => Self::Unknown(UnknownEvent::new(name)),
                }
            }
        }

        /// The data of one stored event; clients listen for [`Event::name`].
        #[derive(Debug, Clone, Serialize)]
        #[serde(untagged)]
        pub enum Event {
            $($stored($stored_data),)+
        }

        impl Event {
            pub fn name(&self) -> EventName {
                match self {
                    $(Self::$stored(_) => EventName::$stored,)+
                }
            }

            /// Parses the JSON text of the data of an event; `None` for an event that is not stored (the heartbeat), and
            /// for one that this version does not have.
            pub fn parse(name: &EventName, data: &str) -> serde_json::Result<Option<Self>> {
                fn read<'a, T: Deserialize<'a>>(data: &'a str) -> serde_json::Result<T> {
                    serde_json::from_str(data)
                }
                Ok(Some(match name {
                    $(EventName::$stored => Self::$stored(read(data)?),)+
                    $(EventName::$live)|+ | EventName::Unknown(_) => return Ok(None),
                }))
            }
        }
    };
}

events! {
    // Every update is stored: `Event` has its data.
    stored {
        NewBlock(NewBlock) = "new-block",
        Reorg(Reorg) = "reorg",
        BlockFinalized(BlockFinalized) = "block-finalized",
        PriceUpdate(PriceUpdate) = "price-update",
        PriceAlert(PriceAlert) = "price-alert",
        CandleUpdate(CandleUpdate) = "candle-update",
        ContractEvent(ContractEvent) = "contract-event",
        ContractReorg(ContractReorg) = "contract-reorg",
        TransactionUpdate(TransactionUpdate) = "transaction-update",
        AddressTransaction(Box<AddressTransaction>) = "address-transaction",
        AddressTransfer(Box<AddressTransfer>) = "address-transfer",
        AddressReorg(AddressReorg) = "address-reorg",
    }
    // No update is stored: each gateway sends its own.
    live {
        Heartbeat(Heartbeat) = "heartbeat",
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
