//! Messages of clients to each other: the rooms of a deployment and their rules, and the writer that stores messages.
//!
//! ```text
//! gateway, api ─▶ MessageWriter ─▶ store (one transaction for a group of messages) ─▶ bus
//! ```
//!
//! - [`RoomConfig`], [`MessagesConfig`]: `[[gateway.rooms]]` and `[gateway.messages]`. [`Rooms`] finds the rules of a room.
//! - [`MessageQuota`]: how many messages a subject may send, and a room may get, within a minute.
//! - [`MessageWriter`]: stores messages, then publishes them. It is the only writer of them in its process, and has a
//!   connection of its own, so that a busy room delays neither blocks nor prices.
//!
//! Promises: a message is published only after its commit. Cancelling a call loses nothing: the message is stored, or was
//! never begun. A message with a key is stored once, however often it is sent.

mod config;
mod quota;
mod rooms;
mod telemetry;
mod writer;

pub use chaincast_store::messages::{NewMessage, Redaction};

pub use self::{
    config::{JoinRule, MessagesConfig, PublishRule, RoomConfig},
    quota::{MessageQuota, QuotaExceeded, Sender},
    rooms::Rooms,
    writer::{MessageWriter, Numbered, Outgoing, PublishError, Published},
};
