//! The outcome of a failed command.

use crate::config::ConfigError;

/// Why a command failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Exit code 1.
    Failed(String),
    /// Exit code 2: the command line or the configuration is invalid.
    Usage(String),
}

impl Failure {
    /// Exit code 1, with the text of an error.
    pub(super) fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}
