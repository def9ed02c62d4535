//! Reads scenarios from TOML files.

use std::{io, path::Path};

use serde::de::DeserializeOwned;

/// Why a scenario cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    #[error("cannot read {path}: {error}")]
    Unreadable { path: String, error: io::Error },
    #[error("{path} is not a scenario: {reason}")]
    Malformed { path: String, reason: String },
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
