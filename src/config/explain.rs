//! Explains errors of the TOML parser in plain words. Values are never printed, because they may be secrets.

use super::keys;

/// Explains why the value of `path` (such as `server.port`) cannot be parsed. `message` is serde's.
pub(super) fn explain(path: &str, message: &str) -> String {
    let message = message.lines().next().unwrap_or_default().trim();
    if let Some(rest) = message.strip_prefix("unknown field `") {
        return unknown_key(path, rest);
    }
    if let Some(rest) = message.strip_prefix("unknown variant `") {
        return unknown_variant(path, rest);
    }
    if let Some(field) = message
        .strip_prefix("missing field `")
        .and_then(|rest| rest.strip_suffix('`'))
    {
        return match path {
            "" => format!("{field}: is missing"),
            _ => format!("{path}.{field}: is missing"),
        };
    }
    let mistaken = message.strip_prefix("invalid type: ");
    let mistaken = mistaken.or_else(|| message.strip_prefix("invalid value: "));
    if let Some((given, expected)) = mistaken.and_then(|rest| rest.rsplit_once(", expected ")) {
        let kind = kind_of(given);
        return format!("{path}: must be {}, not {kind}", accepted(path, expected));
    }
    format!("{path}: {message}")
}

/// `rest` is serde's message after "unknown field `".
fn unknown_key(path: &str, rest: &str) -> String {
    let (name, expected) = rest.split_once('`').unwrap_or((rest, ""));
    let own: Vec<&str> = quoted(expected);
    // The path ends with the key if the parser knows its position.
    let (section, path) = match path.rsplit_once('.') {
        Some((section, last)) if last == name => (section, path.to_owned()),
        _ if path == name => ("", path.to_owned()),
        _ if path.is_empty() => ("", name.to_owned()),
        _ => (path, format!("{path}.{name}")),
    };
    if let Some(suggestion) = keys::nearest(&path, &own) {
        return format!("{path}: unknown key; did you mean {suggestion}?");
    }
    let known = match section {
        "" => "the sections are",
        _ => "the keys of this section are",
    };
    match own.is_empty() {
        true => format!("{path}: unknown key; config/default.toml lists all keys"),
        false => format!("{path}: unknown key; {known} {}", own.join(", ")),
    }
}

/// `rest` is serde's message after "unknown variant `".
fn unknown_variant(path: &str, rest: &str) -> String {
    let (word, expected) = rest.split_once('`').unwrap_or((rest, ""));
    let known: Vec<&str> = quoted(expected);
    let listed: Vec<String> = known.iter().map(|word| format!("{word:?}")).collect();
    let one_of = match listed.as_slice() {
        [only] => only.clone(),
        _ => format!("one of {}", listed.join(", ")),
    };
    match keys::closest(word, known.into_iter()) {
        Some(suggestion) => format!("{path}: must be {one_of}; did you mean {suggestion:?}?"),
        None => format!("{path}: must be {one_of}"),
    }
}

/// The words between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The TOML name of what serde reports as the given value.
fn kind_of(given: &str) -> String {
    let kind = given.split(['`', '"']).next().unwrap_or(given).trim();
    match kind {
        "string" => "a string".to_owned(),
        "integer" => match given.split('`').nth(1) {
            // A number out of range: it is not a secret.
            Some(number) => number.to_owned(),
            None => "a whole number".to_owned(),
        },
        "floating point" => "a number with a fraction".to_owned(),
        "boolean" => "true or false".to_owned(),
        "sequence" => "a list".to_owned(),
        "map" => "a section".to_owned(),
        other => other.to_owned(),
    }
}

/// The values that a key accepts: its documented limits, else those of its type.
fn accepted(path: &str, expected: &str) -> String {
    let of_type = match expected {
        "u8" => Some(("0", "255")),
        "u16" => Some(("0", "65535")),
        "u32" => Some(("0", "4294967295")),
        "u64" | "usize" => Some(("0", "9223372036854775807")),
        "i64" => Some(("-9223372036854775808", "9223372036854775807")),
        _ => None,
    };
    if let Some((least, most)) = of_type {
        let documented = keys::find(path).and_then(|key| key.limits.as_ref());
        let (least, most) = match documented {
            Some((least, most)) => (least.as_str(), most.as_str()),
            None => (least, most),
        };
        return format!("a number from {least} to {most}");
    }
    match expected {
        "a boolean" => "true or false".to_owned(),
        "a string" => "a string in quotes".to_owned(),
        "a sequence" => "a list in brackets".to_owned(),
        "a map" => "a section".to_owned(),
        other if other.starts_with("struct ") => "a section".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_nearest_key_with_path() {
        let expected = "expected one of `host`, `port`, `accept_backlog`";
        for path in ["server.prot", "server"] {
            assert_eq!(
                explain(path, &format!("unknown field `prot`, {expected}")),
                "server.prot: unknown key; did you mean server.port?"
            );
        }
        assert_eq!(
            explain(
                "server.colour",
                &format!("unknown field `colour`, {expected}")
            ),
            "server.colour: unknown key; the keys of this section are host, port, accept_backlog"
        );
        assert_eq!(
            explain(
                "serverr",
                "unknown field `serverr`, expected `server` or `database`"
            ),
            "serverr: unknown key; did you mean server?"
        );
    }

    #[test]
    fn names_range_but_never_the_value() {
        assert_eq!(
            explain(
                "server.port",
                "invalid type: string \"s3cret\", expected u16"
            ),
            "server.port: must be a number from 0 to 65535, not a string"
        );
        assert_eq!(
            explain(
                "server.port",
                "invalid value: integer `70000`, expected u16"
            ),
            "server.port: must be a number from 0 to 65535, not 70000"
        );
        assert_eq!(
            explain(
                "chains.0.concurrency",
                "invalid type: boolean `true`, expected usize"
            ),
            "chains.0.concurrency: must be a number from 1 to 256, not true or false"
        );
    }

    #[test]
    fn names_accepted_values() {
        assert_eq!(
            explain(
                "bus.kind",
                "unknown variant `rediss`, expected `memory` or `redis`"
            ),
            "bus.kind: must be one of \"memory\", \"redis\"; did you mean \"redis\"?"
        );
        assert_eq!(
            explain(
                "database.auto_migrate",
                "invalid type: string \"yes\", expected a boolean"
            ),
            "database.auto_migrate: must be true or false, not a string"
        );
        assert_eq!(
            explain("chains.0", "missing field `chain_id`"),
            "chains.0.chain_id: is missing"
        );
    }
}
