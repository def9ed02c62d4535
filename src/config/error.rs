//! Errors of a configuration, with their places.

use std::{fmt, path::Path, path::PathBuf};

use toml::de::{DeTable, DeValue};

use super::explain::explain;

/// Sections that are lists.
const LISTS: [&str; 4] = ["chains", "contracts", "prices.tokens", "prices.sources"];

/// Why a configuration is rejected.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("{place}: {message}")]
    Parse { place: String, message: String },
    #[error("environment variable {variable}: {reason}")]
    Variable { variable: String, reason: String },
    #[error("{}", Listed(.0))]
    Invalid(Vec<Problem>),
}

/// One invalid value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Dotted path such as `chains.0.rpc_url`.
    pub key: String,
    /// Why it is invalid.
    pub message: String,
    /// `FILE:LINE` of the key or of its section, or the environment variable that set it. The file alone if it does not
    /// contain the key.
    pub place: Option<String>,
}

impl Problem {
    /// Without a place.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            message: message.into(),
            place: None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}: {}", self.key, self.message)
    }
}

struct Listed<'a>(&'a [Problem]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl ConfigError {
    /// An error of the TOML parser: invalid syntax, an unknown key or a wrong type. Names file, line and key. Never
    /// includes the line itself, which may hold a secret.
    pub(super) fn parse(file: &Path, text: &str, error: &toml::de::Error) -> Self {
        let mut place = file.display().to_string();
        let mut message = error.message().to_owned();
        if let Some(span) = error.span() {
            let start = span.start.min(text.len());
            place = format!("{place}:{}", text[..start].matches('\n').count() + 1);
            let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
            let line = text[line..].lines().next().unwrap_or_default();
            if let Some(list) = header(line).filter(|name| LISTS.contains(name)) {
                message = format!("{list} is a list: write [[{list}]] above each of its entries");
            } else if let Ok(table) = DeTable::parse(text) {
                message = explain(&path_at(table.get_ref(), start), &message);
            } else if let Some((key, _)) = line.split_once('=') {
                message = format!("{}: {message}", key.trim());
            }
        }
        Self::Parse { place, message }
    }

    /// Invalid values, each with the line of its key.
    pub(super) fn invalid(file: Option<&Path>, text: &str, problems: Vec<Problem>) -> Self {
        Self::Invalid(Self::with_places(file, text, problems))
    }

    /// Replaces the place of overridden keys by the environment variable. `variables` are the overrides, with their
    /// keys.
    pub(super) fn overridden(mut self, variables: &[(String, String)]) -> Self {
        if let Self::Invalid(problems) = &mut self {
            for problem in problems {
                let mut newest_first = variables.iter().rev();
                if let Some((variable, _)) = newest_first.find(|(_, key)| *key == problem.key) {
                    problem.place = Some(format!("environment variable {variable}"));
                }
            }
        }
        self
    }

    /// Adds the file and line of its key to each problem.
    pub(super) fn with_places(
        file: Option<&Path>,
        text: &str,
        mut problems: Vec<Problem>,
    ) -> Vec<Problem> {
        if let (Some(file), Ok(table)) = (file, DeTable::parse(text)) {
            for problem in &mut problems {
                let line = offset_of(table.get_ref(), &problem.key)
                    .map(|offset| text[..offset].matches('\n').count() + 1);
                let file = file.display();
                problem.place =
                    Some(line.map_or(file.to_string(), |line| format!("{file}:{line}")));
            }
        }
        problems
    }
}

/// The name in a section header such as `[server]`.
fn header(line: &str) -> Option<&str> {
    let (name, _) = line.trim_start().strip_prefix('[')?.split_once(']')?;
    Some(name.trim())
}

/// The dotted path of the key whose name or value is at `offset`; otherwise of the deepest section around it.
fn path_at(table: &DeTable<'_>, offset: usize) -> String {
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        if key.span().contains(&offset) {
            return name.to_owned();
        }
        if let Some(below) = path_in(value, offset) {
            return match below.as_str() {
                "" => name.to_owned(),
                below => format!("{name}.{below}"),
            };
        }
    }
    String::new()
}

/// The path inside a value that contains `offset`; `None` if it does not contain it.
fn path_in(value: &toml::Spanned<DeValue<'_>>, offset: usize) -> Option<String> {
    match value.get_ref() {
        DeValue::Table(table) => Some(path_at(table, offset)).filter(|path| !path.is_empty()),
        DeValue::Array(items) => items.iter().enumerate().find_map(|(at, item)| {
            Some(match path_in(item, offset)?.as_str() {
                "" => at.to_string(),
                below => format!("{at}.{below}"),
            })
        }),
        _ => None,
    }
    .or_else(|| value.span().contains(&offset).then(String::new))
}

/// Byte offset of the deepest part of a dotted path that exists in the file.
fn offset_of(table: &DeTable<'_>, path: &str) -> Option<usize> {
    let mut parts = path.split('.');
    let (key, value) = table.get_key_value(parts.next()?)?;
    let (mut offset, mut value) = (key.span().start, value);
    for part in parts {
        let next = match value.get_ref() {
            DeValue::Table(table) => table
                .get_key_value(part)
                .map(|(key, value)| (key.span().start, value)),
            DeValue::Array(items) => part
                .parse::<usize>()
                .ok()
                .and_then(|at| items.get(at))
                .map(|value| (value.span().start, value)),
            _ => None,
        };
        match next {
            Some(found) => (offset, value) = found,
            None => break,
        }
    }
    Some(offset)
}
