//! What is read where only logs are indexed: logs as `eth_getLogs` gives them, and of a block's transactions no more
//! than their hashes.

use std::{borrow::Cow, fmt};

use alloy::primitives::{Address, B256, Bytes};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, IntoDeserializer, MapAccess, Visitor},
};

use crate::source::chain::spelling::{Plain, or_default, required, values};

/// A log with its place in the chain (the Ethereum execution API).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlacedLog {
    #[serde(deserialize_with = "required")]
    pub(super) address: Address,
    #[serde(default, deserialize_with = "values")]
    pub(super) topics: Vec<B256>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) data: Bytes,
    #[serde(deserialize_with = "required")]
    pub(super) block_number: u64,
    #[serde(deserialize_with = "required")]
    pub(super) block_hash: B256,
    #[serde(deserialize_with = "required")]
    pub(super) transaction_hash: B256,
    #[serde(deserialize_with = "required")]
    pub(super) transaction_index: u64,
    #[serde(deserialize_with = "required")]
    pub(super) log_index: u64,
    /// Of a block that is no longer canonical.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) removed: bool,
}

/// The hash of a transaction of a block: its text alone, or within the whole transaction, which some nodes give although
/// it was not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SentHash(pub(super) B256);

impl<'de> Deserialize<'de> for SentHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrWhole;
        impl<'de> Visitor<'de> for TextOrWhole {
            type Value = SentHash;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the hash of a transaction")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<SentHash, E> {
                required(text.into_deserializer()).map(SentHash)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<SentHash, A::Error> {
                let mut hash = None;
                while let Some(name) = fields.next_key::<Cow<'de, str>>()? {
                    if name == "hash" {
                        let Plain(read) = fields.next_value()?;
                        hash = Some(read);
                    } else {
                        fields.next_value::<IgnoredAny>()?;
                    }
                }
                hash.map(SentHash)
                    .ok_or_else(|| A::Error::missing_field("hash"))
            }
        }
        deserializer.deserialize_any(TextOrWhole)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_hashes_alone_or_in_transactions() {
        let hash = B256::repeat_byte(7);
        let list = json!([hash, { "type": "0x2", "hash": hash, "accessList": [] }]);
        let read: Vec<SentHash> = serde_json::from_str(&list.to_string()).unwrap();
        assert_eq!(read, [SentHash(hash), SentHash(hash)]);
        // Spelled in another way, as other hashes are read.
        let bare = hash.to_string().to_uppercase();
        let list = json!([&bare[2..], { "hash": bare.replacen("0X", "0x", 1) }, "0x12"]);
        let read: Vec<SentHash> = serde_json::from_str(&list.to_string()).unwrap();
        let short = SentHash(B256::with_last_byte(0x12));
        assert_eq!(read, [SentHash(hash), SentHash(hash), short]);
        let long = format!("[\"0x1{}\"]", "0".repeat(64));
        for wrong in ["[\"0xzz\"]", &long, "[{\"type\":\"0x2\"}]", "[7]"] {
            assert!(
                serde_json::from_str::<Vec<SentHash>>(wrong).is_err(),
                "{wrong}"
            );
        }
    }
}
