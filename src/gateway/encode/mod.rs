//! One encoding of a message per wire format, shared by every session that gets it.

mod message;
mod msgpack;
mod packet;
mod wire;

pub use message::{ChannelName, Message};
pub use packet::Packet;
pub use wire::{Transport, Wire};

use super::{
    CloseReason, frame,
    protocol::{Answer, RequestId},
    socketio::engine,
};

/// The namespace that Socket.IO clients are served in.
pub const NAMESPACE: &str = "/realtime";

/// A Socket.IO event with one argument, the text of a JSON value.
pub fn socketio_event(event: &str, argument: &str) -> Packet {
    Packet::text(&format!(r#"42{NAMESPACE},["{event}",{argument}]"#))
}

/// An event of no channel, such as `connected`; `data` is the text of a JSON object.
pub fn event(wire: Wire, event: &str, data: &str) -> Packet {
    match wire.plain() {
        Wire::MsgPack => Packet::write_binary(|out| msgpack::event(event, None, data, out)),
        Wire::SocketIo => socketio_event(event, data),
        Wire::Sse => Packet::raw(format!("event: {event}\ndata: {data}\n\n")),
        _ => Packet::text(&format!(r#"{{"event":"{event}","data":{data}}}"#)),
    }
}

/// The answer to a request on a native WebSocket; other transports answer in their own ways.
pub fn answer(wire: Wire, answer: &Answer, id: Option<&RequestId>) -> Packet {
    match wire.plain() {
        Wire::MsgPack => Packet::write_binary(|out| {
            msgpack::event(answer.event(), id, &answer.data(), out);
        }),
        _ => Packet::text(&answer.text(id)),
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
    match wire.transport() {
        Transport::WebSocket => Packet::raw(frame::ping()),
        // Engine.IO's ping packet.
        Transport::SocketIo => Packet::text("2"),
        Transport::Sse => Packet::raw(": keep-alive\n\n"),
    }
}

/// What ends a session on a transport that can be told. `socket` says that frames are sent, not payloads.
pub fn farewell(wire: Wire, reason: &CloseReason, socket: bool) -> Vec<Packet> {
    let close = || Packet::raw(frame::closing(reason.code(), &reason.text()));
    match wire.transport() {
        Transport::WebSocket => vec![close()],
        Transport::SocketIo => {
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
        Transport::Sse => {
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
