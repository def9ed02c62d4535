//! What is wrong with a configured contract.

use std::path::PathBuf;

/// Why an entry of `[[contracts]]` was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractProblem {
    /// Dotted path such as `contracts.0.events`.
    pub key: String,
    pub reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("{0:?} is no name for a contract: use 1 to 64 of a-z, A-Z, 0-9, '_', '-', '.' and '$'")]
    Name(String),
    #[error("{0:?} is the name of another contract; names are the same in any case")]
    SameName(String),
    #[error("chain {0} is not among [[chains]]")]
    Chain(u64),
    #[error("needs an address, or a factory that announces addresses")]
    NoAddress,
    #[error("has both an address and a factory; make two contracts of it")]
    Both,
    #[error("lists more than {0} addresses")]
    TooMany(usize),
    #[error("must be 1 to {0}")]
    Range(usize),
    #[error(
        "{} cannot be read: {error}; a relative path is looked for beside the configuration file, then in the working \
         directory", path.display()
    )]
    Unreadable { path: PathBuf, error: String },
    #[error("{} is neither a JSON ABI nor an artifact with `abi` in it: {error}", path.display())]
    NotAbi { path: PathBuf, error: String },
    #[error("{0:?} is not an event of the ABI, which has {1}")]
    UnknownEvent(String, String),
    #[error("{0:?} is overloaded: write one of {1}")]
    Overloaded(String, String),
    #[error("the ABI has no events")]
    NoEvents,
    #[error(
        "{0} is anonymous: without its signature as first topic its logs look like those of other events"
    )]
    Anonymous(String),
    #[error(
        "{0} and {1} would share the channel of their name, which is the same in any case; list one of them"
    )]
    SameEvent(String, String),
    #[error(
        "{0} is declared twice, with as many indexed parameters but others: no log tells them apart; keep one in the ABI"
    )]
    Alike(String),
    #[error("{0}: {1}")]
    Type(String, String),
    #[error("{0:?} is not a parameter of type address of {1}, which has {2}")]
    Parameter(String, String, String),
}
