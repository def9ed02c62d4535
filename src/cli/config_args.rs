//! The arguments of commands that read the configuration.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Config, ConfigError, Sources};

#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// Configuration file (TOML); config/default.toml documents every key
    #[arg(long, value_name = "FILE")]
    pub(super) config: PathBuf,
}

impl ConfigArgs {
    /// Reads and validates the configuration.
    pub(super) fn load(&self) -> Result<Config, ConfigError> {
        Config::load(&Sources::from_process(Some(&self.config)))
    }
}
