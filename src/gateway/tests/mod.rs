//! The hub with real sockets, and a log in memory in place of the store.

mod alerts;
mod candles;
mod formats;
mod heartbeat;
mod lanes;
mod lifecycle;
mod limits;
mod observe;
mod origins;
mod polling;
mod resume;
mod slow;
mod socketio;
mod stream;
mod support;
mod total;
mod watchers;
mod wire;
mod writers;
