//! `tx:HASH`: one transaction, while it is watched.

use super::{
    AccessRule, Channel, ChannelKind, DeliveryRule, Requirement, RetentionRule, SnapshotRule,
    StorageRule, parse_hex,
};
use crate::EventName;

pub(super) static KIND: ChannelKind = ChannelKind {
    prefix: "tx",
    forms: &["tx:HASH"],
    examples: &["tx:0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060"],
    parse: |rest| parse_hex(rest).map(Channel::Tx).ok_or(HASH),
    write_rest: |channel, f| match channel {
        Channel::Tx(hash) => write!(f, ":{hash}"),
        _ => Ok(()),
    },
    events: &[EventName::TransactionUpdate],
    published_as: None,
    snapshot: SnapshotRule::TransactionState(EventName::TransactionUpdate),
    delivery: DeliveryRule::AllByDefault,
    storage: StorageRule::Watched(|channel| match channel {
        Channel::Tx(hash) => Some(hash.as_slice()),
        _ => None,
    }),
    retention: RetentionRule::Shared,
    access: AccessRule::Public,
    kept_without_subscribers: true,
    requirement: |_| Requirement::Transactions,
};

const HASH: &str = "a hash is 0x and 64 hex digits";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::tests::{assert_parses, assert_rejects};

    #[test]
    fn parses_whole_hashes() {
        let hash = "ab".repeat(32);
        let upper = format!("TX:0X{}", hash.to_uppercase());
        assert_parses(&[(&upper, &format!("tx:0x{hash}"))]);
        let short = format!("tx:0x{}", "a".repeat(63));
        let bare = format!("tx:{hash}");
        assert_rejects(&["tx", "tx:", "tx:0x12", &short, &bare], HASH);
    }

    #[test]
    fn watches_the_hash() {
        let channel = Channel::Tx(alloy_primitives::B256::repeat_byte(7));
        assert_eq!(channel.watch_key(), Some(&[7; 32][..]));
    }
}
