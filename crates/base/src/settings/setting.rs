//! The types of values.

use std::{collections::BTreeMap, path::PathBuf};

use serde::de::DeserializeOwned;
use toml::Value;

use super::{Key, Problems, Shape, explain, plain_settings};
use crate::Secret;
use chaincast_protocol::{Address, Token};

/// A type that a key may have.
pub trait Setting: Sized {
    /// Whether keys of this type hold a value, a section or a list of sections.
    const SHAPE: Shape = Shape::Value;
    /// Whether messages must not repeat a value.
    const IS_SECRET: bool = false;

    /// Reads the value of the key at `path`. What is wrong is reported; `None` if nothing can be used of it.
    fn read(value: Value, key: &Key, path: &str, problems: &mut Problems) -> Option<Self>;

    /// The value in TOML; empty if it cannot be written, as "not set".
    fn toml(&self) -> String {
        String::new()
    }

    /// For an entry of a list: what identifies it in messages, beside its position.
    fn label(_: &Value) -> Option<String> {
        None
    }
}

impl Key {
    /// A key of a type, without properties.
    pub const fn new<T: Setting>(
        name: &'static str,
        text: &'static [&'static str],
        default: fn() -> String,
    ) -> Self {
        Self {
            name,
            text,
            shape: T::SHAPE,
            range: None,
            default,
            example: None,
            is_required: false,
            is_secret: T::IS_SECRET,
            is_listed: true,
            unit: None,
        }
    }
}

/// Reads a value with serde and checks the range of a number.
pub fn read_plain<T: DeserializeOwned>(
    value: Value,
    key: &Key,
    path: &str,
    problems: &mut Problems,
) -> Option<T> {
    let number = value.as_integer();
    let read = match serde_path_to_error::deserialize(value) {
        Ok(read) => read,
        Err(error) => {
            // The path of the whole value is a dot.
            let below = error.path().to_string();
            let path = match below.as_str() {
                "." => path.to_owned(),
                below => format!("{path}.{below}"),
            };
            problems.unreadable(path, explain::wrong_value(key, error.inner().message()));
            return None;
        }
    };
    if let (Some(range), Some(number)) = (key.range, number)
        && !u64::try_from(number).is_ok_and(|number| range.contains(number))
    {
        problems.out_of_range(path, format!("must be {range}, not {number}"));
        return None;
    }
    Some(read)
}

plain_settings! {
    u8 = ToString::to_string,
    u16 = ToString::to_string,
    u32 = ToString::to_string,
    u64 = ToString::to_string,
    usize = ToString::to_string,
    bool = ToString::to_string,
    String = |text| format!("{text:?}"),
    PathBuf,
    ipnet::IpNet,
    Token,
}

impl Setting for Address {
    fn read(value: Value, _: &Key, path: &str, problems: &mut Problems) -> Option<Self> {
        let address = value.as_str().and_then(|text| text.parse().ok());
        if address.is_none() {
            problems.unreadable(path, "must be an address: 0x and 40 hexadecimal digits");
        }
        address
    }
}

impl Setting for Secret {
    const IS_SECRET: bool = true;

    fn read(value: Value, key: &Key, path: &str, problems: &mut Problems) -> Option<Self> {
        read_plain(value, key, path, problems)
    }
}

impl Setting for BTreeMap<String, Secret> {
    const IS_SECRET: bool = true;

    fn read(value: Value, key: &Key, path: &str, problems: &mut Problems) -> Option<Self> {
        read_plain(value, key, path, problems)
    }
}

impl<T: Setting> Setting for Option<T> {
    const SHAPE: Shape = T::SHAPE;
    const IS_SECRET: bool = T::IS_SECRET;

    fn read(value: Value, key: &Key, path: &str, problems: &mut Problems) -> Option<Self> {
        T::read(value, key, path, problems).map(Some)
    }

    fn toml(&self) -> String {
        self.as_ref().map_or_else(String::new, T::toml)
    }
}

impl<T: Setting> Setting for Vec<T> {
    const SHAPE: Shape = match T::SHAPE {
        Shape::Value => Shape::Value,
        _ => Shape::List(&T::SHAPE),
    };
    const IS_SECRET: bool = T::IS_SECRET;

    fn read(value: Value, key: &Key, path: &str, problems: &mut Problems) -> Option<Self> {
        let is_list_of_sections = !matches!(T::SHAPE, Shape::Value);
        let header = super::nearest::without_positions(path);
        let Value::Array(items) = value else {
            let message = match is_list_of_sections {
                true => format!("is a list: write [[{header}]] above each of its entries"),
                false => format!(
                    "must be a list in brackets, not {}",
                    explain::kind_of_value(&value)
                ),
            };
            problems.unreadable(path, message);
            return None;
        };
        let (list, mut read) = (path, Vec::new());
        for (at, item) in items.into_iter().enumerate() {
            let path = format!("{path}.{at}");
            if is_list_of_sections && !item.is_table() {
                let given = explain::kind_of_value(&item);
                let message =
                    format!("must be a section, not {given}: write [[{header}]] above its keys");
                problems.unreadable(path, message);
                problems.incomplete(list);
                continue;
            }
            let entry = T::label(&item).map(|label| format!("{header} entry {}{label}", at + 1));
            let item = match entry {
                Some(entry) => {
                    problems.labeled(&entry, |problems| T::read(item, key, &path, problems))
                }
                None => T::read(item, key, &path, problems),
            };
            match item {
                Some(item) => read.push(item),
                // The positions of the other entries are no longer those of the file.
                None => problems.incomplete(list),
            }
        }
        Some(read)
    }

    fn toml(&self) -> String {
        let items: Vec<String> = self.iter().map(T::toml).collect();
        format!("[{}]", items.join(", "))
    }
}

/// TOML of an enum's variant that the configuration writes in lower case.
pub fn lower_case_word(variant: &impl std::fmt::Debug) -> String {
    format!("\"{variant:?}\"").to_lowercase()
}
