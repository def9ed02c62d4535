//! Errors in configured contracts.

use std::path::PathBuf;

/// An invalid entry of `[[contracts]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractConfigError {
    /// Dotted path such as `contracts.0.events`.
    pub key: String,
    pub reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error(
        "{0:?} is not a valid contract name: use 1 to 64 of a-z, A-Z, 0-9, '_', '-', '.' and '$'"
    )]
    Name(String),
    #[error("{0:?} is the name of another contract; names are compared ignoring case")]
    SameName(String),
    #[error("chain {0} is not among [[chains]]")]
    Chain(u64),
    #[error("needs an address or a factory")]
    NoAddress,
    #[error("has both an address and a factory; use two entries")]
    Both,
    #[error("lists more than {0} addresses")]
    TooMany(usize),
    #[error("must be 1 to {0}")]
    Range(usize),
    #[error(
        "cannot read {}: {error}; relative paths are resolved against the directory of the configuration file, then the working \
         directory", path.display()
    )]
    Unreadable { path: PathBuf, error: String },
    #[error("{} is neither a JSON ABI nor an artifact with `abi` in it: {error}", path.display())]
    NotAbi { path: PathBuf, error: String },
    #[error("the ABI has no event {0:?}; it has {1}")]
    UnknownEvent(String, String),
    #[error("event {0:?} is overloaded; use one of {1}")]
    Overloaded(String, String),
    #[error("the ABI has no events")]
    NoEvents,
    #[error(
        "{0} is anonymous: its logs lack the signature topic and are indistinguishable from other events"
    )]
    Anonymous(String),
    #[error("{0} and {1} would share a channel, whose name ignores case; list only one of them")]
    SameEvent(String, String),
    #[error(
        "{0} is declared twice with the same number of indexed parameters, so their logs are indistinguishable; keep one in the ABI"
    )]
    Ambiguous(String),
    #[error("{0}: {1}")]
    Type(String, String),
    #[error("{1} has no address parameter {0:?}; it has {2}")]
    Parameter(String, String, String),
}
