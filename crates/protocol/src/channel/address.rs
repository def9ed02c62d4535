//! `address:ADDRESS`: the transactions and transfers of one address, while it is watched.

use super::{
    AccessRule, Channel, ChannelKind, DeliveryRule, Requirement, RetentionRule, SnapshotRule,
    StorageRule, parse_hex,
};
use crate::EventName;

pub(super) static KIND: ChannelKind = ChannelKind {
    prefix: "address",
    forms: &["address:ADDRESS"],
    examples: &["address:0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045"],
    parse: |rest| parse_hex(rest).map(Channel::Address).ok_or(ADDRESS),
    write_rest: |channel, f| match channel {
        Channel::Address(address) => write!(f, ":{address}"),
        _ => Ok(()),
    },
    events: &[
        EventName::AddressTransaction,
        EventName::AddressTransfer,
        EventName::AddressReorg,
    ],
    published_as: None,
    snapshot: SnapshotRule::Nothing,
    delivery: DeliveryRule::AllOnly("transactions and transfers"),
    storage: StorageRule::Watched(|channel| match channel {
        Channel::Address(address) => Some(address.as_slice()),
        _ => None,
    }),
    retention: RetentionRule::Shared,
    access: AccessRule::Public,
    kept_without_subscribers: true,
    requirement: |_| Requirement::Nothing,
};

const ADDRESS: &str = "an address is 0x and 40 hex digits";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::tests::{assert_parses, assert_rejects};

    #[test]
    fn displays_checksummed_addresses() {
        assert_parses(&[(
            "ADDRESS:0xd8da6bf26964af9d7eed9e03e53415d37aa96045",
            "address:0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045",
        )]);
        assert_rejects(&["address", "address:", "address:0xd8da"], ADDRESS);
    }

    #[test]
    fn watches_the_address() {
        let channel = Channel::Address(alloy_primitives::Address::repeat_byte(7));
        assert_eq!(channel.watch_key(), Some(&[7; 20][..]));
    }
}
