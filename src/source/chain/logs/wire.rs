//! What is read where only logs are indexed: logs as `eth_getLogs` gives them, and of a block's transactions no more
//! than how many there are.

use std::fmt;

use alloy::primitives::{Address, B256, Bytes};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

use crate::source::chain::quantity::required;

/// A log with its place in the chain (the Ethereum execution API).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlacedLog {
    pub(super) address: Address,
    pub(super) topics: Vec<B256>,
    pub(super) data: Bytes,
    #[serde(deserialize_with = "required")]
    pub(super) block_number: u64,
    pub(super) block_hash: B256,
    pub(super) transaction_hash: B256,
    #[serde(deserialize_with = "required")]
    pub(super) transaction_index: u64,
    #[serde(deserialize_with = "required")]
    pub(super) log_index: u64,
    /// Of a block that is no longer canonical.
    #[serde(default)]
    pub(super) removed: bool,
}

/// The length of a list whose items are not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count(pub(super) u32);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Count, A::Error> {
                let mut count = 0_u32;
                while items.next_element::<IgnoredAny>()?.is_some() {
                    count = count.saturating_add(1);
                }
                Ok(Count(count))
            }
        }
        deserializer.deserialize_seq(Items)
    }
}
