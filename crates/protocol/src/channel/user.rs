//! `user:SUBJECT`: what only one subject receives: its alerts, and messages to it.

use super::{
    AccessRule, Channel, ChannelKind, DeliveryRule, Requirement, RetentionRule, SnapshotRule,
    StorageRule,
};
use crate::EventName;

pub(super) static KIND: ChannelKind = ChannelKind {
    prefix: "user",
    forms: &["user:SUBJECT"],
    examples: &["user:alice"],
    parse: |rest| match rest {
        Some(subject) if !subject.is_empty() && !subject.chars().any(char::is_control) => {
            Ok(Channel::User(subject.into()))
        }
        _ => Err(SUBJECT),
    },
    write_rest: |channel, f| match channel {
        Channel::User(subject) => write!(f, ":{subject}"),
        _ => Ok(()),
    },
    events: &[EventName::PriceAlert, EventName::UserMessage],
    published_as: Some(EventName::UserMessage),
    snapshot: SnapshotRule::Unacknowledged,
    delivery: DeliveryRule::AllByDefault,
    storage: StorageRule::Stored,
    retention: RetentionRule::Subject,
    access: AccessRule::Subject(|channel| match channel {
        Channel::User(subject) => Some(subject),
        _ => None,
    }),
    kept_without_subscribers: true,
    requirement: |_| Requirement::Nothing,
};

const SUBJECT: &str = "a subject has no control characters, as in user:alice";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::tests::{assert_parses, assert_rejects};

    #[test]
    fn subjects_are_case_sensitive() {
        assert_parses(&[("USER:Alice", "user:Alice"), ("user:a:b@c", "user:a:b@c")]);
        assert_rejects(&["user", "user:", "user:a\nb"], SUBJECT);
    }

    #[test]
    fn belongs_to_its_subject() {
        assert_eq!(Channel::User("alice".into()).subject(), Some("alice"));
    }
}
