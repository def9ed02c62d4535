//! Builds the configuration from a TOML file, then environment variables, then flags. The modules own the section
//! types.

mod error;
mod line_starts;
mod overlay;
mod sections;
mod validate;
mod warnings;

pub use self::{error::ConfigError, sections::Config};
pub use chaincast_base::settings::Problem;

use std::path::{Path, PathBuf};

use toml::Table;

use chaincast_base::settings::Problems;
use chaincast_evm::contract::{self, Contract};

/// The sources of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    pub file: Option<PathBuf>,
    /// Environment variables as (name, value); only those of chaincast are used.
    pub environment: Vec<(String, String)>,
}

impl Sources {
    fn text(&self) -> Result<String, ConfigError> {
        match &self.file {
            Some(path) => std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
                path: path.clone(),
                error,
            }),
            None => Ok(String::new()),
        }
    }

    /// A file and the environment of this process.
    pub fn from_process(file: Option<&Path>) -> Self {
        // Variables that are not UTF-8 cannot be chaincast's.
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            file: file.map(Path::to_owned),
            environment,
        }
    }
}

impl Sources {
    /// The environment variables that override keys of the file, each with its key; later ones win.
    pub fn overrides(&self) -> Vec<(String, String)> {
        overlay::overrides(&self.environment)
    }

    /// The overriding variables and their keys as text, without values; `None` if there are none.
    pub fn overrides_text(&self) -> Option<String> {
        let overrides = self.overrides().into_iter();
        let listed: Vec<String> = overrides
            .map(|(variable, key)| format!("{variable} ({key})"))
            .collect();
        (!listed.is_empty()).then(|| listed.join(", "))
    }

    /// Drops the environment variables of all other sections.
    pub fn only(mut self, section: &str) -> Self {
        let prefix = format!("{section}.");
        let overrides = self.overrides().into_iter();
        let kept: Vec<String> = overrides
            .filter(|(_, key)| key.starts_with(&prefix))
            .map(|(variable, _)| variable)
            .collect();
        self.environment.retain(|(name, _)| kept.contains(name));
        self
    }

    /// The sources of `chaincast dev`: its file already includes `PORT` and `DATABASE_URL`, so only `CHAINCAST__`
    /// variables override it.
    pub fn for_dev(file: &Path) -> Self {
        let mut sources = Self::from_process(Some(file));
        sources
            .environment
            .retain(|(name, _)| name.starts_with("CHAINCAST__"));
        sources
    }
}

impl Config {
    /// The configured contracts, compiled with their ABI files.
    pub fn contracts(&self) -> Result<Vec<Contract>, ConfigError> {
        let chains: Vec<_> = self.chains.iter().map(|chain| chain.chain_id).collect();
        contract::compile(&self.contracts, &chains).map_err(|problems| {
            let errors = problems.into_iter();
            ConfigError::Invalid(
                errors
                    .map(|one| Problem::new(one.key, one.reason.to_string()))
                    .collect(),
            )
        })
    }

    /// Reads the file, applies the overrides and validates. The error has every problem; each names the key and its file
    /// and line, or its environment variable.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let (config, mut problems) = Self::parse(sources)?;
        validate::check(&config, &mut problems);
        config.or_invalid(sources, problems.into_all())
    }

    /// Reads the file and applies the overrides. Keys and types are checked; values are not.
    pub fn read(sources: &Sources) -> Result<Self, ConfigError> {
        let (config, problems) = Self::parse(sources)?;
        config.or_invalid(sources, problems.into_unreadable())
    }

    fn parse(sources: &Sources) -> Result<(Self, Problems), ConfigError> {
        let text = sources.text()?;
        let path = sources.file.clone().unwrap_or_default();
        let mut table = toml::from_str::<Table>(&text)
            .map_err(|error| ConfigError::parse(&path, &text, &error))?;
        overlay::apply(&mut table, &sources.environment)?;
        let (mut config, problems) = Self::from_table(table);
        if let Some((variable, _)) = sources
            .overrides()
            .iter()
            .rfind(|(_, key)| key == "database.url")
        {
            config.database.url_name.clone_from(variable);
        }
        if let Some(directory) = path.parent() {
            for contract in &mut config.contracts {
                contract.locate(directory);
            }
        }
        Ok((config, problems))
    }

    fn or_invalid(self, sources: &Sources, problems: Vec<Problem>) -> Result<Self, ConfigError> {
        if problems.is_empty() {
            return Ok(self);
        }
        Err(
            ConfigError::invalid(sources.file.as_deref(), &sources.text()?, problems)
                .overridden(&sources.overrides()),
        )
    }
}
