//! The problems of a configuration, all of them.

use std::fmt;

use super::{
    Key, Shape,
    key::walk,
    nearest::{self, closest},
};
use crate::Secret;

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

/// Collects the problems of a configuration.
#[derive(Debug)]
pub struct Problems {
    /// The keys of the whole configuration, for suggestions.
    root: &'static [Key],
    /// What cannot be read: unknown keys, wrong types and missing keys.
    unreadable: Vec<Problem>,
    /// What can be read, but is not accepted.
    refused: Vec<Problem>,
    /// Entries without a usable required key: nothing more can be checked in them.
    incomplete: Vec<String>,
}

impl Problems {
    /// None yet, in a configuration of these keys.
    pub fn new(root: &'static [Key]) -> Self {
        Self {
            root,
            unreadable: Vec::new(),
            refused: Vec::new(),
            incomplete: Vec::new(),
        }
    }

    /// All of them.
    pub fn into_all(mut self) -> Vec<Problem> {
        self.unreadable.append(&mut self.refused);
        self.unreadable
    }

    /// Unknown keys, wrong types and missing keys.
    pub fn into_unreadable(self) -> Vec<Problem> {
        self.unreadable
    }

    /// Whether a value at `path` or below it cannot be read.
    pub fn is_unreadable(&self, path: &str) -> bool {
        self.unreadable.iter().any(|of| is_within(&of.key, path))
    }

    /// Reports a value that cannot be read.
    pub fn unreadable(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.unreadable.push(Problem::new(path, message));
    }

    /// Reports a number out of its range.
    pub(super) fn out_of_range(&mut self, path: &str, message: String) {
        self.refused.push(Problem::new(path, message));
    }

    /// Reports a key that the section does not have.
    pub(super) fn unknown_key(&mut self, path: &str, siblings: &[&str]) {
        let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
        let plain = nearest::without_positions(section);
        let message = match closest(name, siblings.iter().copied()) {
            Some(close) => format!(
                "unknown key; did you mean {}?",
                super::key::join(&plain, close)
            ),
            None => match self.elsewhere(name) {
                Some(path) => format!("unknown key; did you mean {path}?"),
                None => {
                    let known = match section {
                        "" => "the sections are",
                        _ => "the keys of this section are",
                    };
                    format!("unknown key; {known} {}", siblings.join(", "))
                }
            },
        };
        self.unreadable(path, message);
    }

    /// A key of another section that has this name, or nearly.
    fn elsewhere(&self, name: &str) -> Option<String> {
        let mut best: Option<(usize, String)> = None;
        walk(Shape::Section(self.root), "", &mut |path, key| {
            let apart = nearest::distance(name, key.name);
            let is_value = matches!(key.shape, Shape::Value);
            if is_value && best.as_ref().is_none_or(|(least, _)| apart < *least) {
                best = Some((apart, path.to_owned()));
            }
        });
        let (apart, path) = best?;
        (apart <= name.chars().count() / 6).then_some(path)
    }

    /// Marks the entry at `path` as unusable.
    pub fn incomplete(&mut self, path: &str) {
        self.incomplete.push(path.to_owned());
    }

    /// Puts a label before every message that is reported while `read` runs.
    pub(super) fn labeled<T>(&mut self, label: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let (unreadable, refused) = (self.unreadable.len(), self.refused.len());
        let value = read(self);
        let new = self.unreadable[unreadable..].iter_mut();
        for problem in new.chain(&mut self.refused[refused..]) {
            problem.message = format!("{label}: {}", problem.message);
        }
        value
    }

    /// Reports a readable value that is not accepted; not if the key was reported before, or if the value is not the
    /// configured one because that cannot be read.
    pub fn add(&mut self, key: impl Into<String>, message: impl Into<String>) {
        let problem = Problem::new(key, message);
        let is_reported = |of: &Problem| is_within(&problem.key, &of.key);
        if !self.unreadable.iter().any(is_reported)
            && !self.refused.iter().any(is_reported)
            && !self
                .incomplete
                .iter()
                .any(|entry| is_within(&problem.key, entry))
        {
            self.refused.push(problem);
        }
    }

    /// [`Problems::add`] unless `valid`.
    pub fn check(&mut self, valid: bool, key: &str, message: &str) {
        if !valid {
            self.add(key, message);
        }
    }

    /// Checks that a URL begins with one of `schemes` and has more after it.
    pub fn has_scheme(url: &Secret, schemes: &[&str]) -> bool {
        url.expose()
            .split_once("://")
            .is_some_and(|(scheme, rest)| schemes.contains(&scheme) && !rest.is_empty())
    }
}

/// Whether `path` is `parent` or below it.
fn is_within(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
