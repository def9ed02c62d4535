//! The transports of sessions: WebSocket, Socket.IO (which shares the WebSocket handshake and connection), and
//! server-sent events.

pub mod connection;
pub mod context;
mod cors;
mod deflate_negotiation;
mod frame_reader;
pub mod handshake;
pub mod io_task;
mod linger;
pub mod problem;
pub mod refusals;
pub mod socketio;
pub mod sse;
pub mod streaming_response;
pub mod websocket;
