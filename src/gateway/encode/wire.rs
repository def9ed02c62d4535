//! How messages look to a session, and how they reach it.

use crate::gateway::deflate::Deflate;

/// How messages look to a session: sessions of one wire format share the bytes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wire {
    /// WebSocket text frames `{"event":…,"data":…}`.
    Json,
    /// The same, compressed where a message has many receivers.
    JsonDeflate(Deflate),
    /// WebSocket binary frames with the same objects in MessagePack.
    MsgPack,
    /// The same, compressed where a message has many receivers.
    MsgPackDeflate(Deflate),
    /// Socket.IO events in Engine.IO packets, over websocket or polling.
    SocketIo,
    /// Server-sent events.
    Sse,
}

impl Wire {
    pub fn transport(self) -> Transport {
        match self {
            Self::Json | Self::JsonDeflate(_) | Self::MsgPack | Self::MsgPackDeflate(_) => {
                Transport::WebSocket
            }
            Self::SocketIo => Transport::SocketIo,
            Self::Sse => Transport::Sse,
        }
    }

    /// The same format with permessage-deflate; transports without it stay as they are.
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

    /// How what is sent to many is compressed, if it is.
    pub fn deflate(self) -> Option<Deflate> {
        match self {
            Self::JsonDeflate(deflate) | Self::MsgPackDeflate(deflate) => Some(deflate),
            _ => None,
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
