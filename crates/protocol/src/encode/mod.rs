//! Encodes messages, once per wire format; sessions share the result.

mod message;
mod msgpack;
mod packet;
mod socketio;
mod wire;

pub use message::{ChannelName, Message};
pub use packet::Packet;
pub use socketio::{NAMESPACE, socketio_event};
pub use wire::{Transport, Wire};

use super::{
    CloseReason, Refusal,
    control::{Closed, RefusedChannel, to_json},
    frame,
    request::{Answer, RequestId},
    socketio::engine,
};

/// An event without a channel, such as `connected`; `data` is the text of a JSON object.
pub fn event(wire: Wire, event: &str, data: &str) -> Packet {
    match wire.plain() {
        Wire::MsgPack => Packet::write_binary(|out| msgpack::event(event, None, data, out)),
        Wire::SocketIo => socketio_event(event, data),
        Wire::Sse => Packet::raw(format!("event: {event}\ndata: {data}\n\n")),
        _ => Packet::text(&format!(r#"{{"event":"{event}","data":{data}}}"#)),
    }
}

/// The answer to a request on a native WebSocket. Other transports encode answers themselves.
pub fn answer(wire: Wire, answer: &Answer, id: Option<&RequestId>) -> Packet {
    match wire.plain() {
        Wire::MsgPack => Packet::write_binary(|out| {
            msgpack::event(answer.event(), id, &answer.data(), out);
        }),
        _ => Packet::text(&answer.text(id)),
    }
}

/// An `error` event for a channel that could not be joined or left, without a request.
pub fn channel_error(wire: Wire, channel: &str, refusal: &Refusal) -> Packet {
    let data = RefusedChannel {
        channel: channel.to_owned(),
        refusal: refusal.clone(),
    };
    event(wire, Refusal::EVENT, &to_json(&data))
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

/// How the packets of a session leave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// It writes them to its socket, with frames.
    Socket,
    /// A polling request takes them, without frames.
    Poller,
}

/// The packets that end a session: a close frame or the transport's equivalent.
pub fn close_packets(wire: Wire, reason: &CloseReason, drain: Drain) -> Vec<Packet> {
    let close = || Packet::raw(frame::close_frame(reason.code(), &reason.text()));
    match wire.transport() {
        Transport::WebSocket => vec![close()],
        Transport::SocketIo => {
            // A client does not reconnect after a disconnect packet, but does after a closed transport.
            let no_reconnect = matches!(
                reason,
                CloseReason::Unauthenticated(_) | CloseReason::Disconnected
            );
            let disconnect = || Packet::text(&format!("41{NAMESPACE},"));
            match (drain, reason) {
                (Drain::Socket, _) if no_reconnect => vec![disconnect(), close()],
                (Drain::Socket, _) => vec![close()],
                // Without a close packet: the client handles a disconnect packet one event-loop iteration later, so it
                // would process a close packet in the same response first. It closes the connection by itself.
                (Drain::Poller, _) if no_reconnect => vec![disconnect()],
                // Only the pending poll must return; the next one gets an unknown-session error. After a close packet
                // python-socketio would not reconnect.
                (Drain::Poller, CloseReason::Left(_)) => vec![Packet::text(engine::NOOP)],
                (Drain::Poller, reason) if reason.reconnect() => vec![Packet::text(engine::NOOP)],
                (Drain::Poller, _) => vec![Packet::text(engine::CLOSE)],
            }
        }
        Transport::Sse => {
            let data = to_json(&Closed {
                code: reason.code(),
                reason: reason.text().into_owned(),
                reconnect: reason.reconnect(),
            });
            let retry = match reason {
                CloseReason::GoingAway { retry_after_ms } => format!("retry: {retry_after_ms}\n"),
                _ => String::new(),
            };
            vec![Packet::raw(format!(
                "{retry}event: {}\ndata: {data}\n\n",
                Closed::EVENT
            ))]
        }
    }
}
