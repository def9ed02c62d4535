//! The JSON that is parsed if only logs are indexed: logs of `eth_getLogs`, and of transactions only their hashes.

use std::{borrow::Cow, fmt};

use alloy::primitives::{Address, B256, Bytes};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, IntoDeserializer, MapAccess, Visitor},
};

use crate::chain::json_values::{Plain, or_default, required, values};

/// A log with its position in the chain (the Ethereum execution API).
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
    /// Set for a block that is no longer canonical.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) removed: bool,
}

/// The hash of a transaction: bare, or within a whole transaction, which some nodes return unrequested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TransactionHash(pub(super) B256);

impl<'de> Deserialize<'de> for TransactionHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrWhole;
        impl<'de> Visitor<'de> for TextOrWhole {
            type Value = TransactionHash;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the hash of a transaction")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<TransactionHash, E> {
                required(text.into_deserializer()).map(TransactionHash)
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut fields: A,
            ) -> Result<TransactionHash, A::Error> {
                let mut hash = None;
                while let Some(name) = fields.next_key::<Cow<'de, str>>()? {
                    if name == "hash" {
                        let Plain(read) = fields.next_value()?;
                        hash = Some(read);
                    } else {
                        fields.next_value::<IgnoredAny>()?;
                    }
                }
                hash.map(TransactionHash)
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
    fn reads_hashes_bare_or_in_transactions() {
        let hash = B256::repeat_byte(7);
        let list = json!([hash, { "type": "0x2", "hash": hash, "accessList": [] }]);
        let read: Vec<TransactionHash> = serde_json::from_str(&list.to_string()).unwrap();
        assert_eq!(read, [TransactionHash(hash), TransactionHash(hash)]);
        // In other forms that hashes may have.
        let bare = hash.to_string().to_uppercase();
        let list = json!([&bare[2..], { "hash": bare.replacen("0X", "0x", 1) }, "0x12"]);
        let read: Vec<TransactionHash> = serde_json::from_str(&list.to_string()).unwrap();
        let short = TransactionHash(B256::with_last_byte(0x12));
        assert_eq!(read, [TransactionHash(hash), TransactionHash(hash), short]);
        let long = format!("[\"0x1{}\"]", "0".repeat(64));
        for wrong in ["[\"0xzz\"]", &long, "[{\"type\":\"0x2\"}]", "[7]"] {
            assert!(
                serde_json::from_str::<Vec<TransactionHash>>(wrong).is_err(),
                "{wrong}"
            );
        }
    }
}
