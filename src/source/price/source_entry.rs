//! Parses the entries of `[prices]` from TOML tables, with errors that name the key.
//!
//! serde cannot deny unknown keys of a flattened enum, so a source is read as a table: the common keys are taken out,
//! and the kind reads the rest. This loses line numbers; [`unreadable_entries`] reports key paths instead.

use std::fmt;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{SourceConfig, SourceKind, TokenConfig, Unit};
use crate::model::Token;

/// Every kind that [`SourceKind::read`] knows, for error messages.
const KINDS: &str = "chainlink, uniswap-v2, uniswap-v3, pyth, http, binance, coinbase, kraken";
/// Keys common to all kinds.
const COMMON_KEYS: &str = "`kind`, `token`, `name`, `max_age_ms`, `scale`, `invert`";
/// Keys whose values may contain secrets: errors do not repeat the value.
const SECRET_KEYS: [&str; 3] = ["url", "key", "headers"];
/// Keys whose values are addresses.
const ADDRESS_KEYS: [&str; 3] = ["address", "token0", "token1"];
/// Prefix of serde's message for an unknown key, which includes the key.
const UNKNOWN_KEY: &str = "unknown field";

/// An invalid source entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{label}: {error}")]
pub struct SourceKeysError {
    label: SourceLabel,
    error: KeyError,
}

/// Identifies a source entry in messages.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SourceLabel {
    kind: Option<String>,
    name: Option<String>,
    token: Option<Token>,
}

/// An invalid key and the reason; no key if the whole entry is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
struct KeyError {
    key: Option<String>,
    reason: String,
}

/// All invalid entries of `[[prices.tokens]]` and `[[prices.sources]]` in the table `[prices]`, and either of the two
/// if it is not a list: the dotted path (entries count from 0) and the reason.
pub fn unreadable_entries(prices: &Table) -> Vec<(String, String)> {
    let mut unreadable = Vec::new();
    for (at, entry) in entries(prices, "tokens", &mut unreadable) {
        if let Err(error) = read::<TokenConfig>(Value::Table(entry.clone())) {
            let symbol = entry.get("symbol").and_then(Value::as_str);
            let symbol = symbol.map_or_else(String::new, |symbol| format!(" ({symbol})"));
            let message = format!("prices.tokens entry {}{symbol}: {}", at + 1, error.reason);
            unreadable.push((error.path_in(&format!("prices.tokens.{at}")), message));
        }
    }
    for (at, entry) in entries(prices, "sources", &mut unreadable) {
        if let Err(SourceKeysError { label, error }) = SourceConfig::try_from(entry.clone()) {
            let name = label.name.or(label.kind);
            let place = match (name, label.token) {
                (Some(name), Some(token)) => format!(" ({name:?} of {token})"),
                (Some(name), None) => format!(" ({name:?})"),
                (None, Some(token)) => format!(" (of {token})"),
                (None, None) => String::new(),
            };
            let message = format!("prices.sources entry {}{place}: {}", at + 1, error.reason);
            unreadable.push((error.path_in(&format!("prices.sources.{at}")), message));
        }
    }
    unreadable
}

/// The entries of a list that are tables, with their positions. Other values are added to `unreadable` by type only:
/// the value may be a secret.
fn entries<'a>(
    prices: &'a Table,
    list: &str,
    unreadable: &mut Vec<(String, String)>,
) -> Vec<(usize, &'a Table)> {
    let path = format!("prices.{list}");
    let entries = match prices.get(list) {
        None => return Vec::new(),
        Some(Value::Array(entries)) => entries,
        Some(_) => {
            let error = format!("is a list: write [[{path}]] above each of its entries");
            unreadable.push((path, error));
            return Vec::new();
        }
    };
    let mut tables = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        if let Value::Table(table) = entry {
            tables.push((at, table));
        } else {
            let (position, given) = (at + 1, entry.type_str());
            let error = format!(
                "{path} entry {position}: must be a table, not of type {given}: write [[{path}]] above its keys"
            );
            unreadable.push((format!("{path}.{at}"), error));
        }
    }
    tables
}

impl TryFrom<Table> for SourceConfig {
    type Error = SourceKeysError;

    fn try_from(table: Table) -> Result<Self, Self::Error> {
        let text = |key: &str| table.get(key).and_then(Value::as_str);
        let label = SourceLabel {
            kind: text("kind").map(str::to_owned),
            name: text("name").map(str::to_owned),
            token: text("token").and_then(|token| token.parse().ok()),
        };
        source(table).map_err(|error| SourceKeysError { label, error })
    }
}

fn source(mut table: Table) -> Result<SourceConfig, KeyError> {
    let kind: String = take_required(&mut table, "kind")?;
    let token = take_required(&mut table, "token")?;
    let name = take(&mut table, "name")?;
    let max_age_ms = take(&mut table, "max_age_ms")?;
    let unit = Unit {
        scale: take(&mut table, "scale")?,
        invert: take(&mut table, "invert")?.unwrap_or_default(),
    };
    let kind = SourceKind::read(&kind, table)?;
    Ok(SourceConfig {
        token,
        name,
        max_age_ms: max_age_ms.unwrap_or_else(|| kind.default_max_age_ms()),
        unit,
        kind,
    })
}

impl SourceKind {
    /// Parses the keys of a kind.
    fn read(kind: &str, mut keys: Table) -> Result<Self, KeyError> {
        if let Some(Value::String(url)) = keys.get_mut("url") {
            lower_scheme(url);
        }
        let keys = Value::Table(keys);
        let read = match kind {
            "chainlink" => read(keys).map(Self::Chainlink),
            "uniswap-v2" => read(keys).map(Self::UniswapV2),
            "uniswap-v3" => read(keys).map(Self::UniswapV3),
            "pyth" => read(keys).map(Self::Pyth),
            "http" => read(keys).map(|page| Self::Http(Box::new(page))),
            "binance" => read(keys).map(Self::Binance),
            "coinbase" => read(keys).map(Self::Coinbase),
            "kraken" => read(keys).map(Self::Kraken),
            _ => {
                return Err(KeyError::with(
                    "kind",
                    format!("unknown kind {kind:?}; use one of {KINDS}"),
                ));
            }
        };
        read.map_err(|mut error| {
            if error.reason.starts_with(UNKNOWN_KEY) {
                error.reason += &format!("; all sources also accept {COMMON_KEYS}");
            }
            error
        })
    }
}

/// Schemes are case-insensitive, but the WebSocket client accepts lower case only.
fn lower_scheme(url: &mut str) {
    if let Some(end) = url.find("://") {
        url[..end].make_ascii_lowercase();
    }
}

/// Removes an optional key.
fn take<T: DeserializeOwned>(table: &mut Table, key: &str) -> Result<Option<T>, KeyError> {
    let value = table.remove(key).map(read).transpose();
    value.map_err(|error| KeyError::with(key, error.reason))
}

fn take_required<T: DeserializeOwned>(table: &mut Table, key: &str) -> Result<T, KeyError> {
    let missing = || KeyError::with(key, "is missing; every source requires it".to_owned());
    take(table, key)?.ok_or_else(missing)
}

/// Deserializes a value; the error names the invalid key in it.
fn read<T: DeserializeOwned>(value: Value) -> Result<T, KeyError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let key = error.path().to_string();
        // The path of the whole value.
        let key = (key != ".").then_some(key);
        let message = error.inner().message();
        let first = key.as_deref().and_then(|key| key.split('.').next());
        let is_secret = first.is_some_and(|key| SECRET_KEYS.contains(&key))
            && !message.starts_with(UNKNOWN_KEY);
        let is_address = key
            .as_deref()
            .is_some_and(|key| ADDRESS_KEYS.contains(&key))
            && !message.starts_with(UNKNOWN_KEY);
        let reason = match message.rsplit_once(", expected ") {
            _ if is_address => format!("{message}; use 0x and 40 hexadecimal digits"),
            _ if !is_secret => message.to_owned(),
            Some((_, expected)) => format!("must be {expected}"),
            None => "is not valid".to_owned(),
        };
        KeyError { key, reason }
    })
}

impl KeyError {
    fn with(key: &str, reason: String) -> Self {
        Self {
            key: Some(key.to_owned()),
            reason,
        }
    }

    /// The path of the key, given that of its entry.
    fn path_in(&self, entry: &str) -> String {
        match &self.key {
            Some(key) => format!("{entry}.{key}"),
            None => entry.to_owned(),
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) if !self.reason.starts_with(UNKNOWN_KEY) => {
                write!(f, "{key}: {}", self.reason)
            }
            _ => f.write_str(&self.reason),
        }
    }
}

impl fmt::Display for SourceLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Some(kind) => write!(f, "a {kind} source")?,
            None => f.write_str("a price source")?,
        }
        match &self.token {
            Some(token) => write!(f, " of {token}"),
            None => Ok(()),
        }
    }
}
