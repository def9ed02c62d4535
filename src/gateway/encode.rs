//! One encoding of a message per wire format, shared by every session that gets it.

use bytes::Bytes;

use super::{CloseReason, frame, socketio::engine};
use crate::gateway::frame::MAX_HEADER;

/// How messages look to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wire {
    /// WebSocket text frames `{"event":…,"data":…}`.
    Json,
    /// Socket.IO events in Engine.IO packets, over websocket or polling.
    SocketIo,
    /// Server-sent events.
    Sse,
}

impl Wire {
    pub fn transport(self) -> Transport {
        match self {
            Self::Json => Transport::WebSocket,
            Self::SocketIo => Transport::SocketIo,
            Self::Sse => Transport::Sse,
        }
    }
}

/// How a session reaches its client; one may have several wire formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    WebSocket,
    SocketIo,
    Sse,
}

impl Transport {
    pub const ALL: [Self; 3] = [Self::WebSocket, Self::SocketIo, Self::Sse];

    /// Its name in statistics, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::SocketIo => "socketio",
            Self::Sse => "sse",
        }
    }
}

/// Encoded bytes on their way to a session: for websockets a whole frame, of which the text is a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    bytes: Bytes,
    /// Length of the WebSocket header in front of the text.
    header: u8,
}

impl Packet {
    /// A WebSocket text frame around `text`; over polling only the text is sent.
    pub fn text(text: &str) -> Self {
        let mut out = Vec::with_capacity(MAX_HEADER + text.len());
        frame::message_header(false, false, text.len(), &mut out);
        let header = out.len() as u8;
        out.extend_from_slice(text.as_bytes());
        Self {
            bytes: out.into(),
            header,
        }
    }

    /// Bytes that are sent as they are: a control frame, or a part of an event stream.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            header: 0,
        }
    }

    /// What a socket sends.
    pub fn framed(&self) -> &Bytes {
        &self.bytes
    }

    /// The payload without the WebSocket header.
    pub fn payload(&self) -> Bytes {
        self.bytes.slice(usize::from(self.header)..)
    }

    /// Bytes that count against the backlog.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// A channel's name, ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelName {
    pub plain: String,
    /// As a JSON string, quotes included: subjects may hold any character.
    pub json: String,
}

impl ChannelName {
    pub fn new(channel: &crate::model::Channel) -> Self {
        let plain = channel.to_string();
        let json = serde_json::Value::from(plain.as_str()).to_string();
        Self { plain, json }
    }
}

/// A message of a channel.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub event: &'a str,
    pub channel: &'a ChannelName,
    /// Absent for what is never stored, such as the heartbeat.
    pub seq: Option<u64>,
    /// Seq of the message before this one in the receiver's stream; only in `latest` mode.
    pub prev: Option<u64>,
    pub snapshot: bool,
    /// The text of one JSON object.
    pub data: &'a str,
}

impl Message<'_> {
    /// Encodes for one wire format. An event stream's `id:` line and its blank line follow separately, because
    /// they tell where all channels of that one stream stand.
    pub fn encode(&self, wire: Wire) -> Packet {
        match wire {
            Wire::Json => {
                let mut text = format!(
                    r#"{{"event":"{}","channel":{}"#,
                    self.event, self.channel.json
                );
                self.push_position(&mut text);
                text.push_str(",\"data\":");
                text.push_str(self.data);
                text.push('}');
                Packet::text(&text)
            }
            Wire::SocketIo => socketio_event(self.event, &self.merged()),
            Wire::Sse => {
                let data = self.merged();
                Packet::raw(format!("event: {}\ndata: {data}\n", self.event))
            }
        }
    }

    fn push_position(&self, text: &mut String) {
        use std::fmt::Write;
        // Writing into a String does not fail.
        if let Some(seq) = self.seq {
            let _ = write!(text, ",\"seq\":{seq}");
        }
        if let Some(prev) = self.prev {
            let _ = write!(text, ",\"prev\":{prev}");
        }
        if self.snapshot {
            text.push_str(",\"snapshot\":true");
        }
    }

    /// The data object with channel and position merged in, on one line.
    fn merged(&self) -> String {
        let open = self.data.trim_end();
        let open = open.strip_suffix('}').unwrap_or(open).trim_end();
        let mut text = String::with_capacity(open.len() + self.channel.json.len() + 64);
        // A line break can only stand between JSON tokens: within strings it is escaped.
        text.extend(open.chars().map(|c| match c {
            '\n' | '\r' => ' ',
            c => c,
        }));
        if !text.trim_end().ends_with('{') {
            text.push(',');
        }
        text.push_str("\"channel\":");
        text.push_str(&self.channel.json);
        self.push_position(&mut text);
        text.push('}');
        text
    }
}

/// The namespace that Socket.IO clients are served in.
pub const NAMESPACE: &str = "/realtime";

/// A Socket.IO event with one argument, the text of a JSON value.
pub fn socketio_event(event: &str, argument: &str) -> Packet {
    Packet::text(&format!(r#"42{NAMESPACE},["{event}",{argument}]"#))
}

/// An event of no channel, such as `connected`; `data` is the text of a JSON object.
pub fn event(wire: Wire, event: &str, data: &str) -> Packet {
    match wire {
        Wire::Json => Packet::text(&format!(r#"{{"event":"{event}","data":{data}}}"#)),
        Wire::SocketIo => socketio_event(event, data),
        Wire::Sse => Packet::raw(format!("event: {event}\ndata: {data}\n\n")),
    }
}

/// An `error` of no request in particular: this channel could not be joined or left.
pub fn failure(wire: Wire, channel: &str, failed: &impl serde::Serialize) -> Packet {
    let mut data = serde_json::json!(failed);
    data["channel"] = channel.into();
    event(wire, "error", &data.to_string())
}

/// The transport's own ping.
pub fn ping(wire: Wire) -> Packet {
    match wire {
        Wire::Json => Packet::raw(frame::ping()),
        // Engine.IO's ping packet.
        Wire::SocketIo => Packet::text("2"),
        Wire::Sse => Packet::raw(": keep-alive\n\n"),
    }
}

/// What ends a session on a transport that can be told. `socket` says that frames are sent, not payloads.
pub fn farewell(wire: Wire, reason: &CloseReason, socket: bool) -> Vec<Packet> {
    let close = || Packet::raw(frame::closing(reason.code(), &reason.text()));
    match wire {
        Wire::Json => vec![close()],
        Wire::SocketIo => {
            // A client that gets a disconnect packet does not come back by itself; one whose transport closes does.
            let stays_away = matches!(reason, CloseReason::Unauthenticated(_));
            let disconnect = || Packet::text(&format!("41{NAMESPACE},"));
            match (socket, reason) {
                (true, _) if stays_away => vec![disconnect(), close()],
                (true, _) => vec![close()],
                // A close packet in the same answer would come before the disconnect packet at the client, which
                // handles that one a tick later. It closes the connection by itself.
                (false, _) if stays_away => vec![disconnect()],
                // Only the waiting request has to come back; the next one is told that there is no such session. To a
                // close packet python-socketio would not come back at all.
                (false, CloseReason::Left(_)) => vec![Packet::text(engine::NOOP)],
                (false, reason) if reason.reconnect() => vec![Packet::text(engine::NOOP)],
                (false, _) => vec![Packet::text(engine::CLOSE)],
            }
        }
        Wire::Sse => {
            let data = serde_json::json!({
                "code": reason.code(),
                "reason": reason.text(),
                "reconnect": reason.reconnect(),
            });
            let retry = match reason {
                CloseReason::GoingAway { retry_after_ms } => format!("retry: {retry_after_ms}\n"),
                _ => String::new(),
            };
            vec![Packet::raw(format!(
                "{retry}event: closed\ndata: {data}\n\n"
            ))]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Channel;

    fn text(packet: &Packet) -> String {
        String::from_utf8(packet.payload().to_vec()).unwrap()
    }

    #[test]
    fn a_message_is_written_as_each_transport_wants_it() {
        let name = ChannelName::new(&"price:eth".parse().unwrap());
        let message = Message {
            event: "price-update",
            channel: &name,
            seq: Some(42),
            prev: Some(40),
            snapshot: false,
            data: r#"{"token":"ETH","price":1.000000000000000001}"#,
        };
        assert_eq!(
            text(&message.encode(Wire::Json)),
            r#"{"event":"price-update","channel":"price:ETH","seq":42,"prev":40,"data":{"token":"ETH","price":1.000000000000000001}}"#
        );
        assert_eq!(
            text(&message.encode(Wire::SocketIo)),
            r#"42/realtime,["price-update",{"token":"ETH","price":1.000000000000000001,"channel":"price:ETH","seq":42,"prev":40}]"#
        );
        assert_eq!(
            text(&message.encode(Wire::Sse)),
            "event: price-update\ndata: {\"token\":\"ETH\",\"price\":1.000000000000000001,\"channel\":\"price:ETH\",\"seq\":42,\"prev\":40}\n"
        );
    }

    #[test]
    fn a_socket_sends_the_text_with_its_header_in_front() {
        let packet = Packet::text("2");
        assert_eq!(&packet.framed()[..], b"\x81\x012");
        assert_eq!(&packet.payload()[..], b"2");
        let long = Packet::text(&"x".repeat(70_000));
        assert_eq!(long.framed().len(), 70_010);
        assert_eq!(long.payload().len(), 70_000);
    }

    #[test]
    fn an_empty_object_and_a_strange_subject_stay_json() {
        let name = ChannelName::new(&Channel::User("a\"b".into()));
        let message = Message {
            event: "note",
            channel: &name,
            seq: None,
            prev: None,
            snapshot: true,
            data: "{ \n}",
        };
        let merged = message.merged();
        let value: serde_json::Value = serde_json::from_str(&merged).unwrap();
        assert_eq!(
            value,
            serde_json::json!({"channel": "user:a\"b", "snapshot": true})
        );
        assert!(!merged.contains('\n'));
    }
}
