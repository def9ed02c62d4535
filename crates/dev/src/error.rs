//! Errors of the development environment, each with a remedy.

use std::{io, path::PathBuf, time::Duration};

use alloy::primitives::B256;

#[derive(Debug, thiserror::Error)]
pub enum DevError {
    #[error("{program} not found ({looked}): run scripts/setup to install it")]
    NotFound {
        program: &'static str,
        looked: String,
    },

    #[error("cannot start {program}: {source}")]
    Spawn {
        program: &'static str,
        source: io::Error,
    },

    #[error("{program} ended unexpectedly ({status}). {log}")]
    Exited {
        program: &'static str,
        status: String,
        /// Its last output.
        log: String,
    },

    #[error("{program} was not ready within {waited:?}. {log}")]
    NotReady {
        program: &'static str,
        waited: Duration,
        log: String,
    },

    #[error(
        "port {0} on 127.0.0.1 is in use, so anvil cannot listen there: stop the program that uses it, or choose another with --anvil-port"
    )]
    PortTaken(u16),

    #[error("cannot {operation} {path:?}: {source}")]
    File {
        operation: &'static str,
        path: PathBuf,
        source: io::Error,
    },

    #[error("{0:?} is in use by another chaincast: stop that one, or choose another --data-dir")]
    InUse(PathBuf),

    #[error(
        "the database in {path:?} was created by PostgreSQL {cluster_version}, which is not installed (found: {found}): install that version, or delete the data directory to start without data"
    )]
    OtherVersion {
        path: PathBuf,
        cluster_version: String,
        found: String,
    },

    #[error("the private PostgreSQL rejected {operation}: {source}")]
    Database {
        operation: String,
        source: sqlx::Error,
    },

    #[error(
        "{0:?} is not a database name: use 1 to 63 of a-z, 0-9 and '_', beginning with a letter"
    )]
    DatabaseName(String),

    #[error("{url:?} is not a node URL: {reason}")]
    Url { url: String, reason: String },

    #[error("the node at {url} returned an error for {method}: {reason}")]
    Rpc {
        url: String,
        method: &'static str,
        reason: String,
    },

    #[error("the node at {url} returned an invalid answer for {method}: {reason}")]
    Answer {
        url: String,
        method: &'static str,
        reason: String,
    },

    #[error(
        "the node at {url} has {found} unlocked accounts, but the demo needs {needed}: use a local anvil for the demo contracts"
    )]
    Accounts {
        url: String,
        found: usize,
        needed: usize,
    },

    #[error(
        "cannot reach the node at {url}: {reason}; check that it is running and that the URL is correct"
    )]
    Unreachable { url: String, reason: String },

    #[error("transaction {0} was dropped before its receipt was read")]
    Dropped(B256),

    #[error("transaction {0} was reverted by the called contract")]
    Reverted(B256),

    #[error("transaction {hash} was not mined within {waited:?}")]
    NotMined { hash: B256, waited: Duration },

    #[error(
        "{path:?} is not a valid record of demo contracts: {reason}; delete it to deploy new ones"
    )]
    Record { path: PathBuf, reason: String },

    #[error("no demo {what} for {token:?}; known: {known}")]
    UnknownToken {
        what: &'static str,
        token: String,
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
