//! Wire formats and transports of sessions.

use crate::deflate::Deflate;

/// The wire format of a session. Sessions with the same wire format share the encoded bytes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wire {
    /// WebSocket text frames `{"event":…,"data":…}`.
    Json,
    /// The same, with messages to many receivers compressed.
    JsonDeflate(Deflate),
    /// WebSocket binary frames with the same objects in MessagePack.
    MsgPack,
    /// The same, with messages to many receivers compressed.
    MsgPackDeflate(Deflate),
    /// Socket.IO events in Engine.IO packets, over WebSocket or polling.
    SocketIo,
    /// Server-sent events.
    Sse,
}

impl Wire {
    /// The transport that carries this format.
    pub fn transport(self) -> Transport {
        match self {
            Self::Json | Self::JsonDeflate(_) | Self::MsgPack | Self::MsgPackDeflate(_) => {
                Transport::WebSocket
            }
            Self::SocketIo => Transport::SocketIo,
            Self::Sse => Transport::Sse,
        }
    }

    /// The same format with permessage-deflate; unchanged for transports without it.
    pub fn compressed(self, deflate: Deflate) -> Self {
        match self.plain() {
            Self::Json => Self::JsonDeflate(deflate),
            Self::MsgPack => Self::MsgPackDeflate(deflate),
            other => other,
        }
    }

    /// The same format without compression.
    pub fn plain(self) -> Self {
        match self {
            Self::JsonDeflate(_) => Self::Json,
            Self::MsgPackDeflate(_) => Self::MsgPack,
            other => other,
        }
    }

    /// The compression of messages to many receivers, if any.
    pub fn deflate(self) -> Option<Deflate> {
        match self {
            Self::JsonDeflate(deflate) | Self::MsgPackDeflate(deflate) => Some(deflate),
            _ => None,
        }
    }
}

/// The transport of a session. A transport can have several wire formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// WebSocket at `/realtime` (RFC 6455), without Socket.IO.
    WebSocket,
    /// Socket.IO 4, over WebSocket or HTTP polling.
    SocketIo,
    /// An HTTP response with server-sent events.
    Sse,
}

impl Transport {
    /// Every transport, in the order of the variants: `transport as usize` is the index of one.
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
