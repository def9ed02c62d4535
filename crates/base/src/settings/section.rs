//! Reads the keys of one section.

use serde::{Deserialize, Deserializer, de::Error};
use toml::{Table, Value};

use super::{Key, Problems, Setting, explain, key::join};

/// The keys of a section that are not taken yet.
pub struct Fields<'a> {
    table: Table,
    keys: &'static [Key],
    path: &'a str,
    problems: &'a mut Problems,
}

impl<'a> Fields<'a> {
    /// The keys of the section at `path`. Unknown ones are reported; `None` if the value is not a section.
    pub fn new(
        value: Value,
        keys: &'static [Key],
        path: &'a str,
        problems: &'a mut Problems,
    ) -> Option<Self> {
        let mut fields = Self::open(value, keys, path, problems)?;
        fields.refuse_others(&[]);
        Some(fields)
    }

    /// Like [`Fields::new`], without a check for unknown keys.
    pub fn open(
        value: Value,
        keys: &'static [Key],
        path: &'a str,
        problems: &'a mut Problems,
    ) -> Option<Self> {
        let Value::Table(table) = value else {
            let given = explain::kind_of_value(&value);
            problems.unreadable(path, format!("must be a section, not {given}"));
            return None;
        };
        Some(Self {
            table,
            keys,
            path,
            problems,
        })
    }

    /// Reports the keys that are neither of this section nor `also`.
    pub fn refuse_others(&mut self, also: &'static [Key]) {
        let known = || self.keys.iter().chain(also).map(|key| key.name);
        let unknown = self
            .table
            .keys()
            .filter(|name| known().all(|of| of != *name));
        let unknown: Vec<String> = unknown.cloned().collect();
        let names: Vec<&str> = known().collect();
        for name in unknown {
            self.table.remove(&name);
            self.problems
                .unknown_key(&join(self.path, &name), &names, &self.table);
        }
    }

    /// Takes a key: `None` if it is not set or cannot be used, which is reported.
    pub fn take<T: Setting>(&mut self, name: &str) -> Option<T> {
        let key = self.keys.iter().find(|key| key.name == name)?;
        let path = join(self.path, name);
        let taken = match self.table.remove(name) {
            Some(value) => T::read(value, key, &path, self.problems),
            None if key.is_required => {
                self.problems.unreadable(path, "is missing");
                None
            }
            None => return None,
        };
        if taken.is_none() && key.is_required {
            self.problems.incomplete(self.path);
        }
        taken
    }

    /// What is not taken.
    pub fn into_rest(self) -> Table {
        self.table
    }
}

/// Reads a section through serde; the error has every problem.
pub fn deserialize<'de, D: Deserializer<'de>, T: Setting>(
    deserializer: D,
    keys: &'static [Key],
) -> Result<T, D::Error> {
    let table = Table::deserialize(deserializer)?;
    let mut problems = Problems::new(keys);
    let whole = Key::new::<T>("", &[], String::new);
    let read = T::read(Value::Table(table), &whole, "", &mut problems);
    let problems = problems.into_all();
    let listed: Vec<String> = problems.iter().map(ToString::to_string).collect();
    match read {
        Some(read) if problems.is_empty() => Ok(read),
        _ => Err(D::Error::custom(listed.join("\n"))),
    }
}
