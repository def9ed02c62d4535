//! Builds the configuration from a TOML file, then environment variables, then flags. The modules own the section
//! types.

mod error;
mod explain;
mod keys;
mod overlay;
mod validate;
mod warnings;

pub use error::{ConfigError, Problem};

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use crate::{
    api::ApiConfig,
    bus::BusConfig,
    gateway::GatewayConfig,
    model::ChainId,
    server::ServerConfig,
    source::chain::ChainConfig,
    source::contract::{self, Contract, ContractConfig},
    source::price::{self, PriceConfig},
    store::StoreConfig,
    telemetry::TelemetryConfig,
};

/// The whole configuration. `config/default.toml` documents every key.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub server: ServerConfig,
    pub database: StoreConfig,
    pub chains: Vec<ChainConfig>,
    pub contracts: Vec<ContractConfig>,
    pub prices: PriceConfig,
    pub bus: BusConfig,
    pub gateway: GatewayConfig,
    pub api: ApiConfig,
    pub telemetry: TelemetryConfig,
}

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
    /// The default chain: of `new-block`, and of requests without `?chain=`. A valid configuration has at least one.
    pub fn first_chain(&self) -> ChainId {
        self.chains.first().map_or(0, |chain| chain.chain_id)
    }

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

    /// Reads the file, applies the overrides and validates. Every error names the key and its file and line, or its
    /// environment variable.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let config = Self::read(sources)?;
        let problems = validate::problems(&config);
        if problems.is_empty() {
            return Ok(config);
        }
        Err(
            ConfigError::invalid(sources.file.as_deref(), &sources.text()?, problems)
                .overridden(&overlay::overrides(&sources.environment)),
        )
    }

    /// Reads the file and applies the overrides. Keys and types are checked; values are not.
    pub fn read(sources: &Sources) -> Result<Self, ConfigError> {
        let text = sources.text()?;
        let path = sources.file.clone().unwrap_or_default();
        // Parse the file alone first, so that errors have line numbers.
        let config = toml::from_str::<Self>(&text).map_err(|error| {
            let unreadable = unreadable_entries(&text);
            match unreadable.is_empty() {
                true => ConfigError::parse(&path, &text, &error),
                false => ConfigError::invalid(sources.file.as_deref(), &text, unreadable),
            }
        })?;
        let mut config = overlay::apply(config, &text, &sources.environment)?;
        if let Some((variable, _)) = sources
            .overrides()
            .iter()
            .rfind(|(_, key)| key == "database.url")
        {
            config.database.url_name = variable.clone();
        }
        if let Some(directory) = path.parent() {
            for contract in &mut config.contracts {
                contract.locate(directory);
            }
        }
        Ok(config)
    }
}

/// Entries of `[prices]` that cannot be parsed. The errors of the whole-file parser have no line for them.
fn unreadable_entries(text: &str) -> Vec<Problem> {
    let file = toml::from_str::<Table>(text);
    let file = file.unwrap_or_default();
    let Some(Value::Table(prices)) = file.get("prices") else {
        return Vec::new();
    };
    let unreadable = price::unreadable_entries(prices).into_iter();
    unreadable
        .map(|(key, message)| {
            let listed: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
            let suggestion = match listed.as_slice() {
                [_, known @ ..] if message.contains("unknown field") => keys::nearest(&key, known),
                _ => None,
            };
            let message = match suggestion {
                Some(suggestion) => format!("{message}; did you mean {suggestion}?"),
                None => message,
            };
            Problem::new(key, message)
        })
        .collect()
}
