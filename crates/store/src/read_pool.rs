//! The pool that runs readers' queries: on the server itself, or through a pooler at `database.reader_url`.
//!
//! A pooler in transaction mode may assign another Postgres session to every transaction. So, through a pooler, each
//! query is a transaction of its own, as preparing and running it are two exchanges that need the same session; its
//! statement is unnamed, as other clients share the session's names; and its timeout applies to that transaction only.
//! Dropping a query closes its connection, so that the next reader never sees its remains.

use futures_util::{
    FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream, stream::BoxStream,
};
use sqlx::{
    Database, Either, Error, Execute, Executor, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

/// Runs read-only queries. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct ReadPool {
    pool: PgPool,
    /// How long a query may take; only through a pooler, where each transaction sets it.
    statement_timeout_ms: Option<u64>,
}

/// A transaction through a pooler. Its connection is closed unless it commits.
struct PooledTransaction(Option<PoolConnection<Postgres>>);

/// A query with an unnamed prepared statement.
struct UnnamedStatement<E>(E);

impl ReadPool {
    pub(super) fn direct(pool: PgPool) -> Self {
        Self {
            pool,
            statement_timeout_ms: None,
        }
    }

    /// Through a pooler; each query takes at most `statement_timeout_ms`.
    pub(super) fn pooled(pool: PgPool, statement_timeout_ms: u64) -> Self {
        Self {
            pool,
            statement_timeout_ms: Some(statement_timeout_ms),
        }
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

impl PooledTransaction {
    async fn begin(pool: &PgPool, statement_timeout_ms: u64) -> Result<Self, Error> {
        let mut transaction = Self(Some(pool.acquire().await?));
        let begin =
            format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {statement_timeout_ms}");
        transaction.connection()?.execute(&*begin).await?;
        Ok(transaction)
    }

    fn connection(&mut self) -> Result<&mut PgConnection, Error> {
        self.0.as_deref_mut().ok_or(Error::PoolClosed)
    }

    async fn commit(mut self) -> Result<(), Error> {
        self.connection()?.execute("COMMIT").await?;
        // Returns the connection to the pool.
        self.0 = None;
        Ok(())
    }
}

impl Drop for PooledTransaction {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for UnnamedStatement<E> {
    fn sql(&self) -> &'q str {
        self.0.sql()
    }

    fn statement(&self) -> Option<&PgStatement<'q>> {
        self.0.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, sqlx::error::BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}

impl<'p> Executor<'p> for &'p ReadPool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let Some(timeout_ms) = self.statement_timeout_ms else {
            return self.pool.fetch_many(query);
        };
        // Results are bounded pages; the session is released before they are used.
        let answer = async move {
            let mut transaction = PooledTransaction::begin(&self.pool, timeout_ms).await?;
            let rows: Vec<_> = transaction
                .connection()?
                .fetch_many(UnnamedStatement(query))
                .try_collect()
                .await?;
            transaction.commit().await?;
            Ok::<_, Error>(stream::iter(rows.into_iter().map(Ok)))
        };
        stream::once(answer).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let Some(timeout_ms) = self.statement_timeout_ms else {
            return self.pool.fetch_optional(query);
        };
        async move {
            let mut transaction = PooledTransaction::begin(&self.pool, timeout_ms).await?;
            let row = transaction
                .connection()?
                .fetch_optional(UnnamedStatement(query))
                .await?;
            transaction.commit().await?;
            Ok(row)
        }
        .boxed()
    }

    fn prepare_with<'e, 'q: 'e>(
        self,
        sql: &'q str,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<<Postgres as Database>::Statement<'q>, Error>>
    where
        'p: 'e,
    {
        self.pool.prepare_with(sql, parameters)
    }

    fn describe<'e, 'q: 'e>(
        self,
        sql: &'q str,
    ) -> BoxFuture<'e, Result<sqlx::Describe<Postgres>, Error>>
    where
        'p: 'e,
    {
        self.pool.describe(sql)
    }
}
