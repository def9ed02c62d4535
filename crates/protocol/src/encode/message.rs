//! Encodes a message of a channel in every wire format.

use std::io::Write;

use super::{Packet, Wire, msgpack, socketio_event};
use crate::msgpack::{map, string};

/// A channel's name, prepared for encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelName {
    /// The canonical name.
    pub plain: String,
    /// As a JSON string with quotes: subjects may contain any character.
    pub json: String,
}

impl ChannelName {
    /// Encodes the canonical name.
    pub fn new(channel: &crate::Channel) -> Self {
        let plain = channel.to_string();
        let json = serde_json::Value::from(plain.as_str()).to_string();
        Self { plain, json }
    }
}

/// A message of a channel.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The event's name, as in [`EventName`](crate::EventName).
    pub event: &'a str,
    /// The channel that carries it.
    pub channel: &'a ChannelName,
    /// Absent for messages that are never stored, such as the heartbeat.
    pub seq: Option<u64>,
    /// Seq of the message before this one in the receiver's stream; only in `latest` mode.
    pub prev: Option<u64>,
    /// Whether it is the state for a new subscription.
    pub snapshot: bool,
    /// The text of one JSON object.
    pub data: &'a str,
}

impl Message<'_> {
    /// Encodes for one wire format, without compression, which is only worthwhile for many receivers: see
    /// [`Packet::deflated`]. An event stream's `id:` line and blank line follow separately, because they hold the
    /// positions of all channels of that stream.
    pub fn encode(&self, wire: Wire) -> Packet {
        match wire {
            Wire::Json | Wire::JsonDeflate(_) => Packet::write_text(|out| {
                for part in [
                    "{\"event\":\"",
                    self.event,
                    "\",\"channel\":",
                    &self.channel.json,
                ] {
                    out.extend_from_slice(part.as_bytes());
                }
                self.push_position(out);
                out.extend_from_slice(b",\"data\":");
                out.extend_from_slice(self.data.as_bytes());
                out.push(b'}');
            }),
            Wire::MsgPack | Wire::MsgPackDeflate(_) => {
                Packet::write_binary(|out| self.write_msgpack(out))
            }
            Wire::SocketIo => socketio_event(self.event, &self.merged()),
            Wire::Sse => {
                let data = self.merged();
                Packet::raw(format!("event: {}\ndata: {data}\n", self.event))
            }
        }
    }

    /// `{event, channel, seq, prev, snapshot, data}`; `seq`, `prev` and `snapshot` may be absent.
    fn write_msgpack(&self, out: &mut Vec<u8>) {
        let position = [("seq", self.seq), ("prev", self.prev)];
        let position = position
            .into_iter()
            .filter_map(|(key, seq)| seq.map(|seq| (key, seq)));
        map(
            3 + position.clone().count() + usize::from(self.snapshot),
            out,
        );
        string("event", out);
        string(self.event, out);
        string("channel", out);
        string(&self.channel.plain, out);
        // Writing into a Vec does not fail.
        for (key, seq) in position {
            string(key, out);
            let _ = rmp::encode::write_uint(out, seq);
        }
        if self.snapshot {
            string("snapshot", out);
            let _ = rmp::encode::write_bool(out, true);
        }
        msgpack::push_data(self.data, out);
    }

    fn push_position(&self, out: &mut Vec<u8>) {
        // Writing into a Vec does not fail.
        if let Some(seq) = self.seq {
            let _ = write!(out, ",\"seq\":{seq}");
        }
        if let Some(prev) = self.prev {
            let _ = write!(out, ",\"prev\":{prev}");
        }
        if self.snapshot {
            out.extend_from_slice(b",\"snapshot\":true");
        }
    }

    /// The data object with channel and position merged in, on one line.
    fn merged(&self) -> String {
        let open = self.data.trim_end();
        let open = open.strip_suffix('}').unwrap_or(open).trim_end();
        let mut text = String::with_capacity(open.len() + self.channel.json.len() + 64);
        // Line breaks occur only between JSON tokens: within strings they are escaped.
        text.extend(open.chars().map(|c| match c {
            '\n' | '\r' => ' ',
            c => c,
        }));
        if !text.trim_end().ends_with('{') {
            text.push(',');
        }
        text.push_str("\"channel\":");
        text.push_str(&self.channel.json);
        let mut position = Vec::new();
        self.push_position(&mut position);
        text.push_str(&String::from_utf8_lossy(&position));
        text.push('}');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Channel, deflate::Deflate};

    fn text(packet: &Packet) -> String {
        String::from_utf8(packet.payload().to_vec()).unwrap()
    }

    #[test]
    fn encodes_every_wire_format() {
        let name = ChannelName::new(&"price:eth".parse().unwrap());
        let message = Message {
            event: "price-update",
            channel: &name,
            seq: Some(42),
            prev: Some(40),
            snapshot: false,
            data: r#"{"token":"ETH","price":1.000000000000000001}"#,
        };
        let json = r#"{"event":"price-update","channel":"price:ETH","seq":42,"prev":40,"data":{"token":"ETH","price":1.000000000000000001}}"#;
        assert_eq!(text(&message.encode(Wire::Json)), json);
        let compressing = Wire::JsonDeflate(Deflate::new(0));
        assert_eq!(text(&message.encode(compressing)), json);
        assert_eq!(
            text(&message.encode(Wire::SocketIo)),
            r#"42/realtime,["price-update",{"token":"ETH","price":1.000000000000000001,"channel":"price:ETH","seq":42,"prev":40}]"#
        );
        assert_eq!(
            text(&message.encode(Wire::Sse)),
            "event: price-update\ndata: {\"token\":\"ETH\",\"price\":1.000000000000000001,\"channel\":\"price:ETH\",\"seq\":42,\"prev\":40}\n"
        );
        let packed = message.encode(Wire::MsgPack);
        assert_eq!(packed.framed()[0], 0x82);
        assert_eq!(
            crate::msgpack::to_json(&packed.payload()).unwrap(),
            json.replace("1.000000000000000001", "\"1.000000000000000001\"")
        );
    }

    #[test]
    fn empty_data_and_special_subjects_stay_valid_json() {
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
        let packed = message.encode(Wire::MsgPack);
        assert_eq!(
            crate::msgpack::to_json(&packed.payload()).unwrap(),
            r#"{"event":"note","channel":"user:a\"b","snapshot":true,"data":{}}"#
        );
    }
}
