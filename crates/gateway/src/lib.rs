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
//! Each module may use those above it in this table, which `tests/it/imports.rs` checks:
//!
//! | module | what it has |
//! |---|---|
//! | `lock_order` | the locks that are held together, and the types that carry their order |
//! | `clock`, `config`, `channel_log`, `message_sink`, `entry` | the monotonic clock; the configuration; the update log as the hub reads it; where messages of clients are stored; one message of a channel |
//! | [`auth`] | JWTs and the identity in them |
//! | `deployment` | the channels that this deployment serves, and who may subscribe to them |
//! | `admission` | what a client may use: connections, requests per window, watches |
//! | `observe` | metrics, the latency of the fan-out, log lines; labels have fixed values, log lines about clients are limited |
//! | `session` | one client: its identity, subscriptions, socket or poller. It knows the hub only as its `SessionOwner` |
//! | `session::outbox` | its outgoing packets, behind verbs. `packet_queue` finishes a partly sent packet; `counted_queue` counts bytes towards `backlog_total`; `contents` has the rules: when full, a `latest` channel is conflated, and an `all` channel ends the session with 4008 |
//! | `hub` | `channel` with its position, snapshot, `ring` and **lanes**: subscribers that receive every update, the newest, or the newest at most once in 100, 250, 1000 or 5000 ms. A `lane` is one stream for all its subscribers, with `prev`. `channels` has all of them under one lock, `registry` the sessions |
//! | `hub::flushers` | writes queued packets by `flush_io`: one `send` per session, or many sockets with one io_uring call (`uring`). `gateway.flushers` flushers share the sessions |
//! | `requests` | `joiner` checks and reads the store, `join` attaches under the lock, with the snapshot or `history`; `replay` reads older pages until memory covers the rest. `publish` and `signal` send messages, with `messaging`. `unsubscribe`, `list`, `user`; `watches` of `tx:` and `address:` channels |
//! | `upkeep` | `timers`: ends of subscription intervals; `sweep`: pings, silent sessions and expired JWTs, without a timer per session; `heartbeat`; `disconnects`: sessions that a moderator ends; `backlog_monitor` measures, `eviction` closes the sessions with the largest backlogs |
//! | `transport` | handshakes and sockets of WebSocket, Socket.IO and event streams. A session on a socket has one task (`io_task`), which reads; any task can write. `echo` is for conformance suites |
//! | `stats` | `/api/v1/stats` |
//! | `gateway` | assembles the parts and hands each what it needs; routes; closes |
//!
//! The codecs, requests, codes and close reasons are in `chaincast_protocol`.

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
mod message_sink;
mod observe;
mod requests;
mod session;
mod stats;
#[cfg(test)]
mod tests;
mod transport;
mod upkeep;

pub use config::{AuthConfig, AuthMode, GatewayConfig, LimitsConfig};
pub use deployment::KnownChannels;
pub use gateway::{Gateway, GatewayError, GatewayInputs};
pub use transport::echo::echo_router;
