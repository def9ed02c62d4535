//! [Socket.IO protocol 5](https://socket.io/docs/v4/socket-io-protocol/): the content of an Engine.IO message.
//!
//! `<type>[<attachments>-][<namespace>,][<ack id>][<JSON>]`

use serde_json::value::RawValue;

use crate::control::{ConnectError, to_json};

/// Most attachments that a packet may announce: they are skipped and the packet is rejected.
pub const MAX_ATTACHMENTS: usize = 16;
/// Longest namespace, in bytes.
const MAX_NAMESPACE: usize = 128;
/// Ack ids are JavaScript integers: 16 digits at most.
const MAX_ID_DIGITS: usize = 16;

/// A packet from a client, borrowed from its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// With the leading slash; `/` if the packet has none.
    pub namespace: &'a str,
    /// Type and content.
    pub kind: Kind<'a>,
}

/// The type of a packet, with its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// The JSON of the authentication payload, if any.
    Connect(Option<&'a str>),
    /// The client leaves the namespace.
    Disconnect,
    /// The client emits an event.
    Event {
        /// The id of the requested acknowledgement, if any.
        ack: Option<u64>,
        /// The JSON array of the event's name and arguments, not validated.
        json: &'a str,
        /// Number of binary messages that follow and belong to this event.
        attachments: usize,
    },
    /// Acknowledges an event of the server, which never requests one.
    Ack {
        /// Number of binary messages that follow and belong to this acknowledgement.
        attachments: usize,
    },
}

/// Why a packet from a client is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.description())]
pub enum PacketError {
    /// No packet begins with this character.
    Type,
    /// Only servers send packets of this type (`connect_error`).
    ServerOnly,
    /// The number of attachments is missing, or above [`MAX_ATTACHMENTS`].
    Attachments,
    /// The namespace is longer than 128 bytes.
    Namespace,
    /// The acknowledgement id has more than 16 digits.
    Id,
    /// A disconnect packet has a payload, or an acknowledgement has no JSON array.
    Payload,
}

impl PacketError {
    /// What is wrong, as a noun phrase: the reason for the client.
    pub fn description(self) -> &'static str {
        match self {
            Self::Type => "an unknown Socket.IO packet type",
            Self::ServerOnly => "a Socket.IO packet that only servers send",
            Self::Attachments => "a binary packet with a bad number of attachments",
            Self::Namespace => "a namespace that is too long",
            Self::Id => "an acknowledgement id that is too long",
            Self::Payload => "a Socket.IO packet with a payload that its type does not have",
        }
    }
}

impl<'a> Packet<'a> {
    /// Parses one packet. The JSON of a connect or event packet is not validated.
    pub fn parse(text: &'a str) -> Result<Self, PacketError> {
        let mut rest = text.chars();
        let kind = rest.next().ok_or(PacketError::Type)?;
        let rest = rest.as_str();
        let (attachments, rest) = match kind {
            '5' | '6' => attachments(rest)?,
            _ => (0, rest),
        };
        let (namespace, rest) = namespace(rest)?;
        let (ack, json) = ack_id(rest)?;
        let kind = match kind {
            '0' => Kind::Connect(Some(rest).filter(|json| !json.is_empty())),
            '1' if !json.is_empty() => return Err(PacketError::Payload),
            '1' => Kind::Disconnect,
            '2' | '5' => Kind::Event {
                ack,
                json,
                attachments,
            },
            '3' | '6' if !is_array(json) => return Err(PacketError::Payload),
            '3' | '6' => Kind::Ack { attachments },
            '4' => return Err(PacketError::ServerOnly),
            _ => return Err(PacketError::Type),
        };
        Ok(Self { namespace, kind })
    }
}

fn digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

fn attachments(text: &str) -> Result<(usize, &str), PacketError> {
    let (count, rest) = digits(text);
    let rest = rest.strip_prefix('-').ok_or(PacketError::Attachments)?;
    match count.parse() {
        Ok(count) if count <= MAX_ATTACHMENTS => Ok((count, rest)),
        _ => Err(PacketError::Attachments),
    }
}

fn namespace(text: &str) -> Result<(&str, &str), PacketError> {
    if !text.starts_with('/') {
        return Ok(("/", text));
    }
    let (name, rest) = text.split_once(',').unwrap_or((text, ""));
    if name.len() > MAX_NAMESPACE {
        return Err(PacketError::Namespace);
    }
    Ok((name, rest))
}

fn ack_id(text: &str) -> Result<(Option<u64>, &str), PacketError> {
    let (id, rest) = digits(text);
    if id.is_empty() {
        return Ok((None, rest));
    }
    if id.len() > MAX_ID_DIGITS {
        return Err(PacketError::Id);
    }
    let id = id.parse().map_err(|_| PacketError::Id)?;
    Ok((Some(id), rest))
}

fn is_array(json: &str) -> bool {
    serde_json::from_str::<Vec<&RawValue>>(json).is_ok()
}

/// An event's name and the JSON text of its first argument; further arguments are ignored. `None` if the text is not an
/// array that begins with a name: a string or, as in the reference server, a number.
pub fn event_arguments(json: &str) -> Option<(String, Option<&str>)> {
    let parts: Vec<&RawValue> = serde_json::from_str(json).ok()?;
    let name = parts.first()?.get();
    let name = match name.as_bytes().first()? {
        b'"' => serde_json::from_str(name).ok()?,
        b'-' | b'0'..=b'9' => name.to_owned(),
        _ => return None,
    };
    Some((name, parts.get(1).map(|argument| argument.get())))
}

/// Encodes the reply to a successful join.
pub fn connected(namespace: &str, sid: &str) -> String {
    format!(
        "40{}{}",
        prefix(namespace),
        serde_json::json!({ "sid": sid })
    )
}

/// Encodes a rejected join.
pub fn connect_error(namespace: &str, error: &ConnectError) -> String {
    format!("44{}{}", prefix(namespace), to_json(error))
}

/// Encodes the removal of a client from a namespace.
pub fn disconnect(namespace: &str) -> String {
    format!("41{}", prefix(namespace))
}

/// Encodes the acknowledgement of an event with one argument, a JSON text.
pub fn ack(namespace: &str, id: u64, argument: &str) -> String {
    format!("43{}{id}[{argument}]", prefix(namespace))
}

/// The main namespace is omitted.
fn prefix(namespace: &str) -> String {
    match namespace {
        "/" => String::new(),
        other => format!("{other},"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (&str, Kind<'_>) {
        let packet = Packet::parse(text).unwrap();
        (packet.namespace, packet.kind)
    }

    fn event(ack: Option<u64>, json: &str, attachments: usize) -> Kind<'_> {
        Kind::Event {
            ack,
            json,
            attachments,
        }
    }

    #[test]
    fn parses_packets_of_specification() {
        for (text, namespace, kind) in [
            ("0", "/", Kind::Connect(None)),
            ("0/admin,", "/admin", Kind::Connect(None)),
            ("0/admin", "/admin", Kind::Connect(None)),
            (
                r#"0/admin,{"token":"123"}"#,
                "/admin",
                Kind::Connect(Some(r#"{"token":"123"}"#)),
            ),
            (r#"0{"a":1}"#, "/", Kind::Connect(Some(r#"{"a":1}"#))),
            ("1", "/", Kind::Disconnect),
            ("1/admin,", "/admin", Kind::Disconnect),
            (r#"2["hello",1]"#, "/", event(None, r#"["hello",1]"#, 0)),
            (
                r#"2/admin,456["project:delete",123]"#,
                "/admin",
                event(Some(456), r#"["project:delete",123]"#, 0),
            ),
            (
                "212[\"a,b\",\"/c,\"]",
                "/",
                event(Some(12), "[\"a,b\",\"/c,\"]", 0),
            ),
            ("3/admin,456[]", "/admin", Kind::Ack { attachments: 0 }),
            (
                r#"51-/admin,0["hello",{"_placeholder":true,"num":0}]"#,
                "/admin",
                event(Some(0), r#"["hello",{"_placeholder":true,"num":0}]"#, 1),
            ),
            (
                r#"61-/admin,456[{"_placeholder":true,"num":0}]"#,
                "/admin",
                Kind::Ack { attachments: 1 },
            ),
        ] {
            assert_eq!(parse(text), (namespace, kind), "{text}");
        }
    }

    #[test]
    fn invalid_packets_have_errors() {
        let long = format!("0/{},", "n".repeat(200));
        for (text, error) in [
            ("", PacketError::Type),
            ("7", PacketError::Type),
            ("x", PacketError::Type),
            ("长2", PacketError::Type),
            ("4{}", PacketError::ServerOnly),
            ("5[]", PacketError::Attachments),
            ("5-[]", PacketError::Attachments),
            ("5999999-[]", PacketError::Attachments),
            ("599999999999999999999999-[]", PacketError::Attachments),
            ("299999999999999999[]", PacketError::Id),
            (r#"1/admin,{}"#, PacketError::Payload),
            ("1[]", PacketError::Payload),
            ("35{}", PacketError::Payload),
            ("3", PacketError::Payload),
            ("35[", PacketError::Payload),
            ("61-5null", PacketError::Payload),
            (&long, PacketError::Namespace),
        ] {
            assert_eq!(Packet::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn event_has_name_and_optional_argument() {
        for (json, found) in [
            (r#"["ping"]"#, Some(("ping", None))),
            (r#"["a",{"b":[1]},2]"#, Some(("a", Some(r#"{"b":[1]}"#)))),
            (r#"["\u00e9",null]"#, Some(("é", Some("null")))),
            ("[1,2]", Some(("1", Some("2")))),
            ("[-0.5]", Some(("-0.5", None))),
            ("[null]", None),
            (r#"[["a"]]"#, None),
            ("[]", None),
            ("{}", None),
            ("", None),
            (r#"["a""#, None),
        ] {
            let parsed = event_arguments(json);
            let parsed = parsed.as_ref().map(|(name, data)| (name.as_str(), *data));
            assert_eq!(parsed, found, "{json}");
        }
        let deep = format!(r#"["a",{}"#, "[".repeat(60_000));
        assert_eq!(event_arguments(&deep), None);
    }

    #[test]
    fn encodes_like_reference_server() {
        assert_eq!(connected("/realtime", "x"), r#"40/realtime,{"sid":"x"}"#);
        assert_eq!(ack("/realtime", 7, "{}"), "43/realtime,7[{}]");
        assert_eq!(disconnect("/realtime"), "41/realtime,");
        let error = ConnectError::unknown_namespace();
        assert_eq!(
            connect_error("/", &error),
            r#"44{"message":"Invalid namespace"}"#
        );
        assert_eq!(
            connect_error("/other", &error),
            r#"44/other,{"message":"Invalid namespace"}"#
        );
    }

    /// Every prefix of valid packets, and every single-byte change: none may panic.
    #[test]
    fn damaged_packets_never_panic() {
        for good in [
            r#"51-/admin,0["hello",{"_placeholder":true,"num":0}]"#,
            r#"0/admin,{"token":"é"}"#,
        ] {
            for at in 0..=good.len() {
                for byte in [0, b'0', b'9', b',', b'-', b'/', b'[', 0x80, 0xff] {
                    let mut bytes = good.as_bytes()[..at].to_vec();
                    check(&bytes);
                    bytes.push(byte);
                    bytes.extend_from_slice(good.as_bytes().get(at + 1..).unwrap_or_default());
                    check(&bytes);
                }
            }
        }
    }

    fn check(bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(Packet {
            kind: Kind::Event { json, .. },
            ..
        }) = Packet::parse(&text)
        {
            event_arguments(json);
        }
    }
}
