use std::time::Instant;

use super::*;

const KEY: &str = "a key of these tests that is long enough";
const TOPIC: &str = "chaincast:epoch";

fn codec(key: &str) -> Codec {
    Codec::new(TOPIC, &Secret::new(key))
}

fn update(channel: &str, seq: u64, data: &str) -> Update {
    Update {
        channel: channel.parse().unwrap(),
        seq,
        event: EventName::PriceUpdate,
        data: data.into(),
    }
}

fn commit() -> Commit {
    let updates = vec![
        update("price:ETH", 7, r#"{"price":1}"#),
        update("price:ETH", 8, r#"{"price":2}"#),
    ];
    Commit::new(updates, Some(Instant::now()))
}

fn hint_of(received: Result<Received, Rejection>) -> Hint {
    match received {
        Ok(Received::Hint(hint)) => hint,
        other => panic!("{other:?}"),
    }
}

fn eth_hint(seq: u64) -> Hint {
    Hint::Channels([("price:ETH".parse().unwrap(), seq)].into())
}

#[test]
fn signed_commit_round_trips() {
    let sent = commit();
    let text = codec(KEY).write(&sent).unwrap();
    match codec(KEY).read(text.as_bytes()) {
        Ok(Received::Commit(arrived)) => {
            assert_eq!(*arrived, *sent);
            assert!(arrived.at.unwrap().elapsed() < MAX_SIGNED_AGE);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn events_of_newer_versions_arrive_unchanged() {
    let mut newer = update("price:ETH", 7, "{}");
    newer.event = "price-band".into();
    let sent = Commit::new(vec![newer], Some(Instant::now()));
    let text = codec(KEY).write(&sent).unwrap();
    match codec(KEY).read(text.as_bytes()) {
        Ok(Received::Commit(arrived)) => assert_eq!(arrived[0].event, "price-band"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn unsigned_message_is_a_hint() {
    let text = codec("").write(&commit()).unwrap();
    assert!(!text.contains("data"), "{text}");
    assert_eq!(hint_of(codec("").read(text.as_bytes())), eth_hint(8));
    // Also a message signed with another's key, and an unsigned one with updates.
    let text = codec(KEY).write(&commit()).unwrap();
    assert_eq!(hint_of(codec("").read(text.as_bytes())), eth_hint(8));
    let forged = r#"{"from":1,"updates":[{"channel":"price:ETH","seq":9,"event":"price-update","data":"{}"}]}"#;
    assert_eq!(hint_of(codec("").read(forged.as_bytes())), eth_hint(9));
}

#[test]
fn key_rejects_other_signatures() {
    let read = |text: &str| codec(KEY).read(text.as_bytes()).map(|_| ()).unwrap_err();
    let unsigned = codec("").write(&commit()).unwrap();
    assert_eq!(read(&unsigned), Rejection::Unsigned);
    let another = codec("another key of these tests, long enough");
    assert_eq!(read(&another.write(&commit()).unwrap()), Rejection::Forged);
    let signed = codec(KEY).write(&commit()).unwrap();
    assert_eq!(
        read(&signed.replace(r#"\"price\":2"#, r#"\"price\":3"#)),
        Rejection::Forged
    );
    assert_eq!(read(&format!(".{unsigned}")), Rejection::Forged);
    // The same key in another database.
    let elsewhere = Codec::new("chaincast:another", &Secret::new(KEY));
    assert_eq!(
        read(&elsewhere.write(&commit()).unwrap()),
        Rejection::Forged
    );
}

#[test]
fn old_signed_message_is_a_hint() {
    let Some(long_ago) = Instant::now().checked_sub(MAX_SIGNED_AGE * 2) else {
        return;
    };
    let recorded = Commit::new(commit().to_vec(), Some(long_ago));
    let text = codec(KEY).write(&recorded).unwrap();
    assert_eq!(hint_of(codec(KEY).read(text.as_bytes())), eth_hint(8));
}

#[test]
fn recognizes_own_messages() {
    for key in ["", KEY] {
        let own = codec(key);
        let text = own.write(&commit()).unwrap();
        assert!(matches!(own.read(text.as_bytes()), Ok(Received::Own)));
    }
}

#[test]
fn oversized_commit_is_sent_as_hint() {
    let large = format!("\"{}\"", "x".repeat(MAX_MESSAGE_BYTES));
    let commit = Commit::new(vec![update("price:ETH", 8, &large)], Some(Instant::now()));
    let text = codec(KEY).write(&commit).unwrap();
    assert!(text.len() < 1_000);
    assert_eq!(hint_of(codec(KEY).read(text.as_bytes())), eth_hint(8));
}

#[test]
fn hint_with_many_channels_means_anywhere() {
    let updates = (0..2 * MAX_HINT_CHANNELS)
        .map(|at| update(&format!("price:T{at}"), 1, "{}"))
        .collect();
    let text = codec("").write(&Commit::new(updates, None)).unwrap();
    assert_eq!(hint_of(codec("").read(text.as_bytes())), Hint::Anywhere);
}

#[test]
fn hint_with_longest_names_fits() {
    let updates = (0..2 * MAX_HINT_CHANNELS)
        .map(|at| {
            let name = format!("user:{at}");
            let quotes = "\"".repeat(160 - name.len());
            update(&format!("{name}{quotes}"), i64::MAX as u64, "{}")
        })
        .collect();
    let text = codec("").write(&Commit::new(updates, None)).unwrap();
    assert!(text.len() <= MAX_HINT_BYTES, "{}", text.len());
    assert_eq!(hint_of(codec("").read(text.as_bytes())), Hint::Anywhere);
}

#[test]
fn unsigned_message_is_read_up_to_hint_size() {
    let message = |count: usize| {
        let items = vec![r#"{"channel":"price:A","seq":1}"#; count].join(",");
        format!(r#"{{"from":1,"updates":[{items}]}}"#)
    };
    let same = hint_of(codec("").read(message(MAX_HINT_CHANNELS + 1).as_bytes()));
    assert!(matches!(same, Hint::Channels(named) if named.len() == 1));
    // Further positions are not parsed.
    let more = message(10 * MAX_HINT_CHANNELS);
    let parsed: HintMessage = serde_json::from_str(&more).unwrap();
    assert_eq!(parsed.updates.first.len(), MAX_HINT_CHANNELS + 1);
    assert_eq!(hint_of(codec("").read(more.as_bytes())), Hint::Anywhere);
    let flood = message(MAX_MESSAGE_BYTES / 40);
    assert!((MAX_HINT_BYTES..MAX_MESSAGE_BYTES).contains(&flood.len()));
    let read = codec("").read(flood.as_bytes()).map(|_| ());
    assert_eq!(read, Err(Rejection::TooLarge));
}

#[test]
fn long_message_with_unknown_key_means_anywhere() {
    let long = format!("\"{}\"", "x".repeat(MAX_HINT_BYTES));
    let commit = Commit::new(vec![update("price:ETH", 8, &long)], Some(Instant::now()));
    let signed = codec(KEY).write(&commit).unwrap();
    assert!((MAX_HINT_BYTES..MAX_MESSAGE_BYTES).contains(&signed.len()));
    assert_eq!(hint_of(codec("").read(signed.as_bytes())), Hint::Anywhere);
    // A process with a key verifies the signature.
    let other = codec("another key of these tests that is long enough");
    let read = other.read(signed.as_bytes()).map(|_| ());
    assert_eq!(read, Err(Rejection::Forged));
    assert!(matches!(
        codec(KEY).read(signed.as_bytes()),
        Ok(Received::Commit(_))
    ));
}

#[test]
fn rejects_foreign_messages() {
    let long = "x".repeat(MAX_MESSAGE_BYTES + 1);
    for (message, expected) in [
        (&b""[..], Rejection::Malformed),
        (b"garbage", Rejection::Malformed),
        (b"\xff\xfe", Rejection::Malformed),
        (b"{", Rejection::Malformed),
        (b"{}", Rejection::Malformed),
        (b"[]", Rejection::Malformed),
        (br#"{"from":1,"updates":[]}"#, Rejection::Malformed),
        (br#"{"from":1,"updates":{}}"#, Rejection::Malformed),
        (
            br#"{"from":1,"updates":[{"channel":"price:ETH","seq":-1}]}"#,
            Rejection::Malformed,
        ),
        (
            br#"{"from":1,"updates":[{"channel":"price:ETH","seq":0}]}"#,
            Rejection::Malformed,
        ),
        (
            br#"{"from":1,"updates":[{"channel":"price:ETH","seq":18446744073709551615}]}"#,
            Rejection::Malformed,
        ),
        (
            br#"{"from":1,"updates":[{"channel":7,"seq":1}]}"#,
            Rejection::Malformed,
        ),
        (long.as_bytes(), Rejection::TooLarge),
    ] {
        let read = codec("").read(message).map(|_| ()).unwrap_err();
        assert_eq!(
            read,
            expected,
            "{}",
            String::from_utf8_lossy(&message[..message.len().min(80)])
        );
    }
    // A channel of a newer version is skipped.
    let newer =
        br#"{"from":1,"updates":[{"channel":"news:x","seq":1},{"channel":"price:ETH","seq":8}]}"#;
    assert_eq!(hint_of(codec("").read(newer)), eth_hint(8));
}
