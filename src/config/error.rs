//! Errors of a configuration, with their places.

use std::{fmt, path::Path, path::PathBuf};

use toml::de::{DeTable, DeValue};

use super::Config;
use chaincast_base::settings::{Problem, list_paths};

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
    /// Invalid syntax. Names file and line, and the key if there is one. Never includes the line itself, which may hold a
    /// secret.
    pub(super) fn parse(file: &Path, text: &str, error: &toml::de::Error) -> Self {
        let mut place = file.display().to_string();
        let mut message = error.message().to_owned();
        if let Some(span) = error.span() {
            let start = span.start.min(text.len());
            place = format!("{place}:{}", text[..start].matches('\n').count() + 1);
            let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
            let line = text[line..].lines().next().unwrap_or_default();
            let lists = list_paths(Config::KEYS);
            if let Some(list) = header(line).filter(|name| lists.iter().any(|of| of == name)) {
                message = format!("{list} is a list: write [[{list}]] above each of its entries");
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
                let is_within = |key: &str| {
                    let rest = problem.key.strip_prefix(key);
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                };
                if let Some((variable, _)) = newest_first.find(|(_, key)| is_within(key)) {
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
            let line = |problem: &Problem| {
                let offset = offset_of(table.get_ref(), &problem.key);
                offset.map(|offset| text[..offset].matches('\n').count() + 1)
            };
            problems.sort_by_cached_key(line);
            for problem in &mut problems {
                let (file, line) = (file.display(), line(problem));
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
