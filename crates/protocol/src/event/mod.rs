//! The events that channels carry: their names, and the `data` of each, serialized when it is committed and parsed by
//! clients.
//!
//! An event is its data, in a file here, and one line in the table below. The kind of channel that carries it lists it
//! in its [`events`](crate::channel::ChannelKind::events).

mod address;
mod announcement;
mod block;
mod candle;
mod contract;
mod heartbeat;
mod members;
mod name;
mod price;
mod price_alert;
mod room;
mod transaction;
mod unknown_event;
mod user_message;

use serde::{Deserialize, Serialize};

use self::unknown_event::UnknownEvent;
pub use self::{
    address::*, announcement::*, block::*, candle::*, contract::*, heartbeat::*, members::*,
    price::*, price_alert::*, room::*, transaction::*, user_message::*,
};

macro_rules! events {
    (
        stored { $($(#[$stored_doc:meta])* $stored:ident($stored_data:ty) = $stored_name:literal,)+ }
        live { $($(#[$live_doc:meta])* $live:ident($live_data:ty) = $live_name:literal,)+ }
    ) => {
        /// The name of an event, which clients listen for. Its text is the same on the wire, in the store and on the bus.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum EventName {
            $($(#[$stored_doc])* $stored,)+
            $($(#[$live_doc])* $live,)+
            /// Stored or sent by a newer version. Delivered unchanged: clients ignore events that they do not know.
            Unknown(UnknownEvent),
        }

        impl EventName {
            /// Every name that this version has.
            pub const ALL: &'static [Self] = &[$(Self::$stored,)+ $(Self::$live,)+];

            /// The name, in kebab case for every known event.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$stored => $stored_name,)+
                    $(Self::$live => $live_name,)+
                    Self::Unknown(unknown) => unknown.as_str(),
                }
            }

            /// Whether its updates are stored, and so have a seq.
            pub fn is_stored(&self) -> bool {
                !matches!(self, $(Self::$live)|+)
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
            $($(#[$stored_doc])* $stored($stored_data),)+
        }

        impl Event {
            /// The name of the event on the wire.
            pub fn name(&self) -> EventName {
                match self {
                    $(Self::$stored(_) => EventName::$stored,)+
                }
            }

            /// Parses the JSON text of the data of an event; `None` for an event that is not stored, and for one that this
            /// version does not have.
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

        /// The data of one event that is not stored; clients listen for [`LiveEvent::name`].
        #[derive(Debug, Clone, Serialize)]
        #[serde(untagged)]
        pub enum LiveEvent {
            $($(#[$live_doc])* $live($live_data),)+
        }

        impl LiveEvent {
            /// The name of the event on the wire.
            pub fn name(&self) -> EventName {
                match self {
                    $(Self::$live(_) => EventName::$live,)+
                }
            }

            /// As [`Event::parse`]; `None` for an event that is stored, and for one that this version does not have.
            pub fn parse(name: &EventName, data: &str) -> serde_json::Result<Option<Self>> {
                Ok(Some(match name {
                    $(EventName::$live => Self::$live(serde_json::from_str(data)?),)+
                    _ => return Ok(None),
                }))
            }
        }
    };
}

events! {
    // Every update is stored: `Event` has its data.
    stored {
        /// A block became the head of its chain.
        NewBlock(NewBlock) = "new-block",
        /// Blocks left the canonical chain.
        Reorg(Reorg) = "reorg",
        /// A block, and every older one, is final.
        BlockFinalized(BlockFinalized) = "block-finalized",
        /// The price of a token, or its status, changed.
        PriceUpdate(PriceUpdate) = "price-update",
        /// A price alert of a user fired.
        PriceAlert(PriceAlert) = "price-alert",
        /// A candle changed or closed.
        CandleUpdate(CandleUpdate) = "candle-update",
        /// A configured contract emitted an event.
        ContractEvent(ContractEvent) = "contract-event",
        /// Blocks that may have events of the contract left the canonical chain.
        ContractReorg(ContractReorg) = "contract-reorg",
        /// The state of a transaction changed.
        TransactionUpdate(TransactionUpdate) = "transaction-update",
        /// A transaction of an address was indexed.
        AddressTransaction(Box<AddressTransaction>) = "address-transaction",
        /// A transfer of an address was indexed.
        AddressTransfer(Box<AddressTransfer>) = "address-transfer",
        /// Blocks with activity of an address left the canonical chain.
        AddressReorg(AddressReorg) = "address-reorg",
        /// A message to a room.
        RoomMessage(RoomMessage) = "room-message",
        /// A moderator redacted a message of a room.
        RoomRedacted(RoomRedacted) = "room-redacted",
        /// A message to one user.
        UserMessage(UserMessage) = "user-message",
        /// A notice to everybody.
        Announcement(Announcement) = "announcement",
    }
    // No update is stored: `LiveEvent` has its data.
    live {
        /// The state of the server, once a second; never stored.
        Heartbeat(Heartbeat) = "heartbeat",
        /// Somebody in a room sent a signal.
        RoomSignal(RoomSignal) = "room-signal",
        /// A subject entered a room with its first session.
        MemberJoined(MemberJoined) = "member-joined",
        /// A subject left a room with its last session.
        MemberLeft(MemberLeft) = "member-left",
        /// Many members of a room joined or left.
        MembersChanged(MembersChanged) = "members-changed",
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

/// Fields whose values are those of a client. Numbers within them are the client's, so no rule of the protocol applies
/// to them: formats with floats use those for whatever is no integer of 64 bits, as `JSON.parse` does.
pub const OPAQUE: [&str; 2] = ["payload", "info"];
