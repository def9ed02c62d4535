//! Connection pools for readers, and transactions that a caller may drop at any await.
//!
//! sqlx returns a connection to its pool inside an open transaction when the future of a `BEGIN` is dropped before
//! Postgres has answered, as happens when a client disconnects. The next user of that connection would read an old
//! snapshot or fail. Three measures prevent this: [`Store::begin`] completes each `BEGIN` that it sends; every
//! connection is checked before reuse, in the round trip that also shows whether it is alive; and Postgres ends a
//! session that is idle in a transaction for [`IDLE_IN_TRANSACTION`].

use std::{sync::Arc, time::Duration};

use sqlx::{
    Connection, Executor, PgConnection, PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{Store, StoreConfig, StoreError};

/// How long a Postgres session may be idle in a transaction before Postgres ends it.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);
/// SQLSTATE `in_failed_sql_transaction`.
const ABORTED: &str = "25P02";

pub(super) fn describe() {
    metrics::describe_counter!(
        "chaincast_store_left_transactions_total",
        "Pooled connections found inside a transaction before reuse"
    );
    for state in ["open", "aborted"] {
        metrics::counter!("chaincast_store_left_transactions_total", "state" => state).increment(0);
    }
}

fn count_left_transaction(state: &'static str) {
    metrics::counter!("chaincast_store_left_transactions_total", "state" => state).increment(1);
}

/// Settings of each pooled Postgres session: a query whose client has disconnected must not run on, and a transaction
/// must not stay open. Writers and migrations have no such limits.
pub(super) fn session_settings(config: &StoreConfig) -> String {
    format!(
        "SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {}",
        config.statement_timeout_ms,
        IDLE_IN_TRANSACTION.as_millis()
    )
}

/// A pool that connects lazily and never returns a connection that is inside a transaction. `settings` run as
/// statements at the start of each session, because poolers reject them as startup parameters.
pub(super) fn checked_pool(
    options: PgConnectOptions,
    settings: String,
    most: u32,
    acquire_timeout_ms: u64,
) -> PgPool {
    let settings: Arc<str> = settings.into();
    PgPoolOptions::new()
        .after_connect(move |connection, _| {
            let settings = settings.clone();
            Box::pin(async move { connection.execute(&*settings).await.map(|_| ()) })
        })
        .max_connections(most)
        .acquire_timeout(Duration::from_millis(acquire_timeout_ms))
        // `is_clean` also shows whether the connection is alive.
        .test_before_acquire(false)
        .before_acquire(|connection, _| Box::pin(is_clean(connection)))
        .connect_lazy_with(options)
}

/// Whether a connection can be reused. One round trip, like a ping.
///
/// `begin_with` compares the transaction status that Postgres reports after the statement: a statement that begins no
/// transaction is [`sqlx::Error::BeginFailed`], unless the connection was already inside one.
async fn is_clean(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let left = match connection.begin_with("SELECT 1").await {
        Err(sqlx::Error::BeginFailed) => return Ok(true),
        Ok(left) => left,
        Err(error) => {
            let code = error.as_database_error().and_then(|error| error.code());
            if code.as_deref() == Some(ABORTED) {
                count_left_transaction("aborted");
            } else {
                tracing::info!(%error, "lost a pooled connection; replacing it");
            }
            // The pool closes it and opens a new one.
            return Ok(false);
        }
    };
    count_left_transaction("open");
    left.rollback().await?;
    Ok(true)
}

impl Store {
    /// Begins a transaction on a pooled connection. Dropping the future or the transaction leaves nothing open: a task
    /// awaits the `BEGIN` that was sent and rolls it back if the caller is gone.
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        let connection = self.pool.acquire().await?;
        let beginning = tokio::spawn(Transaction::begin(connection, None));
        match beginning.await {
            Ok(begun) => Ok(begun?),
            // The task does not panic, and only the end of the runtime aborts it.
            Err(error) => Err(sqlx::Error::Io(std::io::Error::other(error)).into()),
        }
    }
}
