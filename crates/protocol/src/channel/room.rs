//! `room:NAME`: messages of clients to each other.

use super::{
    AccessRule, Channel, ChannelKind, DeliveryRule, Requirement, RetentionRule, SnapshotRule,
    StorageRule,
};
use crate::EventName;

pub(super) static KIND: ChannelKind = ChannelKind {
    prefix: "room",
    forms: &["room:NAME"],
    examples: &["room:lobby"],
    parse: |rest| match rest {
        Some(name) if is_name(name) => Ok(Channel::Room(name.to_ascii_lowercase().into())),
        _ => Err(NAME),
    },
    write_rest: |channel, f| match channel {
        Channel::Room(name) => write!(f, ":{name}"),
        _ => Ok(()),
    },
    events: &[
        EventName::RoomMessage,
        EventName::RoomRedacted,
        EventName::RoomSignal,
        EventName::MemberJoined,
        EventName::MemberLeft,
        EventName::MembersChanged,
    ],
    published_as: Some(EventName::RoomMessage),
    snapshot: SnapshotRule::Nothing,
    delivery: DeliveryRule::AllOnly("messages"),
    storage: StorageRule::Stored,
    retention: RetentionRule::Room,
    access: AccessRule::Room,
    // There can be very many, and most are quiet.
    kept_without_subscribers: false,
    requirement: |channel| match channel {
        Channel::Room(name) => Requirement::Room(name),
        _ => Requirement::Nothing,
    },
};

const NAME: &str =
    "a room has a name of 1 to 64 letters, digits, '.', '_' or '-', as in room:lobby";
const MAX_NAME: usize = 64;

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=MAX_NAME).contains(&name.len()) && name.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::tests::{assert_parses, assert_rejects};

    #[test]
    fn names_are_ascii_of_any_case() {
        let longest = format!("room:{}", "a".repeat(64));
        assert_parses(&[
            ("ROOM:Lobby-1", "room:lobby-1"),
            ("room:a.b_c", "room:a.b_c"),
            (&longest, &longest),
        ]);
        let longer = format!("{longest}a");
        let bad = [
            "room", "room:", "room:a b", "room:a:b", "room:é", "room:*", &longer,
        ];
        assert_rejects(&bad, NAME);
    }

    #[test]
    fn requires_a_configured_room() {
        let room: Channel = "room:Lobby".parse().unwrap();
        assert_eq!(room.requirement(), Requirement::Room("lobby"));
    }
}
