//! `announcements`: notices of the application to everybody.

use super::{
    AccessRule, Channel, ChannelKind, DeliveryRule, Requirement, RetentionRule, SnapshotRule,
    StorageRule,
};
use crate::EventName;

pub(super) static KIND: ChannelKind = ChannelKind {
    prefix: "announcements",
    forms: &["announcements"],
    examples: &["announcements"],
    parse: |rest| match rest {
        None => Ok(Channel::Announcements),
        Some(_) => Err(NO_SUFFIX),
    },
    write_rest: |_, _| Ok(()),
    events: &[EventName::Announcement],
    published_as: Some(EventName::Announcement),
    // A notice of last week is no state: clients read the history if they want it.
    snapshot: SnapshotRule::Nothing,
    delivery: DeliveryRule::AllOnly("announcements"),
    storage: StorageRule::Stored,
    retention: RetentionRule::Shared,
    access: AccessRule::Public,
    kept_without_subscribers: true,
    requirement: |_| Requirement::Nothing,
};

const NO_SUFFIX: &str = "announcements takes no suffix";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::tests::{assert_parses, assert_rejects};

    #[test]
    fn has_no_suffix() {
        assert_parses(&[("Announcements", "announcements")]);
        assert_rejects(&["announcements:", "announcements:1"], NO_SUFFIX);
    }
}
