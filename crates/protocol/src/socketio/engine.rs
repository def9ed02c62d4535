//! [Engine.IO protocol 4](https://socket.io/docs/v4/engine-io-protocol/): packets, and the payloads that combine several
//! of them in one polling request.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;

/// Separates the packets of a payload.
const SEPARATOR: char = '\u{1e}';

/// The text of the ping and the pong that test a WebSocket for an upgrade.
pub const PROBE: &str = "probe";

/// A packet from a client, borrowed from the message `'a`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    /// The client closes the connection.
    Close,
    /// Tests a WebSocket before an upgrade, with the text [`PROBE`]; the pong repeats it.
    Ping(&'a str),
    /// Answers a ping of the server.
    Pong(&'a str),
    /// Carries a Socket.IO packet.
    Message(&'a str),
    /// Carries an attachment of a Socket.IO packet.
    Binary(Vec<u8>),
    /// The client switches to this WebSocket.
    Upgrade,
    /// Has no effect.
    Noop,
}

/// Why a packet from a client is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.description())]
pub enum ParseError {
    /// The packet has no type.
    Empty,
    /// No packet begins with this character.
    Type,
    /// Only servers send packets of this type (`open`).
    ServerOnly,
    /// The content of a binary packet is not base64.
    Base64,
    /// The body has more packets than accepted.
    TooMany,
}

impl ParseError {
    /// What is wrong, as a noun phrase: the reason for the client.
    pub fn description(self) -> &'static str {
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
    /// Parses one packet. Binary packets are base64 text only in polling payloads: a WebSocket has binary frames.
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        let mut rest = text.chars();
        let kind = rest.next().ok_or(ParseError::Empty)?;
        let rest = rest.as_str();
        match kind {
            '0' => Err(ParseError::ServerOnly),
            '1' => Ok(Self::Close),
            '2' => Ok(Self::Ping(rest)),
            '3' => Ok(Self::Pong(rest)),
            '4' => Ok(Self::Message(rest)),
            '5' => Ok(Self::Upgrade),
            '6' => Ok(Self::Noop),
            'b' => BASE64_STANDARD
                .decode(rest)
                .map(Self::Binary)
                .map_err(|_| ParseError::Base64),
            _ => Err(ParseError::Type),
        }
    }
}

/// Parses the packets in the body of a polling request, at most `most`.
pub fn parse_payload(body: &str, most: usize) -> Result<Vec<Packet<'_>>, ParseError> {
    let mut packets = Vec::new();
    for text in body.split(SEPARATOR) {
        if packets.len() == most {
            return Err(ParseError::TooMany);
        }
        packets.push(Packet::parse(text)?);
    }
    Ok(packets)
}

/// Joins packets into the body of a polling response.
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
    /// Identifies the connection in later requests: a secret of its client.
    pub sid: &'a str,
    /// Transports that the client may upgrade to.
    pub upgrades: &'a [&'a str],
    /// In ms.
    pub ping_interval: u64,
    /// In ms.
    pub ping_timeout: u64,
    /// Most bytes of a request body, or of a WebSocket message.
    pub max_payload: usize,
}

impl Open<'_> {
    /// The packet with its type.
    pub fn text(&self) -> String {
        // A struct of strings and numbers always serializes.
        format!("0{}", serde_json::json!(self))
    }
}

/// The packet by which the server closes a connection.
pub(crate) const CLOSE: &str = "1";
/// A packet without effect: answers a pending poll when there is no other packet.
pub const NOOP: &str = "6";

/// The reply to a probe, and to a ping from a client (which the protocol leaves to servers).
pub fn pong(text: &str) -> String {
    format!("3{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_all_client_packets() {
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
    fn invalid_packets_have_errors() {
        for (text, error) in [
            ("", ParseError::Empty),
            ("0{}", ParseError::ServerOnly),
            ("7", ParseError::Type),
            ("abc", ParseError::Type),
            ("长", ParseError::Type),
            ("\0", ParseError::Type),
            ("b!!", ParseError::Base64),
            ("bA", ParseError::Base64),
        ] {
            assert_eq!(Packet::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn payload_of_specification_round_trips() {
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
    fn payload_is_rejected_whole_and_bounded() {
        assert_eq!(parse_payload("4a\u{1e}", 10), Err(ParseError::Empty));
        assert_eq!(parse_payload("", 10), Err(ParseError::Empty));
        assert_eq!(parse_payload("4a\u{1e}9", 10), Err(ParseError::Type));
        let many = ["2"; 11].join("\u{1e}");
        assert_eq!(parse_payload(&many, 10), Err(ParseError::TooMany));
        assert!(parse_payload(&many, 11).is_ok());
    }

    #[test]
    fn open_packet_has_all_fields() {
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
