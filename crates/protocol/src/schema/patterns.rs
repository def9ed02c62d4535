//! The regular expressions of schemas, compiled once.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

/// Regular expressions by their text.
#[derive(Debug, Clone, Default)]
pub(super) struct Patterns(BTreeMap<String, Regex>);

impl Patterns {
    /// Those within these schemas.
    pub fn new<'a>(schemas: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut patterns = Self::default();
        schemas
            .into_iter()
            .for_each(|schema| patterns.collect(schema));
        patterns
    }

    fn collect(&mut self, schema: &Value) {
        match schema {
            Value::Object(keywords) => {
                if let Some(Value::String(text)) = keywords.get("pattern")
                    && let Ok(regex) = Regex::new(text)
                {
                    self.0.insert(text.clone(), regex);
                }
                keywords.values().for_each(|schema| self.collect(schema));
            }
            Value::Array(schemas) => schemas.iter().for_each(|schema| self.collect(schema)),
            _ => {}
        }
    }

    /// The expression with this text; `None` if no schema has it.
    pub fn get(&self, text: &Value) -> Option<&Regex> {
        self.0.get(text.as_str()?)
    }
}
