//! Explains errors of serde in plain words. Values are never repeated, because they may be secrets; only numbers and the
//! names of wrong words are.

use toml::Value;

use super::{Key, nearest::closest};

/// Why the value of a key cannot be read. `message` is serde's.
pub(super) fn wrong_value(key: &Key, message: &str) -> String {
    let message = message.lines().next().unwrap_or_default().trim();
    if let Some(rest) = message.strip_prefix("unknown variant `") {
        return unknown_word(rest);
    }
    let mistaken = message.strip_prefix("invalid type: ");
    let mistaken = mistaken.or_else(|| message.strip_prefix("invalid value: "));
    if let Some((given, expected)) = mistaken.and_then(|rest| rest.rsplit_once(", expected ")) {
        let (accepted, kind) = (accepted(key, expected), kind_of(key, given, expected));
        return format!("must be {accepted}, not {kind}");
    }
    match key.is_secret {
        true => "is not valid".to_owned(),
        false => message.to_owned(),
    }
}

/// `rest` is serde's message after "unknown variant `".
fn unknown_word(rest: &str) -> String {
    let (word, expected) = rest.split_once('`').unwrap_or((rest, ""));
    // The words between backticks.
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    let listed: Vec<String> = known.iter().map(|word| format!("{word:?}")).collect();
    let one_of = match listed.as_slice() {
        [only] => only.clone(),
        _ => format!("one of {}", listed.join(", ")),
    };
    match closest(word, known.into_iter()) {
        Some(suggestion) => format!("must be {one_of}; did you mean {suggestion:?}?"),
        None => format!("must be {one_of}"),
    }
}

/// The TOML name of what serde reports as the given value.
fn kind_of(key: &Key, given: &str, expected: &str) -> String {
    let kind = given.split(['`', '"']).next().unwrap_or(given).trim();
    match kind {
        "string" => "a string".to_owned(),
        "integer" => match given.split('`').nth(1) {
            // A number out of the range of its type.
            Some(number) if !key.is_secret && limits_of(expected).is_some() => number.to_owned(),
            _ => "a whole number".to_owned(),
        },
        "floating point" => "a number with a fraction".to_owned(),
        "boolean" => "true or false".to_owned(),
        "sequence" => "a list".to_owned(),
        "map" => "a section".to_owned(),
        other => other.to_owned(),
    }
}

/// The same for a TOML value.
pub(super) fn kind_of_value(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number with a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a section",
    }
}

/// The values that a key accepts: its declared range, else that of its type.
fn accepted(key: &Key, expected: &str) -> String {
    match (limits_of(expected), key.range) {
        (Some(_), Some(range)) if range.or_zero || matches!(range.most, 1 | u64::MAX) => {
            format!("a number: {range}")
        }
        (Some(_), Some(range)) => format!("a number from {range}"),
        (Some((least, most)), None) => format!("a number from {least} to {most}"),
        (None, _) => match expected {
            "a boolean" => "true or false".to_owned(),
            "a string" => "a string in quotes".to_owned(),
            "a sequence" => "a list in brackets".to_owned(),
            "a map" => "a section".to_owned(),
            other if other.starts_with("struct ") => "a section".to_owned(),
            other => other.to_owned(),
        },
    }
}

/// The smallest and largest number of a type.
fn limits_of(expected: &str) -> Option<(&'static str, &'static str)> {
    Some(match expected {
        "u8" => ("0", "255"),
        "u16" => ("0", "65535"),
        "u32" => ("0", "4294967295"),
        "u64" | "usize" => ("0", "9223372036854775807"),
        "i64" => ("-9223372036854775808", "9223372036854775807"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Key = Key::new::<u16>("port", &[], String::new);

    #[test]
    fn names_range_but_never_the_value() {
        let ranged = PLAIN.range(1, 256);
        for (key, given, expected) in [
            (
                PLAIN,
                "invalid type: string \"s3cret\", expected u16",
                "must be a number from 0 to 65535, not a string",
            ),
            (
                PLAIN,
                "invalid value: integer `70000`, expected u16",
                "must be a number from 0 to 65535, not 70000",
            ),
            (
                ranged,
                "invalid type: boolean `true`, expected usize",
                "must be a number from 1 to 256, not true or false",
            ),
            (
                PLAIN.zero_or(2, 9),
                "invalid type: string \"x\", expected u64",
                "must be a number: 0, or 2 to 9, not a string",
            ),
        ] {
            assert_eq!(wrong_value(&key, given), expected);
        }
    }

    #[test]
    fn names_accepted_values() {
        assert_eq!(
            wrong_value(
                &PLAIN,
                "unknown variant `rediss`, expected `memory` or `redis`"
            ),
            "must be one of \"memory\", \"redis\"; did you mean \"redis\"?"
        );
        assert_eq!(
            wrong_value(&PLAIN, "invalid type: string \"yes\", expected a boolean"),
            "must be true or false, not a string"
        );
    }

    #[test]
    fn hides_secret_in_custom_message() {
        let secret = Key::new::<crate::Secret>("key", &[], String::new);
        assert_eq!(wrong_value(&secret, "\"s3cret\" is odd"), "is not valid");
        assert_eq!(
            wrong_value(&secret, "invalid type: integer `12345`, expected a string"),
            "must be a string in quotes, not a whole number"
        );
        assert_eq!(wrong_value(&PLAIN, "\"x\" is odd"), "\"x\" is odd");
    }
}
