//! Errors of the development environment, each with a remedy.

use std::{io, path::PathBuf, time::Duration};

use alloy::primitives::B256;

/// Why the environment cannot start, or cannot continue.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// A program that must be installed was not found.
    #[error("{program} not found ({looked}): run scripts/setup to install it")]
    NotFound {
        /// `PostgreSQL` or `anvil`.
        program: &'static str,
        /// What was looked for, and where.
        looked: String,
    },

    /// The operating system cannot start a program.
    #[error("cannot start {program}: {source}")]
    Spawn {
        /// The name of its file, such as `postgres`.
        program: &'static str,
        /// The error of the operating system.
        source: io::Error,
    },

    /// A server ended that was not stopped, or a program that should do its work and end failed.
    #[error("{program} ended unexpectedly ({status}). {log}")]
    Exited {
        /// The name of its file, such as `postgres`.
        program: &'static str,
        /// How it ended, such as `exit status: 1`, or what is known instead.
        status: String,
        /// Its last output.
        log: String,
    },

    /// A server was started, and did not accept connections in time.
    #[error("{program} was not ready within {waited:?}. {log}")]
    NotReady {
        /// The name of its file, such as `postgres`.
        program: &'static str,
        /// The time limit.
        waited: Duration,
        /// Its last output.
        log: String,
    },

    /// Another program listens on the port that was requested for anvil.
    #[error(
        "port {0} on 127.0.0.1 is in use, so anvil cannot listen there: stop the program that uses it, or choose another with --anvil-port"
    )]
    PortTaken(u16),

    /// An operation on a file or directory failed.
    #[error("cannot {operation} {path:?}: {source}")]
    File {
        /// Its verb, which the message puts before the path, such as `create`.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },

    /// A process that still runs uses this data directory or state file.
    #[error("{0:?} is in use by another chaincast: stop that one, or choose another --data-dir")]
    InUse(PathBuf),

    /// The database in the data directory needs a PostgreSQL that is not installed: each major version has its own
    /// format.
    #[error(
        "the database in {path:?} was created by PostgreSQL {cluster_version}, which is not installed (found: {found}): install that version, or delete the data directory to start without data"
    )]
    OtherVersion {
        /// The directory with the database's files.
        path: PathBuf,
        /// The major version that created them.
        cluster_version: String,
        /// The installed major versions, separated by commas.
        found: String,
    },

    /// A connection to the private server or a statement failed.
    #[error("the private PostgreSQL rejected {operation}: {source}")]
    Database {
        /// What failed, as a noun, such as `a connection`.
        operation: String,
        /// The error of the driver or of the server.
        source: sqlx::Error,
    },

    /// A name that [`PrivatePostgres::create_database`](crate::PrivatePostgres::create_database) rejects.
    #[error(
        "{0:?} is not a database name: use 1 to 63 of a-z, 0-9 and '_', beginning with a letter"
    )]
    DatabaseName(String),

    /// The URL of a node has another scheme than `http` or `https`, or cannot be parsed.
    #[error("{url:?} is not a node URL: {reason}")]
    Url {
        /// The URL, without credentials and keys.
        url: String,
        /// What is wrong with it.
        reason: String,
    },

    /// The node answered a request with a JSON-RPC error.
    #[error("the node at {url} returned an error for {method}: {reason}")]
    Rpc {
        /// The node's URL, without credentials and keys.
        url: String,
        /// The JSON-RPC method.
        method: &'static str,
        /// The node's error, possibly truncated.
        reason: String,
    },

    /// The node's answer does not have the form that its method defines.
    #[error("the node at {url} returned an invalid answer for {method}: {reason}")]
    Answer {
        /// The node's URL, without credentials and keys.
        url: String,
        /// The JSON-RPC method.
        method: &'static str,
        /// What is wrong with the answer.
        reason: String,
    },

    /// The node signs for fewer accounts than are needed.
    #[error(
        "the node at {url} has {found} unlocked accounts, but the demo needs {needed}: use a local anvil for the demo contracts"
    )]
    Accounts {
        /// The node's URL, without credentials and keys.
        url: String,
        /// How many `eth_accounts` lists.
        found: usize,
        /// How many are needed.
        needed: usize,
    },

    /// A request got no answer in time, or one that is not from a node: a connection failed, or the HTTP status is an
    /// error.
    #[error(
        "cannot reach the node at {url}: {reason}; check that it is running and that the URL is correct"
    )]
    Unreachable {
        /// The node's URL, without credentials and keys.
        url: String,
        /// What failed.
        reason: String,
    },

    /// The node no longer knows the transaction with this hash, and has no receipt of it.
    #[error("transaction {0} was dropped before its receipt was read")]
    Dropped(B256),

    /// The transaction with this hash was mined and failed.
    #[error("transaction {0} was reverted by the called contract")]
    Reverted(B256),

    /// The node knows the transaction, and did not mine it in time.
    #[error("transaction {hash} was not mined within {waited:?}")]
    NotMined {
        /// The hash of the transaction.
        hash: B256,
        /// The time limit.
        waited: Duration,
    },

    /// `deployment.json` does not contain a [`Deployment`](crate::Deployment), or a deployment cannot be serialized.
    #[error(
        "{path:?} is not a valid record of demo contracts: {reason}; delete it to deploy new ones"
    )]
    Record {
        /// The file.
        path: PathBuf,
        /// The error of the parser.
        reason: String,
    },

    /// The deployment has no such contract for this token.
    #[error("no demo {what} for {token:?}; known: {known}")]
    UnknownToken {
        /// The contract: `token`, `feed` or `pair`.
        what: &'static str,
        /// The symbol of the token.
        token: String,
        /// The symbols of the tokens that have one, separated by commas.
        known: String,
    },
}

impl DevError {
    /// For `map_err` on file operations: `cannot {operation} {path}`.
    pub(super) fn file(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            operation,
            path,
            source,
        }
    }
}
