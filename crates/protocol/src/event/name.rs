//! Names of events as text: displayed, compared, serialized and parsed.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};

use super::EventName;

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl PartialEq<str> for EventName {
    fn eq(&self, name: &str) -> bool {
        self.as_str() == name
    }
}

impl PartialEq<&str> for EventName {
    fn eq(&self, name: &&str) -> bool {
        self.as_str() == *name
    }
}

impl Serialize for EventName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EventName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl Visitor<'_> for NameVisitor {
            type Value = EventName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an event")
            }

            fn visit_str<E>(self, name: &str) -> Result<EventName, E> {
                Ok(name.into())
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_round_trip_as_kebab_case() {
        for name in EventName::ALL {
            let text = name.as_str();
            assert!(text.chars().all(|c| c.is_ascii_lowercase() || c == '-'));
            assert_eq!(EventName::from(text), *name);
            let json = serde_json::to_string(name).unwrap();
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<EventName>(&json).unwrap(), *name);
        }
    }

    #[test]
    fn unknown_names_are_kept_unchanged() {
        for text in ["block-verified", "New-Block", "", "a\"b"] {
            let name: EventName = serde_json::from_value(text.into()).unwrap();
            assert!(matches!(name, EventName::Unknown(_)), "{text:?}");
            assert_eq!(name, text);
            assert_eq!(serde_json::to_value(&name).unwrap(), text);
        }
    }
}
