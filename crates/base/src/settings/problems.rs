//! The problems of a configuration, all of them.

use std::{
    collections::{BTreeSet, HashSet},
    fmt,
};

use toml::Table;

use super::{
    Key, Shape,
    key::{join, walk},
    nearest::{self, closest},
};
use crate::Secret;

/// Most unknown keys that get a suggestion, which takes time.
const MAX_SUGGESTIONS: usize = 1_000;

/// One invalid value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
    /// Paths whose values are not the configured ones: those were reported, and defaults replace them.
    replaced: BTreeSet<String>,
    /// Paths of keys that misspelt keys probably meant: their values may not be all that was configured.
    meant: BTreeSet<String>,
    suggestions: usize,
}

impl Problems {
    /// None yet, in a configuration of these keys.
    pub fn new(root: &'static [Key]) -> Self {
        Self {
            root,
            unreadable: Vec::new(),
            refused: Vec::new(),
            replaced: BTreeSet::new(),
            meant: BTreeSet::new(),
            suggestions: 0,
        }
    }

    /// All of them, each once.
    pub fn into_all(self) -> Vec<Problem> {
        let mut seen = HashSet::new();
        let all = self.unreadable.into_iter().chain(self.refused);
        all.filter(|problem| seen.insert(problem.clone())).collect()
    }

    /// Unknown keys, wrong types and missing keys.
    pub fn into_unreadable(self) -> Vec<Problem> {
        self.unreadable
    }

    /// Whether a value at `path` or below it cannot be read.
    pub fn is_unreadable(&self, path: &str) -> bool {
        self.unreadable.iter().any(|of| is_within(&of.key, path))
    }

    /// Whether the value at `path`, or a part of it, is not the configured one, because that was reported. A check that
    /// compares another key with it would report a false problem.
    pub fn is_reported(&self, path: &str) -> bool {
        [&self.replaced, &self.meant]
            .into_iter()
            .any(|set| has(set, path) || below(set, path).next().is_some())
    }

    /// [`Problems::is_reported`] of `key` in any entry of the list at `path`.
    pub fn is_reported_in_list(&self, path: &str, key: &str) -> bool {
        let is_of_key = |below: &str| {
            let in_entry = below.split_once('.').map(|(_, rest)| rest);
            in_entry.is_none_or(|rest| is_within(rest, key))
        };
        [&self.replaced, &self.meant]
            .into_iter()
            .any(|set| has(set, path) || below(set, path).any(is_of_key))
    }

    /// Reports a value that cannot be read.
    pub fn unreadable(&mut self, path: impl Into<String>, message: impl Into<String>) {
        let problem = Problem::new(path, message);
        self.replaced.insert(problem.key.clone());
        self.unreadable.push(problem);
    }

    /// Reports a key that the section does not have.
    pub(super) fn unknown_key(&mut self, path: &str, siblings: &[&str], section_has: &Table) {
        let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
        let message = match self.suggestion(section, name, siblings, section_has) {
            Some(path) => format!("unknown key; did you mean {path}?"),
            None => {
                let known = match section {
                    "" => "the sections are",
                    _ => "the keys of this section are",
                };
                format!("unknown key; {known} {}", siblings.join(", "))
            }
        };
        self.unreadable(path, message);
    }

    /// The path of the key that was probably meant, without list positions. A key of the same section counts as reported,
    /// and as replaced unless it is set too.
    fn suggestion(
        &mut self,
        section: &str,
        name: &str,
        siblings: &[&str],
        section_has: &Table,
    ) -> Option<String> {
        if self.suggestions == MAX_SUGGESTIONS {
            return None;
        }
        self.suggestions += 1;
        let Some(close) = closest(name, siblings.iter().copied()) else {
            return self.elsewhere(name);
        };
        match section_has.contains_key(close) {
            true => self.meant.insert(join(section, close)),
            false => self.replaced.insert(join(section, close)),
        };
        Some(join(&nearest::without_positions(section), close))
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

    /// Marks the entry at `path` as unusable: it lacks a required key, so nothing more can be checked in it.
    pub fn incomplete(&mut self, path: &str) {
        self.replaced.insert(path.to_owned());
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

    /// Reports a readable value that is not accepted; not if it is not the configured one, because that was reported.
    pub fn add(&mut self, key: impl Into<String>, message: impl Into<String>) {
        let problem = Problem::new(key, message);
        if !has(&self.replaced, &problem.key) {
            self.refused.push(problem);
        }
    }

    /// Reports a value out of its range, also in an entry that lacks a required key. It counts as reported.
    pub(super) fn out_of_range(&mut self, key: &str, message: String) {
        self.replaced.insert(key.to_owned());
        self.refused.push(Problem::new(key, message));
    }

    /// [`Problems::add`] of a value that nothing is compared with: it counts as reported.
    pub fn refuse(&mut self, key: &str, message: impl Into<String>) {
        self.add(key, message);
        self.replaced.insert(key.to_owned());
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

/// Whether the set has `path` or what contains it.
fn has(set: &BTreeSet<String>, path: &str) -> bool {
    let parents = path.match_indices('.').map(|(end, _)| &path[..end]);
    parents.chain([path]).any(|path| set.contains(path))
}

/// The paths of the set below `path`, without it.
fn below<'s>(set: &'s BTreeSet<String>, path: &str) -> impl Iterator<Item = &'s str> {
    // All strings that begin with the path and a dot: a slash follows the dot in ASCII.
    let (first, end) = (format!("{path}."), format!("{path}/"));
    let skipped = first.len();
    set.range(first..end).map(move |below| &below[skipped..])
}

/// Whether `path` is `parent` or below it.
fn is_within(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
