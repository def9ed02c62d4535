//! [Engine.IO protocol 4](https://socket.io/docs/v4/engine-io-protocol/): packets, and the payloads that carry
//! several of them in one polling request.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;

/// Stands between the packets of a payload.
const SEPARATOR: char = '\u{1e}';

/// The text of a ping, and of the pong that answers it, when a websocket is tried out for an upgrade.
pub const PROBE: &str = "probe";

/// What a client may send. `'a` is the message that it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    Close,
    Ping(&'a str),
    Pong(&'a str),
    /// Carries a Socket.IO packet.
    Message(&'a str),
    /// Carries an attachment of a Socket.IO packet.
    Binary(Vec<u8>),
    /// The client goes on with this websocket.
    Upgrade,
    Noop,
}

/// Why a text is no packet that a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.what())]
pub enum EngineError {
    Empty,
    Type,
    ServerOnly,
    Base64,
    TooMany,
}

impl EngineError {
    pub fn what(self) -> &'static str {
        match self {
            Self::Empty => "an empty Engine.IO packet",
            Self::Type => "an unknown Engine.IO packet type",
            Self::ServerOnly => "an Engine.IO packet that only servers send",
            Self::Base64 => "a binary packet that is not base64",
            Self::TooMany => "too many packets in one request",
        }
    }
}

impl<'a> Packet<'a> {
    /// Reads one packet. Binary ones stand as text only in polling payloads: a websocket has binary frames.
    pub fn parse(text: &'a str) -> Result<Self, EngineError> {
        let mut rest = text.chars();
        let kind = rest.next().ok_or(EngineError::Empty)?;
        let rest = rest.as_str();
        match kind {
            '0' => Err(EngineError::ServerOnly),
            '1' => Ok(Self::Close),
            '2' => Ok(Self::Ping(rest)),
            '3' => Ok(Self::Pong(rest)),
            '4' => Ok(Self::Message(rest)),
            '5' => Ok(Self::Upgrade),
            '6' => Ok(Self::Noop),
            'b' => BASE64_STANDARD
                .decode(rest)
                .map(Self::Binary)
                .map_err(|_| EngineError::Base64),
            _ => Err(EngineError::Type),
        }
    }
}

/// Reads the packets of a polling request's body, at most `most` of them.
pub fn parse_payload(body: &str, most: usize) -> Result<Vec<Packet<'_>>, EngineError> {
    let mut packets = Vec::new();
    for text in body.split(SEPARATOR) {
        if packets.len() == most {
            return Err(EngineError::TooMany);
        }
        packets.push(Packet::parse(text)?);
    }
    Ok(packets)
}

/// Joins packets to the body of a polling answer.
pub fn write_payload(packets: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let length: usize = packets.iter().map(|packet| packet.as_ref().len() + 1).sum();
    let mut body = Vec::with_capacity(length);
    for (index, packet) in packets.iter().enumerate() {
        if index > 0 {
            body.push(SEPARATOR as u8);
        }
        body.extend_from_slice(packet.as_ref());
    }
    body
}

/// The first packet of a connection.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Open<'a> {
    /// Names the connection in later requests: a secret between its client and this server.
    pub sid: &'a str,
    pub upgrades: &'a [&'a str],
    /// In ms.
    pub ping_interval: u64,
    /// In ms.
    pub ping_timeout: u64,
    /// Most bytes of a request, or of a message over the websocket.
    pub max_payload: usize,
}

impl Open<'_> {
    pub fn text(&self) -> String {
        // A struct of strings and numbers is always written.
        format!("0{}", serde_json::json!(self))
    }
}

/// Packets without content that the server sends.
pub const CLOSE: &str = "1";
pub const NOOP: &str = "6";

/// The answer to a probe, and to a ping that a client sends although only servers should.
pub fn pong(text: &str) -> String {
    format!("3{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_a_client_sends_is_read() {
        for (text, packet) in [
            ("1", Packet::Close),
            ("2probe", Packet::Ping(PROBE)),
            ("3", Packet::Pong("")),
            ("4hello", Packet::Message("hello")),
            ("4", Packet::Message("")),
            ("5", Packet::Upgrade),
            ("6", Packet::Noop),
            ("bAQIDBA==", Packet::Binary(vec![1, 2, 3, 4])),
            ("b", Packet::Binary(vec![])),
        ] {
            assert_eq!(Packet::parse(text), Ok(packet), "{text}");
        }
    }

    #[test]
    fn what_is_no_packet_is_named() {
        for (text, error) in [
            ("", EngineError::Empty),
            ("0{}", EngineError::ServerOnly),
            ("7", EngineError::Type),
            ("abc", EngineError::Type),
            ("长", EngineError::Type),
            ("\0", EngineError::Type),
            ("b!!", EngineError::Base64),
            ("bA", EngineError::Base64),
        ] {
            assert_eq!(Packet::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn the_payload_of_the_protocols_page_is_read_and_written() {
        let body = "4hello\u{1e}2\u{1e}4world";
        assert_eq!(
            parse_payload(body, 10).unwrap(),
            [
                Packet::Message("hello"),
                Packet::Ping(""),
                Packet::Message("world")
            ]
        );
        assert_eq!(write_payload(&["4hello", "2", "4world"]), body.as_bytes());
        assert_eq!(
            parse_payload("4hello\u{1e}bAQIDBA==", 10).unwrap(),
            [Packet::Message("hello"), Packet::Binary(vec![1, 2, 3, 4])]
        );
    }

    #[test]
    fn a_payload_is_all_good_or_refused_and_never_unbounded() {
        assert_eq!(parse_payload("4a\u{1e}", 10), Err(EngineError::Empty));
        assert_eq!(parse_payload("", 10), Err(EngineError::Empty));
        assert_eq!(parse_payload("4a\u{1e}9", 10), Err(EngineError::Type));
        let many = ["2"; 11].join("\u{1e}");
        assert_eq!(parse_payload(&many, 10), Err(EngineError::TooMany));
        assert!(parse_payload(&many, 11).is_ok());
    }

    #[test]
    fn the_opening_says_what_the_client_needs() {
        let open = Open {
            sid: "abc",
            upgrades: &["websocket"],
            ping_interval: 10_000,
            ping_timeout: 5_000,
            max_payload: 65_536,
        };
        let text = open.text();
        let value: serde_json::Value = serde_json::from_str(&text[1..]).unwrap();
        assert_eq!(&text[..1], "0");
        assert_eq!(
            value,
            serde_json::json!({"sid":"abc","upgrades":["websocket"],"pingInterval":10000,"pingTimeout":5000,"maxPayload":65536})
        );
    }
}
