//! Checks messages against their schemas, for tests: stricter than the published schemas, because a key that a schema
//! does not have is an error.

use serde_json::{Map, Value};

use super::Schemas;

/// Why a value does not match its schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {fault}")]
pub struct Mismatch {
    /// Where in the value, such as `data.sources[0]`.
    pub path: String,
    /// The value and the keyword that it violates, or what the schema lacks.
    pub fault: String,
}

fn mismatch(path: &str, fault: impl Into<String>) -> Mismatch {
    Mismatch {
        path: path.to_owned(),
        fault: fault.into(),
    }
}

impl Schemas {
    /// Checks a whole message by its `event`.
    pub fn check(&self, message: &Value) -> Result<(), Mismatch> {
        let event = message["event"].as_str().unwrap_or_default();
        let known = self.message(event);
        let known = known.ok_or_else(|| mismatch("event", format!("no message {event:?}")))?;
        self.check_value(&known.payload, message, "")
    }

    /// Checks a value by the name of its definition, such as `PriceUpdate`.
    pub fn check_as(&self, name: &str, value: &Value) -> Result<(), Mismatch> {
        let schema = self.definitions.get(name);
        let schema = schema.ok_or_else(|| mismatch("", format!("no definition {name:?}")))?;
        self.check_value(schema, value, "")
    }

    fn check_value(&self, schema: &Value, value: &Value, path: &str) -> Result<(), Mismatch> {
        let Value::Object(keywords) = schema else {
            return match schema {
                Value::Bool(true) => Ok(()),
                _ => Err(mismatch(path, "not allowed")),
            };
        };
        for (keyword, rule) in keywords {
            if !self.holds(keywords, keyword, rule, value, path)? {
                return Err(mismatch(path, format!("{value} violates {keyword} {rule}")));
            }
        }
        Ok(())
    }

    /// Whether a value follows one keyword of a schema. A fault within the value is the error.
    fn holds(
        &self,
        schema: &Map<String, Value>,
        keyword: &str,
        rule: &Value,
        value: &Value,
        path: &str,
    ) -> Result<bool, Mismatch> {
        let matches = |schema: &&Value| self.check_value(schema, value, path).is_ok();
        let schemas = rule.as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(match keyword {
            "$ref" => {
                let target = rule
                    .as_str()
                    .and_then(|reference| self.definition(reference));
                let target = target.ok_or_else(|| mismatch(path, format!("{rule} is missing")))?;
                self.check_value(target, value, path)?;
                true
            }
            "allOf" => {
                for schema in schemas {
                    self.check_value(schema, value, path)?;
                }
                true
            }
            "anyOf" => schemas.iter().any(|schema| matches(&schema)),
            "oneOf" => schemas.iter().filter(matches).count() == 1,
            "not" => !self.has_all(rule, value),
            "const" => value == rule,
            "enum" => schemas.contains(value),
            "type" if rule.is_array() => schemas.iter().any(|ty| is_of_type(value, ty)),
            "type" => is_of_type(value, rule),
            "minimum" => integer(value).is_none_or(|value| integer(rule) <= Some(value)),
            "maximum" => integer(value).is_none_or(|value| Some(value) <= integer(rule)),
            "minItems" => value.as_array().is_none_or(|items| {
                rule.as_u64()
                    .is_some_and(|least| items.len() as u64 >= least)
            }),
            "maxItems" => value
                .as_array()
                .is_none_or(|items| rule.as_u64().is_some_and(|most| items.len() as u64 <= most)),
            "pattern" => {
                let regex = self.patterns.get(rule);
                let regex = regex.ok_or_else(|| mismatch(path, format!("{rule} is no pattern")))?;
                value.as_str().is_none_or(|text| regex.is_match(text))
            }
            "items" => {
                for (at, item) in value.as_array().into_iter().flatten().enumerate() {
                    self.check_value(rule, item, &format!("{path}[{at}]"))?;
                }
                true
            }
            "required" => schemas
                .iter()
                .filter_map(Value::as_str)
                .all(|key| value.get(key).is_some()),
            "properties" | "additionalProperties" => {
                self.check_keys(schema, value, path)?;
                true
            }
            "default" | "description" | "examples" | "format" => true,
            _ => {
                return Err(mismatch(
                    path,
                    format!("cannot check the keyword {keyword}"),
                ));
            }
        })
    }

    /// Whether an object has the required keys of a schema, with the values that it describes, and perhaps others.
    fn has_all(&self, schema: &Value, value: &Value) -> bool {
        let keys = schema["required"].as_array().into_iter().flatten();
        keys.filter_map(Value::as_str).all(|key| {
            let value = value.get(key);
            value.is_some_and(|value| {
                self.check_value(&schema["properties"][key], value, "")
                    .is_ok()
            })
        })
    }

    /// Checks each key of an object by `properties`, or else by `additionalProperties`.
    fn check_keys(
        &self,
        schema: &Map<String, Value>,
        value: &Value,
        path: &str,
    ) -> Result<(), Mismatch> {
        for (key, value) in value.as_object().into_iter().flatten() {
            let path = match path {
                "" => key.clone(),
                path => format!("{path}.{key}"),
            };
            let property = schema.get("properties").and_then(|all| all.get(key));
            match property.or_else(|| schema.get("additionalProperties")) {
                Some(schema) => self.check_value(schema, value, &path)?,
                None => return Err(mismatch(&path, "the schema does not have this key")),
            }
        }
        Ok(())
    }
}

fn integer(value: &Value) -> Option<i128> {
    let unsigned = value.as_u64().map(i128::from);
    unsigned.or_else(|| value.as_i64().map(i128::from))
}

fn is_of_type(value: &Value, ty: &Value) -> bool {
    match ty.as_str() {
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("null") => value.is_null(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn accepts_messages_of_the_protocol() {
        let schemas = Schemas::new();
        for message in [
            json!({"event": "subscribe", "id": "a", "data": {"channels": ["new-block"], "since": {"new-block": 41}}}),
            json!({"event": "pong", "id": 4, "data": {"timestamp": 1}}),
            json!({"event": "error", "data": {"code": "FORBIDDEN", "message": "no"}}),
        ] {
            assert_eq!(schemas.check(&message), Ok(()), "{message}");
        }
    }

    #[test]
    fn names_the_fault_and_its_place() {
        let schemas = Schemas::new();
        for (message, path) in [
            (json!({"event": "novel"}), "event"),
            (json!({"event": "pong"}), ""),
            (
                json!({"event": "pong", "data": {"timestamp": 1, "new": 2}}),
                "data.new",
            ),
            (
                json!({"event": "pong", "data": {"timestamp": "1"}}),
                "data.timestamp",
            ),
            (
                json!({"event": "pong", "data": {"timestamp": 1.5}}),
                "data.timestamp",
            ),
            (
                json!({"event": "pong", "id": null, "data": {"timestamp": 1}}),
                "id",
            ),
            (
                json!({"event": "error", "data": {"code": "NOVEL", "message": ""}}),
                "data.code",
            ),
            (
                json!({"event": "subscribe", "data": {"channel": "a", "interval": 7}}),
                "data.interval",
            ),
        ] {
            let fault = schemas.check(&message).unwrap_err();
            assert_eq!(fault.path, path, "{fault}");
        }
        let hash = json!({"number": 1, "hash": "0xAB"});
        let fault = schemas.check_as("BlockRef", &hash).unwrap_err();
        assert!(
            fault
                .to_string()
                .starts_with("hash: \"0xAB\" violates pattern"),
            "{fault}"
        );
    }
}
