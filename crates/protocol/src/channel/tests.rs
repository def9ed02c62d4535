//! Every kind of the table, and names of no kind.

use super::*;
use crate::EventName;

/// Names, and the canonical name that each is parsed as.
pub(super) fn assert_parses(names: &[(&str, &str)]) {
    for (given, canonical) in names {
        let channel: Channel = given.parse().unwrap();
        assert_eq!(channel.to_string(), *canonical);
        assert_eq!(canonical.parse(), Ok(channel));
    }
}

/// Names that are rejected for this reason.
pub(super) fn assert_rejects(names: &[&str], reason: &str) {
    for name in names {
        let error = name.parse::<Channel>().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("unknown channel {name:?}: {reason}")
        );
    }
}

/// A channel of each form of a kind.
fn examples(kind: &ChannelKind) -> Vec<Channel> {
    let channels = kind.examples.iter().map(|name| name.parse().unwrap());
    channels.collect()
}

const PROTOCOL: &str = include_str!("../../../../docs/protocol.md");

#[test]
fn examples_of_every_form_parse_and_display() {
    for (index, kind) in KINDS.iter().enumerate() {
        let parts = |name: &str| name.split(' ').next().unwrap().split(':').count();
        let of_forms: Vec<usize> = kind.forms.iter().map(|form| parts(form)).collect();
        let of_examples: Vec<usize> = kind.examples.iter().map(|name| parts(name)).collect();
        assert_eq!(of_examples, of_forms, "{}", kind.prefix);
        for (name, channel) in kind.examples.iter().zip(examples(kind)) {
            assert_eq!(channel.kind_index(), index, "{name}");
            assert_eq!(channel.kind().prefix, kind.prefix, "{name}");
            assert_eq!(channel.to_string(), *name);
            let loud = name.replacen(kind.prefix, &kind.prefix.to_uppercase(), 1);
            assert_eq!(loud.parse(), Ok(channel));
        }
    }
}

#[test]
fn kinds_have_different_prefixes_for_sql() {
    for (index, kind) in KINDS.iter().enumerate() {
        let others = &KINDS[index + 1..];
        assert!(others.iter().all(|other| other.prefix != kind.prefix));
        let plain = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(kind.prefix.chars().all(plain), "{}", kind.prefix);
    }
}

#[test]
fn error_lists_the_forms_of_every_kind() {
    let forms: Vec<&str> = KINDS.iter().flat_map(|kind| kind.forms).copied().collect();
    let (last, others) = forms.split_last().unwrap();
    assert!(forms.contains(&"price:TOKEN"), "{forms:?}");
    let reason = format!("use {} or {last}", others.join(", "));
    assert_rejects(&["nope", "", ":", "new-blocks"], &reason);
}

#[test]
fn protocol_page_lists_every_kind_with_its_events() {
    let lines = PROTOCOL.lines();
    let table = lines.skip_while(|line| !line.starts_with("| channel | events |"));
    let table: Vec<&str> = table.take_while(|line| !line.is_empty()).collect();
    assert_eq!(table.len(), 2 + KINDS.len(), "docs/protocol.md: channels");
    for kind in KINDS {
        let starts = [
            format!("| `{}`", kind.prefix),
            format!("| `{}:", kind.prefix),
        ];
        let mut rows = table.iter();
        let row = rows.find(|row| starts.iter().any(|start| row.starts_with(start)));
        let Some(row) = row else {
            panic!("docs/protocol.md lacks {}", kind.prefix)
        };
        for event in kind.events {
            assert!(
                row.contains(&format!("`{event}`")),
                "{event} is not in {row}"
            );
        }
    }
}

#[test]
fn every_event_belongs_to_a_kind() {
    for event in EventName::ALL {
        let mut kinds = KINDS.iter();
        assert!(kinds.any(|kind| kind.events.contains(event)), "{event}");
    }
}

#[test]
fn published_messages_are_stored_events_of_their_kind() {
    for kind in KINDS {
        let event = kind.published_as.as_ref();
        let is_own = event.is_none_or(|event| kind.events.contains(event) && event.is_stored());
        assert!(is_own, "{}: {event:?}", kind.prefix);
    }
}

#[test]
fn snapshots_are_of_the_kinds_own_events() {
    for kind in KINDS {
        let events: &[&EventName] = match &kind.snapshot {
            SnapshotRule::Nothing | SnapshotRule::Unacknowledged => &[],
            SnapshotRule::Newest(of) | SnapshotRule::TransactionState(of) => &[of],
            SnapshotRule::NewestUnlessWithdrawn { of, by } => &[of, by],
        };
        for event in events {
            assert!(kind.events.contains(event), "{event} of {}", kind.prefix);
        }
    }
}

#[test]
fn rules_fit_together() {
    for kind in KINDS {
        for channel in examples(kind) {
            assert_eq!(channel.is_private(), channel.subject().is_some());
            assert_eq!(channel.is_watched(), channel.watch_key().is_some());
            // Nothing of a channel without a position can be read again.
            assert!(channel.has_position() || kind.snapshot == SnapshotRule::Nothing);
            let reads_deliveries = kind.snapshot == SnapshotRule::Unacknowledged;
            assert!(channel.is_private() || !reads_deliveries, "{channel}");
        }
    }
}

#[test]
fn error_truncates_name_to_maximum_length() {
    let name = format!("tx:0x{}", "g".repeat(64));
    assert_eq!(name.parse::<Channel>().unwrap_err().name, name);
    let long = "é".repeat(200);
    let error = long.parse::<Channel>().unwrap_err();
    assert_eq!(error.name, "é".repeat(MAX_NAME / 2));
    assert!(error.to_string().ends_with(TOO_LONG), "{error}");
    assert!("x".repeat(4096).parse::<Channel>().is_err());
}
