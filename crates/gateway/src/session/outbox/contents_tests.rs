//! The rules of queueing, without a socket.

use super::*;
use crate::{entry::Entry, session::Pace};

fn outbox(wire: Wire, bound: usize) -> Contents {
    Contents::new(wire, bound, BacklogTotal::new(usize::MAX))
}

fn entry(seq: u64) -> Entry {
    Entry {
        seq: Some(seq),
        event: "price-update".into(),
        data: format!(r#"{{"n":{seq}}}"#).into(),
    }
}

fn name(name: &str) -> Arc<ChannelName> {
    Arc::new(ChannelName::new(&name.parse().unwrap()))
}

fn push(outbox: &mut Contents, name: &Arc<ChannelName>, seq: u64, pace: Pace) -> PushOutcome {
    let entry = entry(seq);
    let conflates = pace != Pace::All;
    let prev = conflates.then(|| seq - 1);
    let packet = entry.encode(outbox.wire, name, prev);
    outbox.push_update(
        &packet,
        &Delivery {
            slot: 0,
            name,
            entry: &entry,
            conflates,
            prev,
        },
    )
}

fn drain(outbox: &mut Contents) -> Vec<String> {
    let taken = outbox.take(usize::MAX).payloads.into_iter();
    taken
        .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
        .collect()
}

#[test]
fn full_outbox_conflates_and_keeps_prev() {
    let (mut outbox, eth) = (outbox(Wire::Json, 200), name("price:ETH"));
    let mut seq = 1;
    while push(&mut outbox, &eth, seq, Pace::Latest) == PushOutcome::Queued {
        seq += 1;
    }
    for later in seq + 1..=50 {
        assert_eq!(
            push(&mut outbox, &eth, later, Pace::Latest),
            PushOutcome::Conflated
        );
    }
    let sent = drain(&mut outbox);
    assert_eq!(sent.len() as u64, seq);
    let last: serde_json::Value = serde_json::from_str(sent.last().unwrap()).unwrap();
    assert_eq!(
        (&last["seq"], &last["prev"]),
        (&50.into(), &(seq - 1).into())
    );
    assert_eq!(
        push(&mut outbox, &eth, 51, Pace::Latest),
        PushOutcome::Queued
    );
}

#[test]
fn message_without_seq_is_conflated_without_prev() {
    let (mut outbox, heartbeat) = (outbox(Wire::Json, 10), name("heartbeat"));
    let entry = Entry {
        seq: None,
        ..entry(0)
    };
    let packet = entry.encode(Wire::Json, &heartbeat, None);
    let delivery = Delivery {
        slot: 0,
        name: &heartbeat,
        entry: &entry,
        conflates: true,
        prev: None,
    };
    assert_eq!(outbox.push_update(&packet, &delivery), PushOutcome::Queued);
    assert_eq!(
        outbox.push_update(&packet, &delivery),
        PushOutcome::Conflated
    );
    for text in drain(&mut outbox) {
        assert!(!text.contains("prev"), "{text}");
    }
}

#[test]
fn update_that_must_not_be_skipped_overflows() {
    let (mut outbox, block) = (outbox(Wire::Json, 200), name("new-block"));
    let results: Vec<_> = (1..10)
        .map(|seq| push(&mut outbox, &block, seq, Pace::All))
        .collect();
    assert_eq!(results.last(), Some(&PushOutcome::Overflow));
    assert!(outbox.bytes() <= 200);
}

#[test]
fn overflowed_outbox_stays_overflowed() {
    let (mut outbox, block) = (outbox(Wire::Json, 200), name("new-block"));
    let mut seq = 1;
    while push(&mut outbox, &block, seq, Pace::All) == PushOutcome::Queued {
        seq += 1;
    }
    // The client reads again before its session is ended.
    assert_eq!(drain(&mut outbox).len() as u64, seq - 1);
    assert_eq!(
        push(&mut outbox, &block, seq + 1, Pace::All),
        PushOutcome::Overflow
    );
    assert!(outbox.is_empty());
}

#[test]
fn close_finishes_a_partly_sent_packet() {
    let mut outbox = outbox(Wire::Json, 1_000);
    for text in ["one", "two", "three"] {
        assert!(outbox.push(Packet::text(text)));
    }
    let mut scratch = Vec::new();
    assert_eq!(
        outbox.next(&mut scratch),
        b"\x81\x03one\x81\x03two\x81\x05three"
    );
    assert_eq!(outbox.advance(2), 0);
    outbox.close(Unsent::Drop, vec![Packet::raw("bye")]);
    assert!(outbox.push(Packet::raw("too late")));
    assert_eq!(outbox.bytes(), 6);
    assert_eq!(outbox.next(&mut scratch), b"onebye");
    assert_eq!(outbox.advance(6), 2);
    assert!(outbox.is_empty());
    assert_eq!(outbox.bytes(), 0);
}

#[test]
fn last_chunk_follows_close_packets_only() {
    for (close_packets, expected) in [
        (
            vec![Packet::raw("bye")],
            "3\r\nhi!\r\n3\r\nbye\r\n0\r\n\r\n",
        ),
        (vec![], "3\r\nhi!\r\n"),
    ] {
        let mut outbox = outbox(Wire::Sse, 1_000);
        outbox.send_chunks();
        outbox.append(Packet::raw("hi!"));
        outbox.close(Unsent::Send, close_packets);
        let sent = drain(&mut outbox).concat();
        assert_eq!(sent, expected);
    }
}

#[test]
fn close_finishes_a_partly_sent_chunk() {
    let mut outbox = outbox(Wire::Sse, 1_000);
    outbox.send_chunks();
    outbox.append(Packet::raw("first"));
    outbox.append(Packet::raw("second"));
    outbox.advance(4);
    outbox.close(Unsent::Drop, vec![Packet::raw("bye")]);
    let mut scratch = Vec::new();
    assert_eq!(outbox.next(&mut scratch), b"irst\r\n3\r\nbye\r\n0\r\n\r\n");
}

#[test]
fn event_stream_ids_hold_all_positions() {
    let (mut outbox, eth, block) = (
        outbox(Wire::Sse, 10_000),
        name("price:ETH"),
        name("new-block"),
    );
    push(&mut outbox, &eth, 7, Pace::Latest);
    push(&mut outbox, &block, 3, Pace::All);
    let text = drain(&mut outbox).concat();
    assert!(text.contains("\nid: price:ETH@7\n\n"), "{text}");
    assert!(
        text.ends_with("\nid: price:ETH@7,new-block@3\n\n"),
        "{text}"
    );
}

#[test]
fn burst_counts_only_after_a_blocked_write() {
    let total = BacklogTotal::new(40_000);
    let (mut outbox, block) = (
        Contents::new(Wire::Json, 500_000, total.clone()),
        name("new-block"),
    );
    let mut seq = 0;
    while outbox.bytes() < 100_000 {
        seq += 1;
        assert_eq!(
            push(&mut outbox, &block, seq, Pace::All),
            PushOutcome::Queued
        );
    }
    assert_eq!(total.bytes(), 0);
    // The kernel accepts a part.
    let written = outbox.write_to(|bytes| Ok(bytes.len() / 2));
    assert!(written.stopped.is_some());
    assert_eq!(total.bytes(), outbox.bytes());
    assert!(written.sent.bytes > 0 && total.is_over());
    assert_eq!(
        push(&mut outbox, &block, seq + 1, Pace::All),
        PushOutcome::Overflow
    );
    outbox.set_blocked(false);
    assert_eq!(total.bytes(), 0);
    outbox.set_blocked(true);
    drop(outbox);
    assert_eq!(total.bytes(), 0);
}

#[test]
fn polled_bytes_count_until_the_response_is_finished() {
    let total = BacklogTotal::new(1_000_000);
    let mut outbox = Contents::new(Wire::SocketIo, 500_000, total.clone());
    for _ in 0..20 {
        assert!(outbox.push(Packet::text(&"x".repeat(1_000))));
    }
    // The poller may still come.
    outbox.mark_unpolled();
    assert_eq!(total.bytes(), 0);
    outbox.mark_unpolled();
    assert_eq!(total.bytes(), outbox.bytes());
    assert_eq!(outbox.take(8_000).payloads.len(), 8);
    assert_eq!(total.bytes(), outbox.bytes(), "queued and in a response");
    outbox.response_finished();
    assert_eq!(outbox.take(usize::MAX).payloads.len(), 12);
    assert_eq!(total.bytes(), 12_000);
    outbox.response_finished();
    assert_eq!((total.bytes(), outbox.bytes()), (0, 0));
    // A poller came, so the next one gets a full interval again.
    assert!(outbox.push(Packet::text(&"x".repeat(5_000))));
    outbox.mark_unpolled();
    assert_eq!(total.bytes(), 0);
}
