//! The hub with real sockets, and a log in memory in place of the store.

mod formats;
mod lifecycle;
mod polling;
mod resume;
mod slow;
mod socketio;
mod support;
mod writers;
