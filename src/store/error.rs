//! Database errors, translated once at the store's edge.

use sqlx::postgres::PgConnectOptions;

/// What went wrong between chaincast and Postgres.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("database.url is not a Postgres URL: {0}; use postgres://user:password@host:port/name")]
    Url(String),
    #[error(
        "cannot reach Postgres at {host}:{port}, database {database:?}: {reason}; check that it runs and that database.url is right"
    )]
    Unreachable {
        host: String,
        port: u16,
        database: String,
        reason: String,
    },
    #[error(
        "the database has no chaincast schema: run `chaincast migrate`, or set database.auto_migrate = true"
    )]
    NotMigrated,
    #[error("migrations cannot be applied: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    #[error("another process holds the writer lock of {0}; only one may write it")]
    Locked(String),
    #[error("a stored {what} cannot be read: {reason}")]
    Corrupt { what: &'static str, reason: String },
    #[error("{0}")]
    Conflict(String),
    #[error("the database did not answer within {0:?}")]
    Silent(std::time::Duration),
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

impl StoreError {
    pub(super) fn unreachable(options: &PgConnectOptions, error: sqlx::Error) -> Self {
        Self::Unreachable {
            host: options.get_socket().map_or_else(
                || options.get_host().to_owned(),
                |socket| socket.display().to_string(),
            ),
            port: options.get_port(),
            database: options.get_database().unwrap_or_default().to_owned(),
            reason: match error {
                sqlx::Error::PoolTimedOut => "it did not answer in time".to_owned(),
                other => other.to_string(),
            },
        }
    }

    /// Reading the schema's first table failed: say so when it is because the table is not there.
    pub(super) fn not_migrated(error: sqlx::Error) -> Self {
        const UNDEFINED_TABLE: &str = "42P01";
        match error.as_database_error().and_then(|error| error.code()) {
            Some(code) if code == UNDEFINED_TABLE => Self::NotMigrated,
            _ => Self::Database(error),
        }
    }

    /// Whether trying again later, on a new connection, may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Locked(_) | Self::Silent(_) => true,
            Self::Database(error) => match error {
                sqlx::Error::Io(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::Protocol(_)
                | sqlx::Error::WorkerCrashed => true,
                // Classes 08 connection, 25 transaction state (read-only while failing over), 40 rollback (deadlock, serialization), 53 resources, 57 operator (shutdown).
                sqlx::Error::Database(error) => error.code().is_some_and(|code| {
                    ["08", "25", "40", "53", "57"]
                        .iter()
                        .any(|class| code.starts_with(class))
                }),
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether the database is away, closed to us, not set up or overloaded: nothing that the asker did, and it may pass.
    pub fn is_outage(&self) -> bool {
        // 28 authorization, 3D no such database, 55 not in a state to answer; the rest is transient.
        const OUTAGES: [&str; 3] = ["28", "3D", "55"];
        match self {
            Self::NotMigrated | Self::Database(sqlx::Error::Tls(_) | sqlx::Error::BeginFailed) => {
                true
            }
            Self::Database(sqlx::Error::Database(error)) => {
                let outage = |code: &str| OUTAGES.iter().any(|class| code.starts_with(class));
                self.is_transient() || error.code().is_some_and(|code| outage(&code))
            }
            _ => self.is_transient(),
        }
    }
}
