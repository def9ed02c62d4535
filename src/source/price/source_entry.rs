//! Parses the entries of `[prices]` from TOML tables, with errors that name the key.
//!
//! serde cannot deny unknown keys of a flattened enum, so a source is read as a table: the common keys are taken out,
//! and the kind reads the rest. This loses line numbers; [`unreadable_entries`] reports key paths instead.

use std::fmt;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{
    SourceConfig, SourceKind, TokenConfig, Unit, exchange,
    key_error::{KeyError, read},
};
use crate::model::Token;

/// Keys common to all kinds.
const COMMON_KEYS: &str = "`kind`, `token`, `name`, `max_age_ms`, `scale`, `invert`";
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
            _ => match exchange::read_listing(kind, keys) {
                Some(read) => read.map(Self::Exchange),
                None => return Err(unknown_kind(kind)),
            },
        };
        read.map_err(|mut error| {
            if error.is_unknown_key() {
                error.reason += &format!("; all sources also accept {COMMON_KEYS}");
            }
            error
        })
    }
}

/// The kinds beside the exchanges, in the order of error messages.
const KINDS: [&str; 5] = ["chainlink", "uniswap-v2", "uniswap-v3", "pyth", "http"];

fn unknown_kind(kind: &str) -> KeyError {
    let kinds: Vec<&str> = KINDS.into_iter().chain(exchange::names()).collect();
    let reason = format!("unknown kind {kind:?}; use one of {}", kinds.join(", "));
    KeyError::with("kind", reason)
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
