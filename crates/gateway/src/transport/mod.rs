//! The transports of sessions: WebSocket, Socket.IO (which shares the WebSocket handshake and connection), and
//! server-sent events.

mod connection;
pub(crate) mod context;
mod cors;
mod deflate_negotiation;
pub(crate) mod echo;
mod frame_reader;
mod handshake;
mod io_task;
mod linger;
pub(crate) mod problem;
pub(crate) mod refusals;
pub(crate) mod socketio;
pub(crate) mod sse;
pub(crate) mod streaming_response;
pub(crate) mod websocket;
