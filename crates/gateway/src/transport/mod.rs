//! The transports of sessions: WebSocket, Socket.IO (which shares the WebSocket handshake and connection), and
//! server-sent events.

pub mod connection;
pub mod cors;
pub mod deflate_negotiation;
pub mod frame_reader;
pub mod handshake;
pub mod io_task;
pub mod socketio;
pub mod sse;
pub mod streaming_response;
pub mod websocket;
