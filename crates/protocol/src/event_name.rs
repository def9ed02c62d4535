//! Names of the events that channels carry.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};

/// A name of an event that this version does not have. Only parsing creates it, so it never equals a known name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UnknownEvent(Arc<str>);

macro_rules! event_names {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)+) => {
        /// The name of an event, which clients listen for. Its text is the same on the wire, in the store and on the bus.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum EventName {
            $($(#[$doc])* $variant,)+
            /// Stored or sent by a newer version. Delivered unchanged: clients ignore events that they do not know.
            Unknown(UnknownEvent),
        }

        impl EventName {
            /// Every name that this version has.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Unknown(UnknownEvent(name)) => name,
                }
            }
        }

        impl From<&str> for EventName {
            fn from(name: &str) -> Self {
                match name {
                    $($text => Self::$variant,)+
                    _ => Self::Unknown(UnknownEvent(name.into())),
                }
            }
        }
    };
}

event_names! {
    NewBlock = "new-block",
    Reorg = "reorg",
    BlockFinalized = "block-finalized",
    PriceUpdate = "price-update",
    PriceAlert = "price-alert",
    CandleUpdate = "candle-update",
    ContractEvent = "contract-event",
    ContractReorg = "contract-reorg",
    TransactionUpdate = "transaction-update",
    AddressTransaction = "address-transaction",
    AddressTransfer = "address-transfer",
    AddressReorg = "address-reorg",
    Heartbeat = "heartbeat",
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl PartialEq<str> for EventName {
    fn eq(&self, name: &str) -> bool {
        self.as_str() == name
    }
}

impl PartialEq<&str> for EventName {
    fn eq(&self, name: &&str) -> bool {
        self.as_str() == *name
    }
}

impl Serialize for EventName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EventName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl Visitor<'_> for NameVisitor {
            type Value = EventName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an event")
            }

            fn visit_str<E>(self, name: &str) -> Result<EventName, E> {
                Ok(name.into())
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_round_trip_as_kebab_case() {
        for name in EventName::ALL {
            let text = name.as_str();
            assert!(text.chars().all(|c| c.is_ascii_lowercase() || c == '-'));
            assert_eq!(EventName::from(text), *name);
            let json = serde_json::to_string(name).unwrap();
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<EventName>(&json).unwrap(), *name);
        }
    }

    #[test]
    fn unknown_names_are_kept_unchanged() {
        for text in ["block-verified", "New-Block", "", "a\"b"] {
            let name: EventName = serde_json::from_value(text.into()).unwrap();
            assert!(matches!(name, EventName::Unknown(_)), "{text:?}");
            assert_eq!(name, text);
            assert_eq!(serde_json::to_value(&name).unwrap(), text);
        }
    }
}
