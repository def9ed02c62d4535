//! Errors in configured contracts.

use std::path::PathBuf;

/// An invalid entry of `[[contracts]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractConfigError {
    /// Dotted path such as `contracts.0.events`.
    pub key: String,
    /// What is wrong; its text is for the operator.
    pub reason: Reason,
}

/// What is wrong with an entry of `[[contracts]]`, as a text for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The name has a character that is not allowed, or is empty or too long.
    #[error(
        "{0:?} is not a valid contract name: use 1 to 64 of a-z, A-Z, 0-9, '_', '-', '.' and '$'"
    )]
    Name(String),
    /// The name is also that of another entry.
    #[error("{0:?} is the name of another contract; names are compared ignoring case")]
    SameName(String),
    /// The EIP-155 id is not that of a configured chain.
    #[error("chain {0} is not among [[chains]]")]
    Chain(u64),
    /// There is no address, and no factory.
    #[error("needs an address or a factory")]
    NoAddress,
    /// There is an address, and a factory.
    #[error("has both an address and a factory; use two entries")]
    Both,
    /// There are more addresses than this.
    #[error("lists more than {0} addresses")]
    TooMany(usize),
    /// The number is not in the range that ends here.
    #[error("must be 1 to {0}")]
    Range(usize),
    /// The ABI file cannot be read.
    #[error(
        "cannot read {}: {error}; relative paths are resolved against the directory of the configuration file, then the working \
         directory", path.display()
    )]
    Unreadable {
        /// The file, as configured or found.
        path: PathBuf,
        /// The error of the operating system, or that the file is too large.
        error: String,
    },
    /// The ABI file has another content.
    #[error("{} is neither a JSON ABI nor an artifact with `abi` in it: {error}", path.display())]
    NotAbi {
        /// The file.
        path: PathBuf,
        /// The error of the parser.
        error: String,
    },
    /// The event that is listed, and the events of the ABI.
    #[error("the ABI has no event {0:?}; it has {1}")]
    UnknownEvent(String, String),
    /// The name of several events, and their signatures.
    #[error("event {0:?} is overloaded; use one of {1}")]
    Overloaded(String, String),
    /// There is no event to decode.
    #[error("the ABI has no events")]
    NoEvents,
    /// The signature of an event without a signature topic.
    #[error(
        "{0} is anonymous: its logs lack the signature topic and are indistinguishable from other events"
    )]
    Anonymous(String),
    /// The names of two events that differ in case only.
    #[error("{0} and {1} would share a channel, whose name ignores case; list only one of them")]
    SameEvent(String, String),
    /// The signature of two events.
    #[error(
        "{0} is declared twice with the same number of indexed parameters, so their logs are indistinguishable; keep one in the ABI"
    )]
    Ambiguous(String),
    /// The signature of an event that cannot be decoded, and why.
    #[error("{0}: {1}")]
    Type(String, String),
    /// The parameter that is configured, the signature of the event, and its parameters.
    #[error("{1} has no address parameter {0:?}; it has {2}")]
    Parameter(String, String, String),
}
