//! Reads scenarios from TOML files.

use std::{io, path::Path};

use serde::de::DeserializeOwned;

/// Why a scenario cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// The file.
        path: String,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The file is not TOML, or its keys and values are not those of a scenario.
    #[error("{path} is not a scenario: {reason}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong, and the line.
        reason: String,
    },
}

/// Reads a file. Errors name the problem and its line.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, ScenarioError> {
    let shown = || path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| ScenarioError::Unreadable {
        path: shown(),
        error,
    })?;
    toml::from_str(&text).map_err(|error| ScenarioError::Malformed {
        path: shown(),
        reason: error.to_string(),
    })
}
