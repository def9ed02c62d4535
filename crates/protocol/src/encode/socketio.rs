//! Events of Socket.IO.

use super::Packet;

/// The Socket.IO namespace.
pub const NAMESPACE: &str = "/realtime";

/// A Socket.IO event with one argument, the text of a JSON value.
pub fn socketio_event(event: &str, argument: &str) -> Packet {
    Packet::text(&format!(r#"42{NAMESPACE},["{event}",{argument}]"#))
}
