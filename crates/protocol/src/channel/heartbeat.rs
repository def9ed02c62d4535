//! `heartbeat`: what each gateway sends once per second.

use super::{
    AccessRule, Channel, ChannelKind, DeliveryRule, Requirement, RetentionRule, SnapshotRule,
    StorageRule,
};
use crate::EventName;

pub(super) static KIND: ChannelKind = ChannelKind {
    prefix: "heartbeat",
    forms: &["heartbeat"],
    examples: &["heartbeat"],
    parse: |rest| match rest {
        None => Ok(Channel::Heartbeat),
        Some(_) => Err(NO_SUFFIX),
    },
    write_rest: |_, _| Ok(()),
    events: &[EventName::Heartbeat],
    published_as: None,
    snapshot: SnapshotRule::Nothing,
    delivery: DeliveryRule::AllByDefault,
    storage: StorageRule::Live,
    retention: RetentionRule::Shared,
    access: AccessRule::Public,
    kept_without_subscribers: true,
    requirement: |_| Requirement::Nothing,
};

const NO_SUFFIX: &str = "heartbeat takes no suffix";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::tests::{assert_parses, assert_rejects};

    #[test]
    fn has_no_suffix() {
        assert_parses(&[("Heartbeat", "heartbeat")]);
        assert_rejects(&["heartbeat:", "heartbeat:1"], NO_SUFFIX);
    }
}
