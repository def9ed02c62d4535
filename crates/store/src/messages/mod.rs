//! Messages of clients: stored with their keys and deliveries in one transaction, redacted, and pruned.
//!
//! ```text
//! keys that are stored ─▶ updates::append (locks the channels) ─▶ deliveries ─▶ keys ─▶ COMMIT
//! ```
//!
//! Messages share the rows of `channels` with other writers: alerts are published to `user:SUBJECT` too. So each
//! transaction has limits of its own ([`transaction`]): a process that hangs in one blocks the others only briefly.

mod commit;
mod deliveries;
mod keys;
mod new_message;
mod redaction;
mod transaction;

pub(super) use self::deliveries::DELIVERIES;
pub use self::{
    commit::{WriteError, Written},
    new_message::NewMessage,
    redaction::Redaction,
};

use std::time::Duration;

use sqlx::PgPool;

use super::{Store, pool};

/// Time to get the connection, which only one transaction at a time uses.
const ACQUIRE_TIMEOUT_MS: u64 = 5_000;

/// Stores messages, on a connection of its own: neither readers nor other writers wait for it.
#[derive(Clone)]
pub struct MessageStore {
    pool: PgPool,
    key_retention: Duration,
}

impl MessageStore {
    /// `key_retention` is how long a key identifies a message.
    pub fn new(store: &Store, key_retention: Duration) -> Self {
        Self {
            pool: pool::checked_pool(store.options.clone(), String::new(), 1, ACQUIRE_TIMEOUT_MS),
            key_retention,
        }
    }

    /// Closes the connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
