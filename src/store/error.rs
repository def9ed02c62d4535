//! Database errors, translated once at the store's edge.

use sqlx::postgres::PgConnectOptions;

use crate::tls;

/// What went wrong between chaincast and Postgres.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("database.url is not a Postgres URL: {0}; use postgres://user:password@host:port/name")]
    Url(String),
    #[error(
        "{parameter} of database.url names {path}, which cannot be used: {reason}; it is to be a PEM file that this process may read"
    )]
    Certificate {
        parameter: &'static str,
        path: String,
        reason: String,
    },
    /// No connection could be made: why, where, and what to do.
    #[error("{0}")]
    Unreachable(String),
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
    /// A connection could not be made. A server that answers and refuses is told apart from one that cannot be reached.
    pub(super) fn unreachable(options: &PgConnectOptions, error: sqlx::Error) -> Self {
        Self::unreachable_by("database.url", options, error)
    }

    /// As [`StoreError::unreachable`], naming where the URL was set.
    pub(super) fn unreachable_by(
        url_name: &str,
        options: &PgConnectOptions,
        error: sqlx::Error,
    ) -> Self {
        let server = options.get_socket().map_or_else(
            || format!("{}:{}", options.get_host(), options.get_port()),
            |socket| format!("{}:{}", socket.display(), options.get_port()),
        );
        let database = options.get_database().unwrap_or(options.get_username());
        let (user, reason) = (options.get_username(), &error);
        let code = error.as_database_error().and_then(|error| error.code());
        Self::Unreachable(match code.as_deref() {
            Some("28P01") => format!(
                "Postgres at {server} refused the password of user {user:?}: check {url_name}"
            ),
            Some(code) if code.starts_with("28") => format!(
                "Postgres at {server} refused user {user:?} on database {database:?}: {reason}; check {url_name} and the server's pg_hba.conf"
            ),
            Some("3D000") => format!(
                "Postgres at {server} has no database {database:?}: create it (createdb {database}), or name another in \
                 {url_name}"
            ),
            Some("42501") => format!(
                "Postgres at {server} does not let user {user:?} connect to database {database:?}: {reason}; grant CONNECT, or \
                 change {url_name}"
            ),
            Some(code) if code.starts_with("53") => format!(
                "Postgres at {server} has no room for another connection: {reason}; raise its max_connections, or lower \
                 database.max_connections"
            ),
            Some("57P03") => {
                format!(
                    "Postgres at {server} takes no connections yet: {reason}; wait until it has started"
                )
            }
            Some(_) => format!(
                "Postgres at {server} refused the connection to database {database:?}: {reason}"
            ),
            None => {
                let reason = match &error {
                    sqlx::Error::PoolTimedOut => "it did not answer in time".to_owned(),
                    other => other.to_string(),
                };
                let setting = format!("sslrootcert of {url_name}");
                if let Some(advice) = tls::advice(&reason, &setting) {
                    return Self::Unreachable(format!(
                        "TLS to Postgres at {server} failed: {reason}: {advice}"
                    ));
                }
                if reason.contains("does not support TLS") {
                    return Self::Unreachable(format!(
                        "Postgres at {server} does not support TLS, which sslmode of {url_name} demands: set ssl = on in \
                         its postgresql.conf, or another sslmode"
                    ));
                }
                format!(
                    "cannot reach Postgres at {server}, database {database:?}: {reason}; check that it runs and that \
                     {url_name} is right"
                )
            }
        })
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
            Self::Unreachable(_) | Self::Locked(_) | Self::Silent(_) => true,
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
