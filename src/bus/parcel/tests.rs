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
        event: "price-update".into(),
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

fn hinted(received: Result<Received, Rejection>) -> Hint {
    match received {
        Ok(Received::Hint(hint)) => hint,
        other => panic!("{other:?}"),
    }
}

fn at_eth(seq: u64) -> Hint {
    Hint::Channels([("price:ETH".parse().unwrap(), seq)].into())
}

#[test]
fn a_signed_commit_arrives_as_it_was_sent() {
    let sent = commit();
    let text = codec(KEY).write(&sent).unwrap();
    match codec(KEY).read(text.as_bytes()) {
        Ok(Received::Commit(arrived)) => {
            assert_eq!(*arrived, *sent);
            assert!(arrived.at.unwrap().elapsed() < FRESH);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_unsigned_message_is_a_hint() {
    let text = codec("").write(&commit()).unwrap();
    assert!(!text.contains("data"), "{text}");
    assert_eq!(hinted(codec("").read(text.as_bytes())), at_eth(8));
    // Also what is signed for others, and what says more than it may.
    let text = codec(KEY).write(&commit()).unwrap();
    assert_eq!(hinted(codec("").read(text.as_bytes())), at_eth(8));
    let forged = r#"{"from":1,"updates":[{"channel":"price:ETH","seq":9,"event":"price-update","data":"{}"}]}"#;
    assert_eq!(hinted(codec("").read(forged.as_bytes())), at_eth(9));
}

#[test]
fn with_a_key_only_its_signature_counts() {
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
fn an_old_signed_message_is_a_hint() {
    let Some(long_ago) = Instant::now().checked_sub(FRESH * 2) else {
        return;
    };
    let recorded = Commit::new(commit().to_vec(), Some(long_ago));
    let text = codec(KEY).write(&recorded).unwrap();
    assert_eq!(hinted(codec(KEY).read(text.as_bytes())), at_eth(8));
}

#[test]
fn a_process_knows_its_own_messages() {
    for key in ["", KEY] {
        let own = codec(key);
        let text = own.write(&commit()).unwrap();
        assert!(matches!(own.read(text.as_bytes()), Ok(Received::Own)));
    }
}

#[test]
fn a_commit_that_is_too_large_is_announced_by_its_seqs() {
    let large = format!("\"{}\"", "x".repeat(MESSAGE_BYTES));
    let commit = Commit::new(vec![update("price:ETH", 8, &large)], Some(Instant::now()));
    let text = codec(KEY).write(&commit).unwrap();
    assert!(text.len() < 1_000);
    assert_eq!(hinted(codec(KEY).read(text.as_bytes())), at_eth(8));
}

#[test]
fn a_hint_with_many_channels_means_anywhere() {
    let updates = (0..2 * HINTED_CHANNELS)
        .map(|at| update(&format!("price:T{at}"), 1, "{}"))
        .collect();
    let text = codec("").write(&Commit::new(updates, None)).unwrap();
    assert_eq!(hinted(codec("").read(text.as_bytes())), Hint::Anywhere);
}

#[test]
fn a_hint_with_the_longest_names_fits() {
    let updates = (0..2 * HINTED_CHANNELS)
        .map(|at| {
            let name = format!("user:{at}");
            let quotes = "\"".repeat(160 - name.len());
            update(&format!("{name}{quotes}"), i64::MAX as u64, "{}")
        })
        .collect();
    let text = codec("").write(&Commit::new(updates, None)).unwrap();
    assert!(text.len() <= HINT_BYTES, "{}", text.len());
    assert_eq!(hinted(codec("").read(text.as_bytes())), Hint::Anywhere);
}

#[test]
fn no_more_is_read_without_a_signature_than_a_hint_has() {
    let of = |count: usize| {
        let items = vec![r#"{"channel":"price:A","seq":1}"#; count].join(",");
        format!(r#"{{"from":1,"updates":[{items}]}}"#)
    };
    let same = hinted(codec("").read(of(HINTED_CHANNELS + 1).as_bytes()));
    assert!(matches!(same, Hint::Channels(named) if named.len() == 1));
    // Whatever follows, it is not looked at.
    let more = of(10 * HINTED_CHANNELS);
    let parsed: Hints = serde_json::from_str(&more).unwrap();
    assert_eq!(parsed.updates.first.len(), HINTED_CHANNELS + 1);
    assert_eq!(hinted(codec("").read(more.as_bytes())), Hint::Anywhere);
    let flood = of(MESSAGE_BYTES / 40);
    assert!((HINT_BYTES..MESSAGE_BYTES).contains(&flood.len()));
    let read = codec("").read(flood.as_bytes()).map(|_| ());
    assert_eq!(read, Err(Rejection::TooLarge));
}

#[test]
fn a_long_message_of_an_unknown_key_means_anywhere() {
    let long = format!("\"{}\"", "x".repeat(HINT_BYTES));
    let commit = Commit::new(vec![update("price:ETH", 8, &long)], Some(Instant::now()));
    let signed = codec(KEY).write(&commit).unwrap();
    assert!((HINT_BYTES..MESSAGE_BYTES).contains(&signed.len()));
    assert_eq!(hinted(codec("").read(signed.as_bytes())), Hint::Anywhere);
    // Who has a key checks the signature.
    let other = codec("another key of these tests that is long enough");
    let read = other.read(signed.as_bytes()).map(|_| ());
    assert_eq!(read, Err(Rejection::Forged));
    assert!(matches!(
        codec(KEY).read(signed.as_bytes()),
        Ok(Received::Commit(_))
    ));
}

#[test]
fn what_no_chaincast_sends_is_rejected() {
    let long = "x".repeat(MESSAGE_BYTES + 1);
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
    // A channel of a newer version is left out.
    let newer =
        br#"{"from":1,"updates":[{"channel":"news:x","seq":1},{"channel":"price:ETH","seq":8}]}"#;
    assert_eq!(hinted(codec("").read(newer)), at_eth(8));
}
