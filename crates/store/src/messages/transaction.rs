//! Transactions of messages, with limits that protect the writers of the same channels.

use sqlx::{Postgres, Transaction};

use super::MessageStore;
use crate::StoreError;

/// Postgres ends the session of a process that hangs in a transaction, and with it the locks on the channels.
const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = 5000; SET LOCAL lock_timeout = 3000;
     SET LOCAL idle_in_transaction_session_timeout = 2000";

impl MessageStore {
    /// Begins a transaction with the limits of this module.
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        Ok(self.pool.begin_with(BEGIN).await?)
    }
}
