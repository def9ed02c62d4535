use std::time::Duration;

use serde_json::json;

use super::*;

const KEY: &str = "a key of these tests that is long enough";
const TOPIC: &str = "chaincast:epoch:live";

fn codec(key: &str) -> LiveCodec {
    LiveCodec::new(TOPIC, &Secret::new(key))
}

fn signal() -> LiveMessage {
    LiveMessage::Signal(Signal {
        channel: "price:ETH".parse().unwrap(),
        event: EventName::PriceUpdate,
        data: r#"{"text":"hi"}"#.into(),
        sender: Some("a session".into()),
    })
}

/// A message with this envelope, signed with the key.
fn signed(envelope: &serde_json::Value) -> String {
    let signer = Signer::new(TOPIC, &Secret::new(KEY));
    signer.sign(envelope.to_string()).unwrap()
}

#[test]
fn live_messages_round_trip_without_their_sender() {
    let (here, there) = (codec(KEY), codec(KEY));
    let text = here.write(&signal()).unwrap();
    let Ok(ReceivedLive::Message(LiveMessage::Signal(read))) = there.read(text.as_bytes()) else {
        panic!("{text}");
    };
    assert_eq!((read.sender, &*read.data), (None, r#"{"text":"hi"}"#));
    assert_eq!(here.read(text.as_bytes()), Ok(ReceivedLive::Own));
    let disconnect = LiveMessage::Disconnect("zoë\n\"".into());
    let text = here.write(&disconnect).unwrap();
    let read = there.read(text.as_bytes());
    assert_eq!(read, Ok(ReceivedLive::Message(disconnect)));
}

#[test]
fn rejects_unsigned_and_forged_live_messages() {
    let text = codec(KEY).write(&signal()).unwrap();
    let (_, json) = text.split_once('.').unwrap();
    let read = |text: &str| codec(KEY).read(text.as_bytes());
    assert_eq!(read(json), Err(Rejection::Unsigned));
    assert_eq!(read(&text.replace("hi", "ho")), Err(Rejection::Forged));
    let other = codec("another key of these tests, long enough");
    let text = other.write(&signal()).unwrap();
    assert_eq!(read(&text), Err(Rejection::Forged));
    // The same key on the channel of commits.
    let commits = LiveCodec::new("chaincast:epoch", &Secret::new(KEY));
    let text = commits.write(&signal()).unwrap();
    assert_eq!(read(&text), Err(Rejection::Forged));
    // Without a key nothing is believed.
    let text = codec("").write(&signal()).unwrap();
    let read = codec("").read(text.as_bytes());
    assert_eq!(read, Err(Rejection::Unsigned));
}

#[test]
fn rejects_repeated_and_late_live_messages() {
    let (here, there) = (codec(KEY), codec(KEY));
    let texts = [(); 3].map(|()| here.write(&signal()).unwrap());
    let read = |text: &str| there.read(text.as_bytes()).map(|_| ());
    assert_eq!(read(&texts[0]), Ok(()));
    assert_eq!(read(&texts[0]), Err(Rejection::Replayed));
    assert_eq!(read(&texts[2]), Ok(()));
    assert_eq!(read(&texts[1]), Err(Rejection::Replayed));
    let Some(long_ago) = Instant::now().checked_sub(MAX_SIGNED_AGE * 2) else {
        return;
    };
    let late = json!({"from": 1, "number": 1, "at_us": to_wall(long_ago),
        "message": {"kind": "disconnect", "subject": "alice"}});
    assert_eq!(read(&signed(&late)), Err(Rejection::Replayed));
}

#[test]
fn ignores_live_messages_of_newer_versions() {
    let codec = codec(KEY);
    let bodies = [
        json!({"kind": "dance", "steps": [1]}),
        json!({"kind": "signal", "channel": "news:x", "event": "news", "data": "{}"}),
    ];
    for (number, body) in bodies.into_iter().enumerate() {
        let at_us = to_wall(Instant::now());
        let text =
            signed(&json!({"from": 1, "number": number + 1, "at_us": at_us, "message": body}));
        assert_eq!(codec.read(text.as_bytes()), Ok(ReceivedLive::Unknown));
    }
    for body in [
        json!({}),
        json!({"kind": "signal"}),
        json!(7),
        json!({"kind": "signal",
        "channel": "price:ETH", "event": "price-update", "data": "{"}),
    ] {
        let at_us = to_wall(Instant::now());
        let text = signed(&json!({"from": 2, "number": 9, "at_us": at_us, "message": body}));
        let read = LiveCodec::new(TOPIC, &Secret::new(KEY)).read(text.as_bytes());
        assert_eq!(read, Err(Rejection::Malformed), "{body}");
    }
}

#[test]
fn remembers_a_bounded_number_of_senders() {
    let codec = codec(KEY);
    for from in 1..=2 * MAX_SENDERS {
        let at_us = to_wall(Instant::now() - Duration::from_millis(1));
        let message = json!({"kind": "disconnect", "subject": "alice"});
        let text = signed(&json!({"from": from, "number": 1, "at_us": at_us, "message": message}));
        assert!(codec.read(text.as_bytes()).is_ok(), "{from}");
    }
    assert_eq!(codec.newest.lock().len(), MAX_SENDERS);
}
