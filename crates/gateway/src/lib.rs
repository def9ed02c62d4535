//! The realtime gateway: sessions, channels and the fan-out between them, over three transports.
//!
//! ```text
//!           request                           update, from bus::CommitStream
//! client ─▶ transport ─▶ requests ─▶ hub ◀────────────────────────────────────
//!    ▲                               │ channel, lane: encoded once per wire format
//!    │                               ▼
//!    └── socket ◀── hub/flushers ◀── session (outbox)
//! ```
//!
//! | module | what it has |
//! |---|---|
//! | [`transport`] | handshakes and sockets of WebSocket, Socket.IO and event streams |
//! | `requests` | subscribing, resuming, and the other requests |
//! | `hub` | channels with their lanes, the registry of sessions, the flushers |
//! | [`session`] | one client: its outbox, subscriptions, identity |
//! | `upkeep` | what happens by the clock: timers, timeouts, heartbeats, eviction |
//! | `admission`, [`auth`] | limits of clients; JWTs |
//! | `observe`, `stats` | metrics and log lines; `/api/v1/stats` |
//! | `lock_order` | the locks that are held together |
//!
//! A module imports no module that imports it, directly or by way of others; a test holds that.

mod admission;
pub mod auth;
mod channel_log;
mod clock;
mod config;
mod deployment;
mod entry;
mod gateway;
mod hub;
mod lock_order;
mod observe;
mod requests;
pub mod session;
mod stats;
#[cfg(test)]
mod tests;
pub mod transport;
mod upkeep;

pub use config::{AuthConfig, AuthMode, GatewayConfig, LimitsConfig};
pub use deployment::KnownChannels;
pub use gateway::{Gateway, GatewayError};
