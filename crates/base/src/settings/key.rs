//! What is known about a key.

use std::collections::BTreeSet;

/// A declared key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The last part of its path, such as `rpc_url` of `chains.rpc_url`.
    pub name: &'static str,
    /// What it sets, a line of the declaration each.
    pub text: &'static [&'static str],
    /// Whether it is a value, a section or a list of sections.
    pub shape: Shape,
    /// The numbers that it accepts.
    pub range: Option<Range>,
    /// TOML of the default; empty if there is none.
    pub default: fn() -> String,
    /// TOML of a value, for a key without a default that could be shown.
    pub example: Option<&'static str>,
    /// Whether an entry is not valid without it.
    pub is_required: bool,
    /// Whether its value must not be printed.
    pub is_secret: bool,
    /// Whether `config/default.toml` has it.
    pub is_listed: bool,
    pub(super) unit: Option<&'static str>,
}

/// What a key holds.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// A value without declared keys below it: a text, a number, a list of them.
    Value,
    /// A table with keys of its own.
    Section(&'static [Key]),
    /// Tables of one shape.
    List(&'static Shape),
    /// A table whose `kind` selects its keys.
    Kinds {
        /// The keys of every kind.
        common: &'static [Key],
        /// The further keys of each kind, with its name and a description.
        kinds: fn() -> Vec<Kind>,
    },
}

/// The keys of one kind of entry.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The value of `kind` that selects it.
    pub name: &'static str,
    /// What it is, for `config/default.toml`: a phrase without a full stop.
    pub text: &'static str,
    /// The keys that only entries of this kind have.
    pub keys: &'static [Key],
}

/// The accepted numbers, inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The smallest accepted number, besides 0 with `or_zero`.
    pub least: u64,
    /// `u64::MAX` for no upper limit.
    pub most: u64,
    /// Whether 0 is accepted beside them: it disables something.
    pub or_zero: bool,
}

/// Endings of names that say the unit.
const UNITS: [(&str, &str); 7] = [
    ("_ms", "ms"),
    ("_secs", "s"),
    ("_seconds", "s"),
    ("_hours", "hours"),
    ("_days", "days"),
    ("_bytes", "bytes"),
    ("_bps", "basis points"),
];

impl Key {
    /// Accepts numbers from `least` to `most`.
    pub const fn range(mut self, least: u64, most: u64) -> Self {
        self.range = Some(Range {
            least,
            most,
            or_zero: false,
        });
        self
    }

    /// Accepts numbers from `least`.
    pub const fn at_least(self, least: u64) -> Self {
        self.range(least, u64::MAX)
    }

    /// Accepts 0, or numbers from `least` to `most`.
    pub const fn zero_or(mut self, least: u64, most: u64) -> Self {
        self.range = Some(Range {
            least,
            most,
            or_zero: true,
        });
        self
    }

    /// The unit, if the name does not end with it.
    pub const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = Some(unit);
        self
    }

    /// TOML to show instead of a default.
    pub const fn example(mut self, toml: &'static str) -> Self {
        self.example = Some(toml);
        self
    }

    /// A text that is composed, instead of the documentation in the declaration.
    pub const fn text(mut self, text: &'static [&'static str]) -> Self {
        self.text = text;
        self
    }

    /// Makes an entry invalid without it.
    pub const fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// Leaves it out of `config/default.toml`: the text of its section mentions it.
    pub const fn unlisted(mut self) -> Self {
        self.is_listed = false;
        self
    }

    /// The unit of its number.
    pub(super) fn unit_name(&self) -> Option<&'static str> {
        let by_name = UNITS.iter().find(|(end, _)| self.name.ends_with(end));
        self.unit.or(by_name.map(|(_, unit)| *unit))
    }
}

impl Range {
    /// Whether the number is accepted.
    pub fn contains(&self, number: u64) -> bool {
        (self.least..=self.most).contains(&number) || (self.or_zero && number == 0)
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { least, most, .. } = self;
        if self.or_zero {
            f.write_str("0, or ")?;
        }
        match (*least, *most) {
            (1, u64::MAX) => f.write_str("above 0"),
            (_, u64::MAX) => write!(f, "at least {least}"),
            (0, 1) => f.write_str("0 or 1"),
            _ => write!(f, "{least} to {most}"),
        }
    }
}

/// The sections and keys below `shape`, each with its path without list positions.
pub(super) fn walk(shape: Shape, path: &str, visit: &mut impl FnMut(&str, &'static Key)) {
    let mut keys = |keys: &'static [Key]| {
        for key in keys {
            let path = join(path, key.name);
            visit(&path, key);
            walk(key.shape, &path, visit);
        }
    };
    match shape {
        Shape::Value => {}
        Shape::Section(own) => keys(own),
        Shape::List(entry) => walk(*entry, path, visit),
        Shape::Kinds { common, kinds } => {
            keys(common);
            for kind in kinds() {
                keys(kind.keys);
            }
        }
    }
}

/// The paths of all lists of sections, such as `chains.providers`.
pub fn list_paths(root: &'static [Key]) -> Vec<String> {
    let mut paths = Vec::new();
    walk(Shape::Section(root), "", &mut |path, key| {
        if matches!(key.shape, Shape::List(_)) {
            paths.push(path.to_owned());
        }
    });
    paths
}

/// Whether each part of a dotted path is the name of a declared key.
pub fn has_known_names(root: &'static [Key], path: &str) -> bool {
    let mut names = BTreeSet::new();
    walk(Shape::Section(root), "", &mut |_, key| {
        names.insert(key.name);
    });
    path.split('.').all(|part| names.contains(part.trim()))
}

/// `path.name`, or the name at the root.
pub(super) fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}
