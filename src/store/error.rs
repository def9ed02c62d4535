//! Database errors, translated once at the store's edge.

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::tls;

/// In sqlx's error when the first byte of the answer is none that Postgres gives.
const NO_POSTGRES: &str = "unexpected response from SSLRequest";

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
    #[error("database.reader_url {0}")]
    ReaderUrl(String),
    /// Locks and settings of a session are lost, or are shared with others.
    #[error(
        "database.url leads to a pooler that gives each transaction another session, such as PgBouncer in transaction mode \
         ({0}); writers need sessions of their own: let database.url lead to the server itself, and database.reader_url \
         through the pooler, for readers"
    )]
    Pooler(String),
    /// The server is a standby, which takes no writes: where and what to do. While the database fails over it may be
    /// promoted soon.
    #[error("{0}")]
    Standby(String),
    /// A setting lets nobody write: where, why and what to do.
    #[error("{0}")]
    ReadOnly(String),
    #[error(
        "the database has no chaincast schema: run `chaincast migrate`, or set database.auto_migrate = true"
    )]
    NotMigrated,
    /// Migrations would fail midway, for the tables or the rights that are there: where, why and what to do.
    #[error("{0}")]
    Inapplicable(String),
    #[error("migrations cannot be applied: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Another process has the right to write: which stream, and who.
    #[error("{0}; only one process may write it")]
    Locked(String),
    /// A session of this process is over, but the server has not ended it yet: which stream it wrote.
    #[error(
        "the former session of this process still holds the right to write {0}: the server has not ended it yet"
    )]
    StillHeld(String),
    /// The holder of the right to write hangs or is cut off, and this process may not end its session.
    #[error("{0}")]
    Stuck(String),
    #[error("the lease of {stream} is lost: {reason}")]
    LeaseLost { stream: String, reason: String },
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
        let server = server_of(options);
        let database = database_of(options);
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
                if reason.contains(NO_POSTGRES) {
                    return Self::Unreachable(format!(
                        "what listens at {server} is not Postgres: let {url_name} name the host and port of a Postgres server"
                    ));
                }
                let setting = format!("sslrootcert of {url_name}");
                if let Some(advice) = tls::advice(&reason, &setting) {
                    let also = match options.get_ssl_mode() {
                        PgSslMode::VerifyCa if tls::is_other_name(&reason) => {
                            " (chaincast checks the name with sslmode=verify-ca as with verify-full)"
                        }
                        _ => "",
                    };
                    return Self::Unreachable(format!(
                        "TLS to Postgres at {server} failed: {reason}: {advice}{also}"
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

    /// The server is a standby.
    pub(super) fn standby(url_name: &str, options: &PgConnectOptions) -> Self {
        let server = server_of(options);
        Self::Standby(format!(
            "Postgres at {server} is a standby, which takes no writes: let {url_name} name the primary, or promote this \
             server (SELECT pg_promote()) if the primary is lost"
        ))
    }

    /// `default_transaction_read_only` is on, by that source of `pg_settings`.
    pub(super) fn read_only(url_name: &str, options: &PgConnectOptions, source: &str) -> Self {
        const SETTING: &str = "default_transaction_read_only";
        let (server, database) = (server_of(options), database_of(options));
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
            "Postgres at {server} takes no writes to database {database:?} from user {user:?}: {SETTING} is on ({source}); \
             {undo}, or let {url_name} name a server that takes writes"
        ))
    }

    /// Tables of a schema that are not chaincast's stand where its own would. `ours` are those
    /// that its first migrations have created already.
    pub(super) fn foreign(
        url_name: &str,
        options: &PgConnectOptions,
        schema: &str,
        tables: &[String],
        ours: &[&str],
    ) -> Self {
        let (server, database) = (server_of(options), database_of(options));
        let begun = match ours {
            [] => String::new(),
            ours => format!(
                " Of chaincast, from an earlier attempt, are _sqlx_migrations, {}: drop them if nothing uses them.",
                ours.join(", ")
            ),
        };
        Self::Inapplicable(format!(
            "database {database:?} of Postgres at {server} holds tables of another application where chaincast would create \
             its own, and nothing was written: {} in schema {schema:?}. Let {url_name} name a database of chaincast's own \
             (createdb chaincast), or a schema of its own (CREATE SCHEMA chaincast, then add \
             ?options[search_path]=chaincast to {url_name}).{begun}",
            tables.join(", ")
        ))
    }

    /// The role may not create tables in the schema; none when the search path names no schema that it may use.
    pub(super) fn may_not_create(url_name: &str, options: &PgConnectOptions, schema: &str) -> Self {
        let (server, database) = (server_of(options), database_of(options));
        let user = options.get_username();
        let grant = match schema {
            "" => format!(
                "no schema of the role's search_path exists and may be used: set search_path, or GRANT USAGE, CREATE ON \
                 SCHEMA public TO {user:?}"
            ),
            schema => {
                format!("as the schema's owner, run GRANT CREATE ON SCHEMA {schema:?} TO {user:?}")
            }
        };
        Self::Inapplicable(format!(
            "user {user:?} may not create tables in schema {schema:?} of database {database:?} of Postgres at {server}, and \
             migrations are pending: {grant}; or let {url_name} name a database that the user owns"
        ))
    }

    /// Reading the schema's first table failed: say so when it is because the table is not there.
    pub(super) fn not_migrated(error: sqlx::Error) -> Self {
        const UNDEFINED_TABLE: &str = "42P01";
        match error.as_database_error().and_then(|error| error.code()) {
            Some(code) if code == UNDEFINED_TABLE => Self::NotMigrated,
            _ => Self::Database(error),
        }
    }

    /// Whether trying again later, on a new connection, may help: what an administrator, a disk or a network did may be
    /// undone without this process.
    pub fn is_transient(&self) -> bool {
        self.trouble().is_some()
    }

    /// What keeps the database from working for us, in a word, when waiting may mend it. It is the kind of a failure: a
    /// writer that waits logs each kind once.
    pub fn trouble(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable(_) => Some("unreachable"),
            Self::Locked(_) => Some("standby"),
            Self::StillHeld(_) => Some("still held"),
            Self::Stuck(_) => Some("stuck"),
            Self::LeaseLost { .. } => Some("lease"),
            Self::Silent(_) => Some("silent"),
            Self::Database(error) => match error {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::PoolClosed
                | sqlx::Error::Protocol(_)
                | sqlx::Error::WorkerCrashed => Some("connection"),
                sqlx::Error::PoolTimedOut => Some("connections"),
                sqlx::Error::BeginFailed => Some("transaction"),
                sqlx::Error::Database(error) => trouble_of(error.code().as_deref()?),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether the database is away, closed to us, not set up or overloaded: nothing that the asker did, and it may pass.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::NotMigrated) || self.is_transient()
    }
}

/// Host or socket directory, and port.
fn server_of(options: &PgConnectOptions) -> String {
    options.get_socket().map_or_else(
        || format!("{}:{}", options.get_host(), options.get_port()),
        |socket| format!("{}:{}", socket.display(), options.get_port()),
    )
}

fn database_of(options: &PgConnectOptions) -> &str {
    options.get_database().unwrap_or(options.get_username())
}

/// What is wrong by the code of an error of the server (see "PostgreSQL Error Codes"), where waiting may mend it.
fn trouble_of(code: &str) -> Option<&'static str> {
    match code {
        // Of class 25 a database that only reads: while it fails over, or by default_transaction_read_only.
        "25006" => return Some("read-only"),
        "53100" => return Some("disk full"),
        "53300" => return Some("connections"),
        // A privilege that was revoked may be granted again; the rest of class 42 is wrong for ever.
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
        // A lock that was not to be had within lock_timeout, an object in use.
        "55" => Some("lock"),
        // Shutdown, a statement that was cancelled or took longer than statement_timeout.
        "57" => Some("operator"),
        // Errors of files: the disk.
        "58" => Some("system"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_out_what_an_administrator_or_disk_did() {
        for code in [
            "08006", "25006", "28P01", "28000", "3D000", "40001", "40P01", "42501", "53100",
            "53200", "53300", "53400", "55P03", "55006", "57014", "57P01", "57P03", "57P05",
            "58030", "58P01",
        ] {
            assert!(trouble_of(code).is_some(), "{code}");
        }
    }

    #[test]
    fn ends_with_what_waiting_cannot_mend() {
        for code in [
            "22003", "23505", "26000", "42P01", "42703", "54000", "XX000", "XX001", "", "5",
        ] {
            assert_eq!(trouble_of(code), None, "{code}");
        }
    }

    #[test]
    fn tells_kinds_of_trouble_apart() {
        let kinds = [
            "25006", "28P01", "53100", "53300", "55P03", "57P01", "58030",
        ]
        .map(trouble_of);
        let mut different = kinds.to_vec();
        different.dedup();
        assert_eq!(different.len(), kinds.len());
    }
}
