//! Properties that must hold for every input: the fuzz targets check them, and `cargo test` with the corpus.
//!
//! Each function accepts any bytes, and panics when a property does not hold.

use base64::{Engine, prelude::BASE64_STANDARD};
use chaincast_protocol::{
    frame::{Compression, Decoder, FrameError, Inbound},
    request::{Request, parse_text},
    socketio::{engine, packet},
};
use serde_json::value::RawValue;

/// Limit of a message in bytes, small enough that inputs reach it.
const MAX: usize = 1_000;
/// Bytes that a decoder may buffer besides a message: the slack of a compressed one, a header, a control frame.
const SLACK: usize = MAX / 64 + 64 + 14 + 125;

/// The frame codec: the first byte sets whether messages may be compressed, the next four seed how the rest is split.
///
/// The decoded messages and the error do not depend on the split; no message and no buffer exceeds the limit.
pub fn frames(data: &[u8]) {
    let Some((&[flags, a, b, c, d], stream)) = data.split_first_chunk::<5>() else {
        return;
    };
    let negotiated = match flags & 1 {
        1 => Compression::Deflate,
        _ => Compression::None,
    };
    let whole = decode(negotiated, stream, |left| left);
    assert_eq!(whole, decode(negotiated, stream, |_| 1), "byte by byte");
    let mut state = u32::from_le_bytes([a, b, c, d]) | 1;
    let cut = decode(negotiated, stream, |_| {
        // A linear congruential generator is random enough for this.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as usize % 40 + 1
    });
    assert_eq!(whole, cut, "split at random");
    for message in &whole.0 {
        match message {
            Inbound::Text(text) => assert!(text.len() <= MAX),
            Inbound::Binary(bytes) => assert!(bytes.len() <= MAX),
            Inbound::Ping(payload) => assert!(payload.len() <= 125),
            Inbound::Pong | Inbound::Close(_) => {}
        }
    }
}

fn decode(
    negotiated: Compression,
    mut stream: &[u8],
    mut next: impl FnMut(usize) -> usize,
) -> (Vec<Inbound>, Option<FrameError>) {
    let (mut decoder, mut out) = (Decoder::new(negotiated), Vec::new());
    while !stream.is_empty() {
        let (piece, rest) = stream.split_at(next(stream.len()).min(stream.len()));
        stream = rest;
        if let Err(error) = decoder.push(&mut piece.to_vec(), MAX, &mut out) {
            return (out, Some(error));
        }
        assert!(
            decoder.buffered() <= MAX + SLACK,
            "the decoder buffers too much"
        );
    }
    (out, None)
}

/// The packets of Engine.IO and Socket.IO: a parsed packet can be written, and parses to the same packet again. Of an
/// acknowledgement only its kind is kept.
pub fn socketio(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(read) = engine::Packet::parse(text) {
        let written = write_engine(&read);
        assert_eq!(engine::Packet::parse(&written), Ok(read), "{text:?}");
    }
    if let Ok(packets) = engine::parse_payload(text, 16) {
        assert!((1..=16).contains(&packets.len()));
        let written: Vec<String> = packets.iter().map(write_engine).collect();
        let body = String::from_utf8(engine::write_payload(&written)).expect("joined texts");
        assert_eq!(engine::parse_payload(&body, 16), Ok(packets), "{text:?}");
    }
    if let Ok(read) = packet::Packet::parse(text) {
        let written = write_packet(&read);
        assert_eq!(packet::Packet::parse(&written), Ok(read), "{text:?}");
        if let packet::Kind::Event { json, .. } = read.kind {
            event(json);
        }
    }
    event(text);
}

fn write_engine(packet: &engine::Packet<'_>) -> String {
    match packet {
        engine::Packet::Close => "1".to_owned(),
        engine::Packet::Ping(text) => format!("2{text}"),
        engine::Packet::Pong(text) => format!("3{text}"),
        engine::Packet::Message(text) => format!("4{text}"),
        engine::Packet::Binary(bytes) => format!("b{}", BASE64_STANDARD.encode(bytes)),
        engine::Packet::Upgrade => "5".to_owned(),
        engine::Packet::Noop => "6".to_owned(),
    }
}

fn write_packet(packet: &packet::Packet<'_>) -> String {
    let namespace = packet.namespace;
    assert!(namespace.starts_with('/'));
    match packet.kind {
        packet::Kind::Connect(json) => format!("0{namespace},{}", json.unwrap_or_default()),
        packet::Kind::Disconnect => format!("1{namespace},"),
        packet::Kind::Event {
            ack,
            json,
            attachments,
        } => {
            assert!(attachments <= packet::MAX_ATTACHMENTS);
            let ack = ack.map(|id| id.to_string()).unwrap_or_default();
            match attachments {
                0 => format!("2{namespace},{ack}{json}"),
                some => format!("5{some}-{namespace},{ack}{json}"),
            }
        }
        packet::Kind::Ack { attachments: 0 } => format!("3{namespace},0[]"),
        packet::Kind::Ack { attachments } => format!("6{attachments}-{namespace},0[]"),
    }
}

fn event(json: &str) {
    if let Some((name, argument)) = packet::event_arguments(json) {
        let name_json = serde_json::Value::from(name.as_str());
        let written = match argument {
            Some(argument) => format!("[{name_json},{argument}]"),
            None => format!("[{name_json}]"),
        };
        assert_eq!(packet::event_arguments(&written), Some((name, argument)));
    }
}

/// The native protocol: only valid JSON is accepted, and its spelling does not matter; an id is returned unchanged, a
/// short JSON number or string.
pub fn protocol(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (id, request) = parse_text(text);
    if let Some(id) = &id {
        let json = id.as_json();
        assert!(json.len() <= 128, "{json}");
        assert!(text.contains(json), "{json} is not in the input");
        let value: &RawValue = serde_json::from_str(json).expect("an id is JSON");
        assert!(
            !value.get().starts_with(['{', '[', 't', 'f', 'n']),
            "{json}"
        );
    }
    match request {
        Ok(request) => {
            // Numbers beyond a float are in parts that are not parsed.
            if let Ok(value) = serde_json::from_str::<serde_json::Value>(text) {
                let (_, again) = parse_text(&value.to_string());
                assert_eq!(again.as_ref(), Ok(&request), "{text}");
            }
            if let Request::Subscribe(subscribe) = &request {
                assert!(!subscribe.names.as_slice().is_empty());
            }
        }
        Err(refusal) => assert!(refusal.message.len() <= 1_000, "{}", refusal.message),
    }
}
