//! Entries of `[prices]` as they are written: from a table to a source, or to what is wrong with which key.
//!
//! serde cannot refuse unknown keys of a flattened enum, so a source is read as a table: what every source has is taken
//! out, and the kind reads the rest. Lines are lost by that; [`misread_entries`] gives the paths that lead to them.

use std::fmt;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{SourceConfig, SourceKind, TokenConfig, Unit};
use crate::model::Token;

/// Every kind that [`SourceKind::read`] knows, for people who wrote another.
const KINDS: &str = "chainlink, uniswap-v2, uniswap-v3, pyth, http, binance, coinbase, kraken";
/// What every source has beside the keys of its kind.
const COMMON: &str = "`kind`, `token`, `name`, `max_age_ms`, `scale`, `invert`";
/// Keys whose values may be secrets, or hold one: they are not repeated.
const HIDDEN: [&str; 3] = ["url", "key", "headers"];
/// Keys whose values are addresses.
const ADDRESSES: [&str; 3] = ["address", "token0", "token1"];
/// How serde begins to tell a key that is not known. The key stands in it.
const UNKNOWN: &str = "unknown field";

/// Why a source cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{whose}: {wrong}")]
pub struct SourceKeysError {
    whose: Whose,
    wrong: Wrong,
}

/// A source as far as its entry tells.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Whose {
    kind: Option<String>,
    name: Option<String>,
    token: Option<Token>,
}

/// A key and what is wrong with it; no key for what is wrong with the entry.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wrong {
    key: Option<String>,
    reason: String,
}

/// Every entry of `[[prices.tokens]]` and `[[prices.sources]]` in the table `[prices]` that cannot be read, and each of
/// the two that is no list: the dotted path of what is wrong, where entries count from 0, and why.
pub fn misread_entries(prices: &Table) -> Vec<(String, String)> {
    let mut misread = Vec::new();
    for (at, entry) in entries(prices, "tokens", &mut misread) {
        if let Err(wrong) = read::<TokenConfig>(Value::Table(entry.clone())) {
            let symbol = entry.get("symbol").and_then(Value::as_str);
            let symbol = symbol.map_or_else(String::new, |symbol| format!(" ({symbol})"));
            let message = format!("prices.tokens entry {}{symbol}: {}", at + 1, wrong.reason);
            misread.push((wrong.below(&format!("prices.tokens.{at}")), message));
        }
    }
    for (at, entry) in entries(prices, "sources", &mut misread) {
        if let Err(SourceKeysError { whose, wrong }) = SourceConfig::try_from(entry.clone()) {
            let name = whose.name.or(whose.kind);
            let place = match (name, whose.token) {
                (Some(name), Some(token)) => format!(" ({name:?} of {token})"),
                (Some(name), None) => format!(" ({name:?})"),
                (None, Some(token)) => format!(" (of {token})"),
                (None, None) => String::new(),
            };
            let message = format!("prices.sources entry {}{place}: {}", at + 1, wrong.reason);
            misread.push((wrong.below(&format!("prices.sources.{at}")), message));
        }
    }
    misread
}

/// The entries of a list that are tables, with their positions. What is no list or no table goes to `misread`, by its
/// type alone: its value may hold a secret.
fn entries<'a>(
    prices: &'a Table,
    list: &str,
    misread: &mut Vec<(String, String)>,
) -> Vec<(usize, &'a Table)> {
    let path = format!("prices.{list}");
    let entries = match prices.get(list) {
        None => return Vec::new(),
        Some(Value::Array(entries)) => entries,
        Some(_) => {
            let wrong = format!("is a list: write [[{path}]] above each of its entries");
            misread.push((path, wrong));
            return Vec::new();
        }
    };
    let mut tables = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        if let Value::Table(table) = entry {
            tables.push((at, table));
        } else {
            let (position, given) = (at + 1, entry.type_str());
            let wrong = format!(
                "{path} entry {position}: must be a table, not of type {given}: write [[{path}]] above its keys"
            );
            misread.push((format!("{path}.{at}"), wrong));
        }
    }
    tables
}

impl TryFrom<Table> for SourceConfig {
    type Error = SourceKeysError;

    fn try_from(table: Table) -> Result<Self, Self::Error> {
        let text = |key: &str| table.get(key).and_then(Value::as_str);
        let whose = Whose {
            kind: text("kind").map(str::to_owned),
            name: text("name").map(str::to_owned),
            token: text("token").and_then(|token| token.parse().ok()),
        };
        source(table).map_err(|wrong| SourceKeysError { whose, wrong })
    }
}

fn source(mut table: Table) -> Result<SourceConfig, Wrong> {
    let kind: String = need(&mut table, "kind")?;
    let token = need(&mut table, "token")?;
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
    /// From its own keys, by the kind as written.
    fn read(kind: &str, mut keys: Table) -> Result<Self, Wrong> {
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
            _ => return Err(Wrong::with("kind", format!("{kind:?} is none of {KINDS}"))),
        };
        read.map_err(|mut wrong| {
            if wrong.reason.starts_with(UNKNOWN) {
                wrong.reason += &format!("; every source may have {COMMON} too");
            }
            wrong
        })
    }
}

/// A scheme means the same in any case; what opens a WebSocket knows it in small letters only.
fn lower_scheme(url: &mut str) {
    if let Some(end) = url.find("://") {
        url[..end].make_ascii_lowercase();
    }
}

/// A key that may be left out.
fn take<T: DeserializeOwned>(table: &mut Table, key: &str) -> Result<Option<T>, Wrong> {
    let value = table.remove(key).map(read).transpose();
    value.map_err(|wrong| Wrong::with(key, wrong.reason))
}

fn need<T: DeserializeOwned>(table: &mut Table, key: &str) -> Result<T, Wrong> {
    let missing = || Wrong::with(key, "is missing, and every source needs it".to_owned());
    take(table, key)?.ok_or_else(missing)
}

/// A value, or the key in it that is wrong.
fn read<T: DeserializeOwned>(value: Value) -> Result<T, Wrong> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let key = error.path().to_string();
        // So the path of the whole is shown.
        let key = (key != ".").then_some(key);
        let told = error.inner().message();
        let first = key.as_deref().and_then(|key| key.split('.').next());
        let hidden = first.is_some_and(|key| HIDDEN.contains(&key)) && !told.starts_with(UNKNOWN);
        let is_address = key.as_deref().is_some_and(|key| ADDRESSES.contains(&key))
            && !told.starts_with(UNKNOWN);
        let reason = match told.rsplit_once(", expected ") {
            _ if is_address => format!("{told}; an address is 0x and 40 hexadecimal digits"),
            _ if !hidden => told.to_owned(),
            Some((_, expected)) => format!("must be {expected}"),
            None => "cannot be read".to_owned(),
        };
        Wrong { key, reason }
    })
}

impl Wrong {
    fn with(key: &str, reason: String) -> Self {
        Self {
            key: Some(key.to_owned()),
            reason,
        }
    }

    /// The path of the key in an entry.
    fn below(&self, entry: &str) -> String {
        match &self.key {
            Some(key) => format!("{entry}.{key}"),
            None => entry.to_owned(),
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) if !self.reason.starts_with(UNKNOWN) => write!(f, "{key}: {}", self.reason),
            _ => f.write_str(&self.reason),
        }
    }
}

impl fmt::Display for Whose {
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
