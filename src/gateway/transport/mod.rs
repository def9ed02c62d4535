//! How sessions reach their clients: WebSocket with its handshake and connection, which Socket.IO shares, and
//! server-sent events.

pub mod connection;
pub mod cors;
pub mod drive;
pub mod extension;
pub mod handshake;
pub mod reader;
pub mod socketio;
pub mod sse;
pub mod stream;
pub mod websocket;
