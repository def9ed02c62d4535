//! Database errors, translated once, at the boundary of the store.

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use chaincast_base::tls;

/// Part of sqlx's error when the server's first byte is not a Postgres reply.
const NO_POSTGRES: &str = "unexpected response from SSLRequest";

/// A failure of a database operation.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// `database.url` cannot be parsed. The text is the reason.
    #[error("database.url is not a Postgres URL: {0}; use postgres://user:password@host:port/name")]
    Url(String),
    /// A TLS file named by `database.url`, or by the environment variable of the parameter, cannot be used.
    #[error(
        "{parameter} of database.url names {path}, which cannot be used: {reason}; it must be a PEM file that this \
         process can read"
    )]
    Certificate {
        /// `sslrootcert`, `sslcert` or `sslkey`.
        parameter: &'static str,
        /// The path as written there.
        path: String,
        /// Why the file cannot be used, human-readable.
        reason: String,
    },
    /// No connection could be made. The text states the cause, the server and what to do.
    #[error("{0}")]
    Unreachable(String),
    /// `database.reader_url` cannot be used. The text continues the sentence that begins with this key.
    #[error("database.reader_url {0}")]
    ReaderUrl(String),
    /// Behind a transaction pooler, locks and settings of a Postgres session are lost or shared with other clients.
    #[error(
        "database.url leads to a transaction pooler, such as PgBouncer in transaction mode ({0}); writers need \
         dedicated Postgres sessions: point database.url at the server itself, and database.reader_url at the pooler"
    )]
    Pooler(String),
    /// The server is a standby, which is read-only. The text states the server and what to do. It may be promoted soon
    /// during a failover.
    #[error("{0}")]
    Standby(String),
    /// A setting makes transactions read-only. The text states the server, the setting and what to do.
    #[error("{0}")]
    ReadOnly(String),
    /// The tables do not exist.
    #[error(
        "the database has no chaincast schema: run `chaincast migrate`, or set database.auto_migrate = true"
    )]
    NotMigrated,
    /// The migrations would fail midway because of existing tables or missing privileges. The text states where, why
    /// and what to do.
    #[error("{0}")]
    Inapplicable(String),
    /// A migration failed, or the applied migrations are not those of this version.
    #[error("migrations cannot be applied: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Another process holds the lock of a stream. The text names the stream and the holder.
    #[error("{0}; only one process may write it")]
    Locked(String),
    /// A former Postgres session of this process still holds the lock of this stream: the server has not ended it yet.
    #[error(
        "a former Postgres session of this process still holds the lock of {0}: the server has not ended it yet"
    )]
    StillHeld(String),
    /// The holder of the lock hangs or is cut off, and this role may not terminate its Postgres session.
    #[error("{0}")]
    Stuck(String),
    /// This process may no longer write a stream: its lease expired, another session holds a later term, or the writer
    /// ended.
    #[error("the lease of {stream} is lost: {reason}")]
    LeaseLost {
        /// The stream, as [`Stream`](super::writer::Stream) displays it.
        stream: String,
        /// The first cause, human-readable.
        reason: String,
    },
    /// A stored value is not one that this version writes: it was changed by other means, or by a newer version.
    #[error("cannot read a stored {what}: {reason}")]
    Corrupt {
        /// The kind of row or value.
        what: &'static str,
        /// Which part of it cannot be read, and why.
        reason: String,
    },
    /// The data to store contradicts what is stored, or does not fit its column; a retry cannot help. The text has the
    /// details.
    #[error("{0}")]
    Conflict(String),
    /// There was no answer within this time. Whether a write was applied is unknown.
    #[error("the database did not answer within {0:?}")]
    Timeout(std::time::Duration),
    /// Any other failure of Postgres or of the connection.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

impl StoreError {
    /// Builds the error for a failed connection. Distinguishes a server that rejects the connection from one that
    /// cannot be reached.
    pub(super) fn unreachable(options: &PgConnectOptions, error: sqlx::Error) -> Self {
        Self::unreachable_by("database.url", options, error)
    }

    /// Like [`StoreError::unreachable`], and names the setting that holds the URL.
    pub(super) fn unreachable_by(
        url_name: &str,
        options: &PgConnectOptions,
        error: sqlx::Error,
    ) -> Self {
        let server = server_address(options);
        let database = database_name(options);
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
                "Postgres at {server} has no free connection slot: {reason}; raise its max_connections, or lower \
                 database.max_connections"
            ),
            Some("57P03") => {
                format!(
                    "Postgres at {server} does not accept connections yet: {reason}; wait until it has started"
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
                if reason.contains(NO_POSTGRES) {
                    return Self::Unreachable(format!(
                        "the server at {server} is not Postgres: set {url_name} to the host and port of a Postgres \
                         server"
                    ));
                }
                let setting = format!("sslrootcert of {url_name}");
                if let Some(advice) = tls::advice(&reason, &setting) {
                    let also = match options.get_ssl_mode() {
                        PgSslMode::VerifyCa if tls::is_other_name(&reason) => {
                            " (chaincast also checks the host name with sslmode=verify-ca, as with verify-full)"
                        }
                        _ => "",
                    };
                    return Self::Unreachable(format!(
                        "TLS to Postgres at {server} failed: {reason}: {advice}{also}"
                    ));
                }
                if reason.contains("does not support TLS") {
                    return Self::Unreachable(format!(
                        "Postgres at {server} does not support TLS, which sslmode in {url_name} requires: set ssl = on \
                         in its postgresql.conf, or use another sslmode"
                    ));
                }
                format!(
                    "cannot reach Postgres at {server}, database {database:?}: {reason}; check that it runs and that \
                     {url_name} is right"
                )
            }
        })
    }

    /// Builds the error for a server that is a standby.
    pub(super) fn standby(url_name: &str, options: &PgConnectOptions) -> Self {
        let server = server_address(options);
        Self::Standby(format!(
            "Postgres at {server} is a standby, which is read-only: point {url_name} at the primary, or promote this \
             server (SELECT pg_promote()) if the primary is lost"
        ))
    }

    /// Builds the error for `default_transaction_read_only = on`; `source` is the column of `pg_settings`.
    pub(super) fn read_only(url_name: &str, options: &PgConnectOptions, source: &str) -> Self {
        const SETTING: &str = "default_transaction_read_only";
        let (server, database) = (server_address(options), database_name(options));
        let user = options.get_username();
        let undo = match source {
            "user" => format!("ALTER ROLE {user:?} RESET {SETTING}"),
            "database" => format!("ALTER DATABASE {database:?} RESET {SETTING}"),
            "database user" => {
                format!("ALTER ROLE {user:?} IN DATABASE {database:?} RESET {SETTING}")
            }
            "client" => format!("remove {SETTING} from {url_name} or PGOPTIONS"),
            _ => format!("set {SETTING} = off in the server's postgresql.conf and reload it"),
        };
        Self::ReadOnly(format!(
            "Postgres at {server} rejects writes to database {database:?} from user {user:?}: {SETTING} is on \
             ({source}); {undo}, or point {url_name} at a server that accepts writes"
        ))
    }

    /// Builds the error for tables of another application with names that chaincast's migrations create. `ours` are
    /// tables that an earlier attempt created.
    pub(super) fn foreign_tables(
        url_name: &str,
        options: &PgConnectOptions,
        schema: &str,
        tables: &[String],
        ours: &[&str],
    ) -> Self {
        let (server, database) = (server_address(options), database_name(options));
        let begun = match ours {
            [] => String::new(),
            ours => format!(
                " An earlier attempt of chaincast created _sqlx_migrations, {}: drop them if nothing uses them.",
                ours.join(", ")
            ),
        };
        Self::Inapplicable(format!(
            "database {database:?} of Postgres at {server} contains tables of another application with names that \
             chaincast needs: {} in schema {schema:?}; nothing was written. Point {url_name} at a separate database \
             (createdb chaincast), or at a separate schema (CREATE SCHEMA chaincast, then add \
             ?options[search_path]=chaincast to {url_name}).{begun}",
            tables.join(", ")
        ))
    }

    /// Builds the error for a missing CREATE privilege. `schema` is empty when the search path has no usable schema.
    pub(super) fn cannot_create_tables(
        url_name: &str,
        options: &PgConnectOptions,
        schema: &str,
    ) -> Self {
        let (server, database) = (server_address(options), database_name(options));
        let user = options.get_username();
        let grant = match schema {
            "" => format!(
                "the role's search_path contains no usable schema: set search_path, or GRANT USAGE, CREATE ON SCHEMA \
                 public TO {user:?}"
            ),
            schema => {
                format!("as the schema's owner, run GRANT CREATE ON SCHEMA {schema:?} TO {user:?}")
            }
        };
        Self::Inapplicable(format!(
            "user {user:?} may not create tables in schema {schema:?} of database {database:?} on Postgres at \
             {server}, and migrations are pending: {grant}; or point {url_name} at a database that the user owns"
        ))
    }

    /// Translates a failed read of the schema's first table: [`StoreError::NotMigrated`] if the table does not exist.
    pub(super) fn not_migrated(error: sqlx::Error) -> Self {
        const UNDEFINED_TABLE: &str = "42P01";
        match error.as_database_error().and_then(|error| error.code()) {
            Some(code) if code == UNDEFINED_TABLE => Self::NotMigrated,
            _ => Self::Database(error),
        }
    }

    /// Whether a retry on a new connection may succeed: an administrator, a disk or a network may recover without a
    /// restart of this process.
    pub fn is_transient(&self) -> bool {
        self.failure_kind().is_some()
    }

    /// The kind of a transient failure, in one or two words; `None` if a retry cannot help. A writer that retries logs
    /// each kind once.
    pub fn failure_kind(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable(_) => Some("unreachable"),
            Self::Locked(_) => Some("standby"),
            Self::StillHeld(_) => Some("still held"),
            Self::Stuck(_) => Some("stuck"),
            Self::LeaseLost { .. } => Some("lease"),
            Self::Timeout(_) => Some("silent"),
            Self::Database(error) => match error {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::PoolClosed
                | sqlx::Error::Protocol(_)
                | sqlx::Error::WorkerCrashed => Some("connection"),
                sqlx::Error::PoolTimedOut => Some("connections"),
                sqlx::Error::BeginFailed => Some("transaction"),
                sqlx::Error::Database(error) => failure_kind_of_code(error.code().as_deref()?),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether the database is unreachable, not set up, overloaded or rejects this process: the caller is not at fault,
    /// and a retry may succeed.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::NotMigrated) || self.is_transient()
    }
}

/// Host or socket directory, and port.
fn server_address(options: &PgConnectOptions) -> String {
    options.get_socket().map_or_else(
        || format!("{}:{}", options.get_host(), options.get_port()),
        |socket| format!("{}:{}", socket.display(), options.get_port()),
    )
}

fn database_name(options: &PgConnectOptions) -> &str {
    options.get_database().unwrap_or(options.get_username())
}

/// The kind of a transient failure by its SQLSTATE (see "PostgreSQL Error Codes").
fn failure_kind_of_code(code: &str) -> Option<&'static str> {
    match code {
        // Class 25, read-only transaction: during a failover, or because of `default_transaction_read_only`.
        "25006" => return Some("read-only"),
        "53100" => return Some("disk full"),
        "53300" => return Some("connections"),
        // A revoked privilege may be granted again; the rest of class 42 is permanent.
        "42501" => return Some("privilege"),
        _ => {}
    }
    match code.get(..2)? {
        "08" => Some("connection"),
        "25" => Some("transaction"),
        "28" => Some("authorization"),
        "3D" => Some("no database"),
        // Deadlocks and serialization.
        "40" => Some("rollback"),
        "53" => Some("resources"),
        // A lock not acquired within lock_timeout, or an object in use.
        "55" => Some("lock"),
        // Shutdown, a canceled statement, or statement_timeout.
        "57" => Some("operator"),
        // Disk and file errors.
        "58" => Some("system"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_after_administrator_and_disk_errors() {
        for code in [
            "08006", "25006", "28P01", "28000", "3D000", "40001", "40P01", "42501", "53100",
            "53200", "53300", "53400", "55P03", "55006", "57014", "57P01", "57P03", "57P05",
            "58030", "58P01",
        ] {
            assert!(failure_kind_of_code(code).is_some(), "{code}");
        }
    }

    #[test]
    fn does_not_retry_permanent_errors() {
        for code in [
            "22003", "23505", "26000", "42P01", "42703", "54000", "XX000", "XX001", "", "5",
        ] {
            assert_eq!(failure_kind_of_code(code), None, "{code}");
        }
    }

    #[test]
    fn distinguishes_kinds_of_failure() {
        let kinds = [
            "25006", "28P01", "53100", "53300", "55P03", "57P01", "58030",
        ]
        .map(failure_kind_of_code);
        let mut different = kinds.to_vec();
        different.dedup();
        assert_eq!(different.len(), kinds.len());
    }
}
