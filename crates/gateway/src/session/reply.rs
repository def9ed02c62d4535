//! How a transport answers a request.

use chaincast_protocol::{encode::Packet, request::Answer};

/// Encodes an answer as packets in the session's wire format. Called at most once, while the channels are locked: it must
/// only format.
pub type Reply = Box<dyn FnOnce(&Answer) -> Vec<Packet> + Send>;
