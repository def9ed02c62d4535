//! What can go wrong around the development environment, told so that the reader knows what to do.

use std::{io, path::PathBuf, time::Duration};

use alloy::primitives::B256;

#[derive(Debug, thiserror::Error)]
pub enum DevError {
    #[error("{program} was not found ({looked}): run scripts/setup, which installs it")]
    NotFound {
        program: &'static str,
        looked: String,
    },

    #[error("{program} could not be started: {source}")]
    Spawn {
        program: &'static str,
        source: io::Error,
    },

    #[error("{program} ended unexpectedly ({status}). {log}")]
    Exited {
        program: &'static str,
        status: String,
        /// The last it said, or where to look.
        log: String,
    },

    #[error("{program} was not ready within {waited:?}. {log}")]
    NotReady {
        program: &'static str,
        waited: Duration,
        log: String,
    },

    #[error(
        "port {0} on 127.0.0.1 is taken, so anvil cannot listen there: stop what uses it, or choose another with --anvil-port"
    )]
    PortTaken(u16),

    #[error("could not {doing} {path:?}: {source}")]
    File {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },

    #[error("{0:?} is in use by another chaincast: stop that one, or choose another --data-dir")]
    InUse(PathBuf),

    #[error(
        "the database in {path:?} was made by PostgreSQL {made_by}, which is not installed (found: {found}): install that version, or delete the data dir to start afresh"
    )]
    OtherVersion {
        path: PathBuf,
        made_by: String,
        found: String,
    },

    #[error("the private PostgreSQL refused {doing}: {source}")]
    Database { doing: String, source: sqlx::Error },

    #[error(
        "{0:?} is not a database name: use 1 to 63 of a-z, 0-9 and '_', beginning with a letter"
    )]
    DatabaseName(String),

    #[error("{url:?} is not the URL of a node: {reason}")]
    Url { url: String, reason: String },

    #[error("the node at {url} answered {method} with an error: {reason}")]
    Rpc {
        url: String,
        method: &'static str,
        reason: String,
    },

    #[error("the node at {url} answered {method} with something that cannot be read: {reason}")]
    Answer {
        url: String,
        method: &'static str,
        reason: String,
    },

    #[error(
        "the node at {url} offers {found} unlocked accounts and the demo needs {needed}: demo contracts are for a local anvil"
    )]
    Accounts {
        url: String,
        found: usize,
        needed: usize,
    },

    #[error(
        "cannot reach the node at {url}: {reason}; check that it runs and that the URL is right"
    )]
    Unreachable { url: String, reason: String },

    #[error("transaction {0} is gone: its block was dropped before it was seen")]
    Dropped(B256),

    #[error("transaction {0} was refused by the contract it called")]
    Reverted(B256),

    #[error("transaction {hash} was not mined within {waited:?}")]
    NotMined { hash: B256, waited: Duration },

    #[error(
        "{path:?} is not a record of deployed demo contracts: {reason}. Delete it to deploy anew"
    )]
    Record { path: PathBuf, reason: String },

    #[error("there is no demo {what} for {token:?}; there are {known}")]
    UnknownToken {
        what: &'static str,
        token: String,
        known: String,
    },
}

impl DevError {
    /// For `map_err` on file operations: `could not {doing} {path}`.
    pub(super) fn file(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            doing,
            path,
            source,
        }
    }
}
