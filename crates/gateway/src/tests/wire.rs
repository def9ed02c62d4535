//! The cases of the Autobahn suite and more, on raw sockets: fragmented frames, errors, closing, compression.

use std::time::Duration;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::support::{TIMEOUT, World};
use chaincast_protocol::inflate::inflate;

const PING: &str = r#"{"id":1,"event":"ping"}"#;

/// A masked client frame.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = vec![first];
    match payload.len() {
        n if n < 126 => out.push(0x80 | n as u8),
        n if n < 65_536 => {
            out.push(0x80 | 126);
            out.extend((n as u16).to_be_bytes());
        }
        n => {
            out.push(0x80 | 127);
            out.extend((n as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(b, k)| b ^ k));
    out
}

fn text(payload: &str) -> Vec<u8> {
    masked(0x81, payload.as_bytes())
}

fn deflated(data: &[u8]) -> Vec<u8> {
    use flate2::{Compress, Compression, FlushCompress};
    let mut out = Vec::with_capacity(data.len() + 1_000);
    Compress::new(Compression::best(), false)
        .compress_vec(data, &mut out, FlushCompress::Sync)
        .unwrap();
    out.truncate(out.len() - 4);
    out
}

/// A client on a raw socket.
struct Raw {
    head: String,
    socket: TcpStream,
}

/// A frame from the server.
#[derive(Debug, PartialEq, Eq)]
enum Frame {
    Text(String),
    Pong(Vec<u8>),
    /// Code and reason; 1005 for none.
    Close(u16, String),
    End,
}

impl Raw {
    /// Opens a session; `early` is sent together with the request.
    async fn open(world: &World, headers: &str, early: &[u8]) -> Self {
        let mut request = format!(
            "GET /realtime HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        )
        .into_bytes();
        request.extend(early);
        let mut socket = world.socket().await;
        socket.set_nodelay(true).unwrap();
        socket.write_all(&request).await.unwrap();
        let mut head = Vec::new();
        let read = async {
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.unwrap());
            }
        };
        tokio::time::timeout(TIMEOUT, read).await.unwrap();
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        let mut raw = Self { head, socket };
        match raw.next().await {
            Frame::Text(text) => assert!(text.contains("connected"), "{text}"),
            other => panic!("{other:?}"),
        }
        raw
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    async fn next(&mut self) -> Frame {
        let frame = tokio::time::timeout(TIMEOUT, self.read_frame()).await;
        frame.expect("no frame within the timeout")
    }

    async fn read_frame(&mut self) -> Frame {
        loop {
            let Ok(first) = self.socket.read_u8().await else {
                return Frame::End;
            };
            let length = match self.socket.read_u8().await.unwrap() {
                126 => usize::from(self.socket.read_u16().await.unwrap()),
                127 => self.socket.read_u64().await.unwrap() as usize,
                short => usize::from(short),
            };
            let mut payload = vec![0; length];
            self.socket.read_exact(&mut payload).await.unwrap();
            match first {
                0x81 => return Frame::Text(String::from_utf8(payload).unwrap()),
                0xc1 => {
                    let inflated = inflate(payload, 65_536).unwrap();
                    return Frame::Text(String::from_utf8(inflated).unwrap());
                }
                0x8a => return Frame::Pong(payload),
                0x88 if payload.is_empty() => return Frame::Close(1005, String::new()),
                0x88 => {
                    let code = u16::from_be_bytes([payload[0], payload[1]]);
                    return Frame::Close(code, String::from_utf8(payload[2..].to_vec()).unwrap());
                }
                // A ping of the server.
                0x89 => {}
                other => panic!("unexpected frame type {other:#x}"),
            }
        }
    }

    async fn pong(&mut self) {
        match self.next().await {
            Frame::Text(text) => {
                let answer: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(answer["event"], "pong", "{text}");
            }
            other => panic!("{other:?}"),
        }
    }

    /// Expects a close frame with this code, and then the end of the connection.
    async fn closed(&mut self, code: u16) -> String {
        let reason = match self.next().await {
            Frame::Close(found, reason) => {
                assert_eq!(found, code, "{reason}");
                reason
            }
            other => panic!("{other:?} instead of {code}"),
        };
        assert_eq!(self.next().await, Frame::End);
        reason
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_before_an_error_are_answered() {
    let world = World::start().await;
    for (broken, code) in [
        (masked(0x83, b"reserved opcode"), 1002),
        (masked(0xc1, b"not negotiated"), 1002),
        (masked(0x80, b"continues nothing"), 1002),
        (masked(0x09, b"fragmented ping"), 1002),
        (vec![0x81, 0x02, b'h', b'i'], 1002),
        (masked(0x81, b"\xce\xba\xff"), 1007),
        (masked(0x88, b"\x03\xe8\xff"), 1007),
        (masked(0x82, &[0; 65_537]), 1009),
    ] {
        let mut raw = Raw::open(&world, "", b"").await;
        let all = [text(PING), masked(0x89, b"a"), broken, text(PING)].concat();
        raw.send(&all).await;
        raw.pong().await;
        assert_eq!(raw.next().await, Frame::Pong(b"a".to_vec()));
        raw.closed(code).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_sent_with_the_request_are_handled() {
    let world = World::start().await;
    let mut raw = Raw::open(&world, "", &text(PING)).await;
    raw.pong().await;
    let (begin, end) = (text(PING), masked(0x83, b""));
    let mut raw = Raw::open(&world, "", &[&begin[..], &end[..]].concat()).await;
    raw.pong().await;
    let reason = raw.closed(1002).await;
    assert!(reason.contains("opcode"), "{reason}");
    // The beginning of a frame; the rest follows later.
    let mut raw = Raw::open(&world, "", &begin[..9]).await;
    raw.send(&begin[9..]).await;
    raw.pong().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fragmented_message_with_pings_is_read() {
    let world = World::start().await;
    let mut raw = Raw::open(&world, "", b"").await;
    let (start, rest) = PING.as_bytes().split_at(7);
    let mut bytes = masked(0x01, start);
    bytes.extend(masked(0x89, b"between"));
    bytes.extend(masked(0x00, b""));
    bytes.extend(masked(0x89, &[b'x'; 125]));
    bytes.extend(masked(0x80, rest));
    for byte in bytes {
        raw.send(&[byte]).await;
    }
    assert_eq!(raw.next().await, Frame::Pong(b"between".to_vec()));
    assert_eq!(raw.next().await, Frame::Pong(vec![b'x'; 125]));
    raw.pong().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_message_counts_as_activity() {
    let world = World::with(|config| {
        config.ping_interval_ms = 500;
        config.ping_timeout_ms = 2_500;
    })
    .await;
    let mut raw = Raw::open(&world, "", b"").await;
    // A client cannot answer pings inside a frame. The whole frame takes longer than the ping timeout.
    let mut pace = tokio::time::interval(Duration::from_millis(160));
    for byte in text(PING) {
        pace.tick().await;
        raw.send(&[byte]).await;
    }
    raw.pong().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_utf8_is_rejected_early() {
    let world = World::start().await;
    let whole = masked(0x81, b"\xce\xba\xe1\xbd\xb9\xf4\x90\x80\x80 and more");
    let mut raw = Raw::open(&world, "", b"").await;
    raw.send(&whole[..6 + 7]).await;
    raw.closed(1007).await;
    let mut raw = Raw::open(&world, "", b"").await;
    raw.send(&masked(0x01, b"\xce\xba\xed\xa0\x80")).await;
    raw.closed(1007).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn close_frame_is_echoed_or_rejected_with_1002() {
    let world = World::start().await;
    for code in [1000, 1001, 1002, 1003, 1007, 1011, 3000, 3999, 4000, 4999] {
        let mut raw = Raw::open(&world, "", b"").await;
        let mut payload = u16::to_be_bytes(code).to_vec();
        payload.extend_from_slice(&[b'r'; 123]);
        raw.send(&[masked(0x88, &payload), text(PING)].concat())
            .await;
        assert_eq!(raw.closed(code).await, "");
    }
    let mut raw = Raw::open(&world, "", b"").await;
    raw.send(&masked(0x88, b"")).await;
    raw.closed(1005).await;
    for code in [0, 999, 1004, 1005, 1006, 1016, 1100, 2999, 5000, 65_535] {
        let mut raw = Raw::open(&world, "", b"").await;
        raw.send(&masked(0x88, &u16::to_be_bytes(code))).await;
        raw.closed(1002).await;
    }
    let mut raw = Raw::open(&world, "", b"").await;
    raw.send(&masked(0x88, b"\x03")).await;
    raw.closed(1002).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ping_flood_ends_session_with_4029() {
    let world = World::with(|config| config.limits.control_frames = 20).await;
    let mut raw = Raw::open(&world, "", b"").await;
    raw.send(&[masked(0x8a, b"unasked"), text(PING)].concat())
        .await;
    raw.pong().await;
    let pings: Vec<u8> = (0..20u8).flat_map(|n| masked(0x89, &[n])).collect();
    raw.send(&pings).await;
    for n in 0..19 {
        assert_eq!(raw.next().await, Frame::Pong(vec![n]));
    }
    raw.closed(4029).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn negotiated_compression_is_read() {
    let world = World::with(|config| config.permessage_deflate = true).await;
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let mut raw = Raw::open(&world, offer, b"").await;
    let answer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";
    assert!(raw.head.contains(answer), "{}", raw.head);
    let packed = deflated(PING.as_bytes());
    let (start, rest) = packed.split_at(packed.len() / 2);
    raw.send(&[masked(0x41, start), masked(0x80, rest)].concat())
        .await;
    raw.send(&text(PING)).await;
    raw.pong().await;
    raw.pong().await;
    // 50 MB, compressed to less than the message limit.
    let bomb = deflated(&vec![b' '; 50_000_000]);
    assert!(bomb.len() < 65_536);
    raw.send(&masked(0xc1, &bomb)).await;
    raw.closed(1009).await;
    let mut raw = Raw::open(&world, offer, b"").await;
    raw.send(&masked(0xc1, b"\x07 no deflate data")).await;
    raw.closed(1002).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compression_needs_config_and_valid_offer() {
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let (off, on) = (
        World::start().await,
        World::with(|config| config.permessage_deflate = true).await,
    );
    let wrong = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99\r\n";
    for (world, headers) in [(&off, offer), (&on, ""), (&on, wrong)] {
        let mut raw = Raw::open(world, headers, b"").await;
        assert!(!raw.head.contains("deflate"), "{}", raw.head);
        raw.send(&masked(0xc1, &deflated(PING.as_bytes()))).await;
        raw.closed(1002).await;
    }
}
