//! Assembles the section types that the modules own, from a TOML file, then the environment, then flags.

mod doubts;
mod error;
mod explain;
mod keys;
mod overlay;
mod validate;

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

/// Where a configuration comes from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    pub file: Option<PathBuf>,
    /// Environment variables as (name, value); others than ours are ignored.
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

    /// A file and this process's environment.
    pub fn from_process(file: Option<&Path>) -> Self {
        // Variables that are not UTF-8 cannot be ours.
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
    /// The environment variables that set keys on top of the file, each with its key; later ones win.
    pub fn overrides(&self) -> Vec<(String, String)> {
        overlay::overrides(&self.environment)
    }

    /// The variables that set keys and the keys, for people; `None` without such a variable. Values are not shown.
    pub fn overrides_text(&self) -> Option<String> {
        let overrides = self.overrides().into_iter();
        let listed: Vec<String> = overrides
            .map(|(variable, key)| format!("{variable} ({key})"))
            .collect();
        (!listed.is_empty()).then(|| listed.join(", "))
    }

    /// Without the environment variables of other sections than this one.
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

    /// A file that already took `PORT` and `DATABASE_URL` into account: only our own variables go on top of it.
    pub fn for_dev(file: &Path) -> Self {
        let mut sources = Self::from_process(Some(file));
        sources
            .environment
            .retain(|(name, _)| name.starts_with("CHAINCAST__"));
        sources
    }
}

impl Config {
    /// The chain that `new-block` and requests without `?chain=` mean. A validated configuration has one.
    pub fn first_chain(&self) -> ChainId {
        self.chains.first().map_or(0, |chain| chain.chain_id)
    }

    /// The configured contracts, with what their ABI files say.
    pub fn contracts(&self) -> Result<Vec<Contract>, ConfigError> {
        let chains: Vec<_> = self.chains.iter().map(|chain| chain.chain_id).collect();
        contract::compile(&self.contracts, &chains).map_err(|problems| {
            let shown = problems.into_iter();
            ConfigError::Invalid(
                shown
                    .map(|one| Problem::new(one.key, one.reason.to_string()))
                    .collect(),
            )
        })
    }

    /// Reads, overlays and validates. Every error names the file and line, or the variable, and the key.
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

    /// Reads and overlays; keys and types are right, the values are not looked at.
    pub fn read(sources: &Sources) -> Result<Self, ConfigError> {
        let text = sources.text()?;
        let path = sources.file.clone().unwrap_or_default();
        // The file alone first, so that its errors carry its lines.
        let config = toml::from_str::<Self>(&text).map_err(|error| {
            let misread = misread_entries(&text);
            match misread.is_empty() {
                true => ConfigError::written(&path, &text, &error),
                false => ConfigError::invalid(sources.file.as_deref(), &text, misread),
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
        if let Some(beside) = path.parent() {
            for contract in &mut config.contracts {
                contract.locate(beside);
            }
        }
        Ok(config)
    }
}

/// Entries of `[prices]` that cannot be read. What the reader of the whole file says of them has no line.
fn misread_entries(text: &str) -> Vec<Problem> {
    let file = toml::from_str::<Table>(text);
    let file = file.unwrap_or_default();
    let Some(Value::Table(prices)) = file.get("prices") else {
        return Vec::new();
    };
    let misread = price::misread_entries(prices).into_iter();
    misread
        .map(|(key, message)| {
            let listed: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
            let meant = match listed.as_slice() {
                [_, known @ ..] if message.contains("unknown field") => keys::nearest(&key, known),
                _ => None,
            };
            let message = match meant {
                Some(meant) => format!("{message}; did you mean {meant}?"),
                None => message,
            };
            Problem::new(key, message)
        })
        .collect()
}
