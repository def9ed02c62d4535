//! Where the queries of readers run: on the server itself, or through a pooler at `database.reader_url`.
//!
//! A pooler in transaction mode may give every transaction another session. Through one each query is a transaction of its
//! own, as reading its parameters' types and running it are two exchanges that must meet the same session; its statement has
//! no name, as names would be those of a session that others use as well; and its limit of time holds for that transaction
//! alone. A query that is dropped ends its connection, so that the next reader never meets what is left of it.

use std::sync::Arc;

use futures_util::{
    FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream, stream::BoxStream,
};
use sqlx::{
    Database, Either, Error, Execute, Executor, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

/// Runs queries that only read. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Readers {
    pool: PgPool,
    /// What begins each transaction, through a pooler.
    begin: Option<Arc<str>>,
}

/// A transaction through a pooler. Its connection is closed unless it ends well.
struct Shared(Option<PoolConnection<Postgres>>);

/// A query whose prepared statement has no name.
struct Unnamed<E>(E);

impl Readers {
    pub(super) fn direct(pool: PgPool) -> Self {
        Self { pool, begin: None }
    }

    /// Through a pooler, each for `statement_timeout_ms` at most.
    pub(super) fn shared(pool: PgPool, statement_timeout_ms: u64) -> Self {
        let begin =
            format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {statement_timeout_ms}");
        Self {
            pool,
            begin: Some(begin.into()),
        }
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

impl Shared {
    async fn begin(pool: &PgPool, begin: &str) -> Result<Self, Error> {
        let mut shared = Self(Some(pool.acquire().await?));
        shared.connection()?.execute(begin).await?;
        Ok(shared)
    }

    fn connection(&mut self) -> Result<&mut PgConnection, Error> {
        self.0.as_deref_mut().ok_or(Error::PoolClosed)
    }

    async fn commit(mut self) -> Result<(), Error> {
        self.connection()?.execute("COMMIT").await?;
        // Back to the pool.
        self.0 = None;
        Ok(())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Unnamed<E> {
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

impl<'p> Executor<'p> for &'p Readers {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let Some(begin) = &self.begin else {
            return self.pool.fetch_many(query);
        };
        // Pages of readers are bounded, and the session is given back before they are looked at.
        let answer = async move {
            let mut shared = Shared::begin(&self.pool, begin).await?;
            let rows: Vec<_> = shared
                .connection()?
                .fetch_many(Unnamed(query))
                .try_collect()
                .await?;
            shared.commit().await?;
            Ok::<_, Error>(stream::iter(rows.into_iter().map(Ok)))
        };
        stream::once(answer).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let Some(begin) = &self.begin else {
            return self.pool.fetch_optional(query);
        };
        async move {
            let mut shared = Shared::begin(&self.pool, begin).await?;
            let row = shared.connection()?.fetch_optional(Unnamed(query)).await?;
            shared.commit().await?;
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
