//! Pools of connections for readers, and transactions on them that any caller may drop at any await.
//!
//! sqlx returns a connection to its pool inside an open transaction when the future of a `BEGIN` is dropped before
//! Postgres has answered, as happens when a client hangs up. Whoever got that connection next would read an old
//! snapshot, or fail. Three things prevent it: [`Store::begin`] finishes each `BEGIN` that it sends; every connection is
//! checked before it is handed out, by the one round trip that shows whether it is alive; and Postgres ends a session
//! that idles within a transaction for [`IDLE_IN_TRANSACTION`].

use std::{sync::Arc, time::Duration};

use sqlx::{
    Connection, Executor, PgConnection, PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{Store, StoreConfig, StoreError};

/// How long a reader's session may idle within a transaction before Postgres ends it.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);
/// SQLSTATE `in_failed_sql_transaction`.
const ABORTED: &str = "25P02";

pub(super) fn describe() {
    metrics::describe_counter!(
        "chaincast_store_left_transactions_total",
        "Pooled connections that were found inside a transaction before reuse, and were rolled back"
    );
    for state in ["open", "aborted"] {
        metrics::counter!("chaincast_store_left_transactions_total", "state" => state).increment(0);
    }
}

fn found(state: &'static str) {
    metrics::counter!("chaincast_store_left_transactions_total", "state" => state).increment(1);
}

/// What each session of a reader is set to: a query whose client is gone must not run on, nor a transaction stay open.
/// Writers and migrations have no such bound.
pub(super) fn reader(config: &StoreConfig) -> String {
    format!(
        "SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {}",
        config.statement_timeout_ms,
        IDLE_IN_TRANSACTION.as_millis()
    )
}

/// A pool that connects when it is used and hands out no connection that is inside a transaction. Each session begins with
/// `settings`: as statements, since a pooler refuses them as startup parameters.
pub(super) fn guarded(
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
        // The guard shows as well whether the connection is alive.
        .test_before_acquire(false)
        .before_acquire(|connection, _| Box::pin(is_clean(connection)))
        .connect_lazy_with(options)
}

/// Whether a connection may be handed out. One round trip, as a ping.
///
/// `begin_with` compares what Postgres itself reports after the statement: a statement that begins no transaction is
/// [`sqlx::Error::BeginFailed`], unless the connection was inside one before.
async fn is_clean(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let left = match connection.begin_with("SELECT 1").await {
        Err(sqlx::Error::BeginFailed) => return Ok(true),
        Ok(left) => left,
        Err(error) => {
            let code = error.as_database_error().and_then(|error| error.code());
            if code.as_deref() == Some(ABORTED) {
                found("aborted");
            } else {
                tracing::info!(%error, "a pooled connection was lost and is replaced");
            }
            // The pool closes it and connects again.
            return Ok(false);
        }
    };
    found("open");
    left.rollback().await?;
    Ok(true)
}

impl Store {
    /// Begins a transaction on a readers' connection. Whoever drops the future, or the transaction, leaves nothing
    /// open: the `BEGIN` that was sent is waited for in a task, and rolled back if nobody wants it any more.
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        let connection = self.pool.acquire().await?;
        let beginning = tokio::spawn(Transaction::begin(connection, None));
        match beginning.await {
            Ok(begun) => Ok(begun?),
            // The task neither panics nor is aborted but by the end of the runtime.
            Err(error) => Err(sqlx::Error::Io(std::io::Error::other(error)).into()),
        }
    }
}
