//! The native WebSocket formats side by side: JSON and MessagePack, plain and compressed.

use std::time::Instant;

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::{
    alerts::{alice, secret},
    support::{TIMEOUT, World, seq},
};
use crate::session::{Opener, PollOutcome};
use chaincast_protocol::{
    Channel, CloseReason, Update,
    deflate::{Deflate, TAIL},
    encode::Wire,
    msgpack::{from_json, to_json},
    request::{Request, Subscribe},
};
use chaincast_rooms::RoomConfig;

const MSGPACK: &str = "Sec-WebSocket-Protocol: chaincast.v1.msgpack\r\n";
const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
/// RSV1: the message is compressed.
const COMPRESSED: u8 = 0x40;

/// A client that reads raw frames.
struct Raw {
    stream: BufReader<TcpStream>,
    /// The handshake response.
    head: String,
    binary: bool,
}

/// A message and the first byte of its frame.
type Seen = (u8, Value);

impl Raw {
    async fn open(world: &World, headers: &str) -> Self {
        let mut stream = BufReader::new(world.socket().await);
        let request = format!(
            "GET /realtime HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = tokio::time::timeout(TIMEOUT, stream.read_line(&mut head));
            assert_ne!(read.await.unwrap().unwrap(), 0, "{head}");
        }
        let head = head.to_ascii_lowercase();
        let binary = head.contains("sec-websocket-protocol: chaincast.v1.msgpack");
        Self {
            stream,
            head,
            binary,
        }
    }

    /// Opens a session and reads its `connected` message.
    async fn connect(world: &World, headers: &str) -> Self {
        let mut raw = Self::open(world, headers).await;
        let (_, connected) = raw.next().await;
        assert_eq!(connected["event"], "connected");
        raw
    }

    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let first = self.stream.read_u8().await.unwrap();
        let length = match self.stream.read_u8().await.unwrap() {
            126 => usize::from(self.stream.read_u16().await.unwrap()),
            127 => self.stream.read_u64().await.unwrap() as usize,
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await.unwrap();
        (first, payload)
    }

    /// The next raw message; control frames are skipped.
    async fn message(&mut self) -> (u8, Vec<u8>) {
        loop {
            let frame = tokio::time::timeout(TIMEOUT, self.frame());
            let (first, payload) = frame.await.expect("no message within the timeout");
            if first & 0x0f < 8 {
                return (first, payload);
            }
        }
    }

    /// The next message, decoded.
    async fn next(&mut self) -> Seen {
        let (first, mut payload) = self.message().await;
        if first & COMPRESSED != 0 {
            payload = inflate(&payload);
        }
        let text = if self.binary {
            to_json(&payload).unwrap()
        } else {
            String::from_utf8(payload).unwrap()
        };
        (first, serde_json::from_str(&text).unwrap())
    }

    /// Sends one message; with a zero mask, so the payload is unchanged.
    async fn send(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = vec![opcode, 0x80 | 126];
        frame.extend((payload.len() as u16).to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(payload);
        self.stream.write_all(&frame).await.unwrap();
    }

    /// Sends a request in the session's format; its answer is the next message.
    async fn request(&mut self, request: Value) -> Seen {
        let text = request.to_string();
        if self.binary {
            let mut packed = Vec::new();
            from_json(&text, &mut packed).unwrap();
            self.send(BINARY, &packed).await;
        } else {
            self.send(TEXT, text.as_bytes()).await;
        }
        let (first, answer) = self.next().await;
        assert_eq!(answer["id"], request["id"], "{answer}");
        (first, answer)
    }

    async fn subscribe(&mut self, data: Value) -> Value {
        let (_, answer) = self
            .request(json!({"id": 1, "event": "subscribe", "data": data}))
            .await;
        assert_eq!(answer["event"], "ack", "{answer}");
        answer["data"].clone()
    }
}

fn inflate(payload: &[u8]) -> Vec<u8> {
    let input = [payload, &TAIL].concat();
    let mut out = Vec::with_capacity(1 << 20);
    Decompress::new(false)
        .decompress_vec(&input, &mut out, FlushDecompress::Sync)
        .unwrap();
    out
}

async fn compressing() -> World {
    World::with(|config| config.permessage_deflate = true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn msgpack_messages_are_maps_in_binary_frames() {
    let world = World::start().await;
    for number in 1..=3 {
        world.block(number);
    }
    world.price("ETH", 1);
    let mut client = Raw::open(&world, MSGPACK).await;
    let (first, connected) = client.next().await;
    assert_eq!((first, &connected["event"]), (BINARY, &"connected".into()));
    assert_eq!(connected["data"]["epoch"], "epoch1");
    let request = json!({"id": "a", "event": "subscribe", "data": {"channel": "price:eth"}});
    let (first, ack) = client.request(request).await;
    assert_eq!(first, BINARY);
    assert_eq!(
        ack["data"],
        json!({"success": true, "channel": "price:ETH", "seq": 1, "recovered": false})
    );
    let snapshot = client.next().await;
    let expected = json!({"event": "price-update", "channel": "price:ETH", "seq": 1, "prev": 0, "snapshot": true,
                          "data": {"token": "ETH", "price": "1"}});
    assert_eq!(snapshot, (BINARY, expected));
    world.price("ETH", 2);
    let (first, live) = client.next().await;
    assert_eq!(
        (first, seq(&live), &live["data"]["price"]),
        (BINARY, 2, &"2".into())
    );
    let many = json!({"channels": ["new-block", "nope"], "since": {"new-block": 1}});
    let answer = client.subscribe(many).await;
    assert_eq!(answer["channels"][0]["recovered"], true);
    assert_eq!(answer["channels"][1]["error"]["code"], "UNKNOWN_CHANNEL");
    for expected in 2..=3 {
        let (first, missed) = client.next().await;
        assert_eq!((first, seq(&missed)), (BINARY, expected));
    }
    let (first, pong) = client.request(json!({"id": -5, "event": "ping"})).await;
    assert_eq!((first, &pong["event"]), (BINARY, &"pong".into()));
    let (first, error) = client.request(json!({"id": 6, "event": "dance"})).await;
    assert_eq!(
        (first, &error["data"]["code"]),
        (BINARY, &"UNKNOWN_EVENT".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_message_in_other_format() {
    let world = World::start().await;
    let mut packed = Vec::new();
    from_json(r#"{"event":"ping"}"#, &mut packed).unwrap();
    let mut msgpack = Raw::connect(&world, MSGPACK).await;
    let mut json = Raw::connect(&world, "").await;
    msgpack.send(TEXT, br#"{"event":"ping"}"#).await;
    json.send(BINARY, &packed).await;
    for (client, kind) in [(&mut msgpack, BINARY), (&mut json, TEXT)] {
        let (first, refused) = client.next().await;
        assert_eq!(
            (first, &refused["data"]["code"]),
            (kind, &"BAD_REQUEST".into())
        );
        let message = refused["data"]["message"].as_str().unwrap();
        assert!(message.contains("chaincast.v1.msgpack"), "{message}");
        let (_, pong) = client.request(json!({"id": 1, "event": "ping"})).await;
        assert_eq!(pong["event"], "pong");
    }
    for garbage in [&b""[..], b"\xc1", b"\xdf\xff\xff\xff\xff", &[0x91; 5_000]] {
        msgpack.send(BINARY, garbage).await;
        let (_, refused) = msgpack.next().await;
        assert_eq!(refused["data"]["code"], "BAD_REQUEST", "{garbage:02x?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chooses_first_supported_subprotocol() {
    let world = World::start().await;
    for (offered, chosen) in [
        ("", None),
        ("chaincast.v1.json", Some("chaincast.v1.json")),
        (
            "chaincast.v1.msgpack, chaincast.v1.json",
            Some("chaincast.v1.msgpack"),
        ),
        (
            "graphql-ws, chaincast.v1.json,chaincast.v1.msgpack",
            Some("chaincast.v1.json"),
        ),
        // Names are compared exactly: browsers require the exact name in the response.
        ("CHAINCAST.V1.MSGPACK", None),
        ("chaincast.v2.json", None),
    ] {
        let header = match offered {
            "" => String::new(),
            offered => format!("Sec-WebSocket-Protocol: {offered}\r\n"),
        };
        let mut client = Raw::open(&world, &header).await;
        let line = chosen.map(|chosen| format!("sec-websocket-protocol: {chosen}\r\n"));
        match line {
            Some(line) => assert!(client.head.contains(&line), "{offered}: {}", client.head),
            None => assert!(
                !client.head.contains("websocket-protocol"),
                "{offered}: {}",
                client.head
            ),
        }
        let (first, _) = client.next().await;
        let binary = chosen == Some("chaincast.v1.msgpack");
        assert_eq!(first, if binary { BINARY } else { TEXT }, "{offered}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compression_is_off_by_default() {
    let world = World::start().await;
    let mut client = Raw::connect(&world, DEFLATE).await;
    assert!(!client.head.contains("extensions"), "{}", client.head);
    client.subscribe(json!({"channel": "price:ETH"})).await;
    let padding = json!({"token": "ETH", "price": 1, "padding": "x".repeat(1_000)});
    world.publish("price:ETH", "price-update", &padding);
    assert_eq!(client.next().await.0, TEXT);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_formats_carry_the_same_updates() {
    let world = compressing().await;
    let both = format!("{MSGPACK}{DEFLATE}");
    let mut clients = Vec::new();
    for headers in ["", DEFLATE, MSGPACK, &both] {
        let mut client = Raw::connect(&world, headers).await;
        let compresses = client.head.contains("permessage-deflate");
        assert_eq!(compresses, headers.contains("deflate"), "{}", client.head);
        client.subscribe(json!({"channel": "new-block"})).await;
        clients.push((client, compresses));
    }
    let noise: String = (0..65_536)
        .map(|_| char::from(rand::random_range(b'!'..b'~')))
        .collect();
    let all = [
        json!({"text": "short"}),
        json!({"text": "Grüße aus 長崎 🦀 ".repeat(30), "nested": [{"a": null}, true, -7, u64::MAX]}),
        json!({"text": "\"\\\n\u{1}".repeat(100)}),
        json!({"text": "x".repeat(65_536)}),
        // About 64 KiB that are hardly compressible.
        json!({"text": noise}),
        json!({}),
    ];
    for data in &all {
        world.publish("new-block", "new-block", data);
    }
    for (client, compresses) in &mut clients {
        for (at, data) in all.iter().enumerate() {
            let (first, message) = client.next().await;
            let long = data.to_string().len() > 128;
            let kind = if client.binary { BINARY } else { TEXT };
            let rsv1 = if *compresses && long { COMPRESSED } else { 0 };
            assert_eq!(first, kind | rsv1, "update {at}");
            let expected =
                json!({"event": "new-block", "channel": "new-block", "seq": at + 1, "data": data});
            assert!(message == expected, "update {at}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn formats_keep_every_digit_of_a_price() {
    let world = compressing().await;
    let digits = "3456.120000000000000000000000000000001";
    let mut msgpack = Raw::connect(&world, MSGPACK).await;
    let mut json = Raw::connect(&world, DEFLATE).await;
    for client in [&mut msgpack, &mut json] {
        client
            .subscribe(json!({"channel": "price:ETH", "snapshot": false}))
            .await;
    }
    let update = Update {
        channel: "price:ETH".parse::<Channel>().unwrap(),
        seq: 1,
        event: "price-update".into(),
        data: format!(
            r#"{{"price":{digits},"confidence":0,"sources":["{}"]}}"#,
            "s".repeat(200)
        )
        .into(),
    };
    world.gateway.hub.publish(&[update], Instant::now());
    let (_, message) = msgpack.next().await;
    let data = &message["data"];
    assert_eq!(
        (&data["price"], &data["confidence"]),
        (&digits.into(), &"0".into())
    );
    let (first, payload) = json.message().await;
    assert_eq!(first, TEXT | COMPRESSED);
    let text = String::from_utf8(inflate(&payload)).unwrap();
    assert!(text.contains(&format!("\"price\":{digits},")), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_formats_publish_and_receive_messages() {
    let world = World::with(|config| {
        secret(config);
        config.rooms = vec![RoomConfig {
            pattern: "lobby".to_owned(),
            ..RoomConfig::default()
        }];
    })
    .await;
    let json = Raw::connect(&world, "").await;
    let mut clients = [json, Raw::connect(&world, MSGPACK).await];
    for client in &mut clients {
        let auth = json!({"id": 1, "event": "auth", "data": {"token": alice()}});
        client.request(auth).await;
        client.subscribe(json!({"channel": "room:lobby"})).await;
    }
    let payload = json!({"n": [1, -2, 2.5, null, "ü", 9_007_199_254_740_993_u64], "price": 1.5});
    for (sender, receiver) in [(0, 1), (1, 0)] {
        let data = json!({"channel": "room:lobby", "type": "t", "payload": payload, "echo": false});
        let publish = json!({"id": 2, "event": "publish", "data": data});
        let (_, ack) = clients[sender].request(publish).await;
        assert_eq!(ack["data"]["seq"], sender + 1, "{ack}");
        let (_, message) = clients[receiver].next().await;
        assert_eq!(message["data"]["payload"], payload, "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unicast_messages_are_not_compressed() {
    let world = compressing().await;
    let padded = |number: u64| json!({"number": number, "padding": "x".repeat(500)});
    for number in 1..=3 {
        world.publish("new-block", "new-block", &padded(number));
    }
    let mut client = Raw::open(&world, DEFLATE).await;
    assert_eq!(client.next().await.0, TEXT, "the greeting");
    let channels: Vec<_> = (0..20).map(|n| format!("nothing-{n}")).collect();
    let request = json!({"id": 1, "event": "subscribe", "data": {"channels": channels}});
    assert_eq!(client.request(request).await.0, TEXT, "an answer");
    client.subscribe(json!({"channel": "new-block"})).await;
    assert_eq!(client.next().await.0, TEXT, "a snapshot");
    client
        .subscribe(json!({"channel": "new-block", "since": 1}))
        .await;
    for missed in 2..=3 {
        let (first, message) = client.next().await;
        assert_eq!((first, seq(&message)), (TEXT, missed), "a replay");
    }
    world.publish("new-block", "new-block", &padded(4));
    let (first, live) = client.next().await;
    assert_eq!((first, seq(&live)), (TEXT | COMPRESSED, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn message_is_encoded_once_per_format() {
    let world = World::start().await;
    let hub = &world.gateway.hub;
    let requests = world.gateway.context.requests();
    let deflate = Deflate::new(128);
    let wires = [
        Wire::Json,
        Wire::JsonDeflate(deflate),
        Wire::MsgPack,
        Wire::MsgPackDeflate(deflate),
    ];
    let mut sessions = Vec::new();
    for wire in wires {
        for _ in 0..3 {
            let session = hub.open(wire, Opener::default()).unwrap();
            let subscribe = Request::Subscribe(Subscribe::to("new-block"));
            requests
                .handle(&session, Ok(subscribe), Box::new(|_| Vec::new()))
                .await;
            sessions.push(session);
        }
    }
    world.publish(
        "new-block",
        "new-block",
        &json!({"padding": "x".repeat(500)}),
    );
    world.publish("new-block", "new-block", &json!({"n": 1}));
    let mut taken: Vec<Vec<Bytes>> = Vec::new();
    for session in &sessions {
        let pulled = tokio::time::timeout(TIMEOUT, session.take(usize::MAX));
        let PollOutcome::Payloads(payloads) = pulled.await.unwrap() else {
            panic!("the session ended");
        };
        assert_eq!(payloads.len(), 2);
        taken.push(payloads);
    }
    for (at, wire) in wires.iter().enumerate() {
        let same = &taken[3 * at..3 * at + 3];
        let places = |session: &Vec<Bytes>| -> Vec<*const u8> {
            session.iter().map(|bytes| bytes.as_ptr()).collect()
        };
        assert_eq!(places(&same[0]), places(&same[1]), "{wire:?}");
        assert_eq!(places(&same[0]), places(&same[2]), "{wire:?}");
    }
    for (plain, compressed) in [(0, 3), (6, 9)] {
        let (plain, compressed) = (&taken[plain], &taken[compressed]);
        assert!(compressed[0].len() < plain[0].len() / 2);
        assert_eq!(inflate(&compressed[0]), plain[0]);
        // Too short to compress: the same bytes as for plain sessions.
        assert_eq!(compressed[1].as_ptr(), plain[1].as_ptr());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accepts_compressed_requests_in_both_formats() {
    let world = compressing().await;
    for headers in [DEFLATE.to_owned(), format!("{MSGPACK}{DEFLATE}")] {
        let mut client = Raw::connect(&world, &headers).await;
        let text =
            json!({"id": 1, "event": "ping", "data": {"padding": "x".repeat(300)}}).to_string();
        let (kind, request) = if client.binary {
            let mut packed = Vec::new();
            from_json(&text, &mut packed).unwrap();
            (BINARY, packed)
        } else {
            (TEXT, text.into_bytes())
        };
        let mut compressed = Vec::new();
        assert!(chaincast_protocol::deflate::compress(
            &request,
            &mut compressed
        ));
        client.send(kind | COMPRESSED, &compressed).await;
        let (first, pong) = client.next().await;
        assert_eq!((first, &pong["event"]), (kind, &"pong".into()), "{headers}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conflated_update_uses_session_format() {
    let world = World::with(|config| config.limits.backlog_bytes = 600).await;
    let hub = &world.gateway.hub;
    let requests = world.gateway.context.requests();
    for wire in [
        Wire::MsgPack,
        Wire::MsgPackDeflate(Deflate::new(0)),
        Wire::JsonDeflate(Deflate::new(0)),
    ] {
        let session = hub.open(wire, Opener::default()).unwrap();
        let subscribe = Request::Subscribe(Subscribe::to("price:ETH"));
        requests
            .handle(&session, Ok(subscribe), Box::new(|_| Vec::new()))
            .await;
        let mut newest = 0;
        for price in 0..50 {
            newest = world.price("ETH", price);
        }
        let PollOutcome::Payloads(payloads) = session.take(usize::MAX).await else {
            panic!("the session ended");
        };
        assert!(payloads.len() < 50, "{wire:?}");
        let last = payloads.last().unwrap();
        let text = match wire.plain() {
            Wire::MsgPack => to_json(last).unwrap(),
            _ => String::from_utf8(last.to_vec()).unwrap(),
        };
        let last: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(seq(&last), newest, "{wire:?}");
        assert!(last["prev"].as_u64().unwrap() < newest - 1, "{wire:?}");
        session.end(CloseReason::Lost);
    }
}
