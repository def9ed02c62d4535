//! Redis as the fast path between processes. Commits and live messages have a Redis channel each, with connections of
//! their own. Redis may be unreachable when the process starts. Nothing that arrives through it is believed without a
//! check: see `message` and `live_codec`.

mod carried;
mod client;
mod commits;
mod connect;
mod inbox;
mod live;
mod live_codec;
mod message;
mod receive;
mod rejection;
mod send;
mod signer;

pub use client::ping;
pub(crate) use commits::{Commits, LocalChannels};
pub(crate) use connect::{connect_commits, connect_live};
pub(crate) use live::Live;
pub(crate) use message::Hint;
pub(crate) use rejection::Rejection;
pub(crate) use send::SendQueue;
