//! Errors of a configuration, with their places.

use std::{fmt, path::Path, path::PathBuf};

use toml::de::{DeTable, DeValue};

use super::{Config, line_starts::LineStarts};
use chaincast_base::settings::{Problem, has_known_names, list_paths};

/// Most problems that an error lists: nobody reads more.
const MAX_LISTED: usize = 50;

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
        for (at, problem) in self.0.iter().take(MAX_LISTED).enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        match self.0.len().saturating_sub(MAX_LISTED) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl ConfigError {
    /// Invalid syntax. Names file, line and column, and the key if it is a known one. Never includes other text of the
    /// file: any line may be part of a secret.
    pub(super) fn parse(file: &Path, text: &str, error: &toml::de::Error) -> Self {
        let mut place = file.display().to_string();
        let mut message = error.message().to_owned();
        if let Some(span) = error.span() {
            let start = span.start.min(text.len());
            let (line, column) = LineStarts::new(text).position(start);
            place = format!("{place}:{line}:{column}");
            let line = text.lines().nth(line - 1).unwrap_or_default();
            let lists = list_paths(Config::KEYS);
            if let Some(list) = header(line).filter(|name| lists.iter().any(|of| of == name)) {
                message = format!("{list} is a list: write [[{list}]] above each of its entries");
            } else if let Some((key, _)) = line.split_once('=')
                && has_known_names(Config::KEYS, key)
            {
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
        problems: Vec<Problem>,
    ) -> Vec<Problem> {
        let (Some(file), Ok(table)) = (file, DeTable::parse(text)) else {
            return problems;
        };
        let (file, lines) = (file.display(), LineStarts::new(text));
        let line = |problem: Problem| {
            let offset = offset_of(table.get_ref(), &problem.key);
            (offset.map(|offset| lines.position(offset).0), problem)
        };
        let mut placed: Vec<(Option<usize>, Problem)> = problems.into_iter().map(line).collect();
        placed.sort_by_key(|(line, _)| *line);
        let placed = placed.into_iter().map(|(line, problem)| Problem {
            place: Some(line.map_or(file.to_string(), |line| format!("{file}:{line}"))),
            ..problem
        });
        placed.collect()
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
