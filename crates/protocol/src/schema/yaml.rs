//! Writes JSON values as YAML 1.2 in block style.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::messages::properties;

/// Longest line of a collection that is written on one line.
const MAX_FLOW: usize = 110;

/// Appends `value` as the value of a key or list item, which has been written already.
pub fn write_value(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() && flow(value).is_none() => {
            out.push('\n');
            write_map(map, indent, out);
        }
        Value::Array(items) if !items.is_empty() && flow(value).is_none() => {
            out.push('\n');
            for item in items {
                let _ = write!(out, "{:indent$}-", "");
                write_item(item, indent + 2, out);
            }
        }
        other => {
            let _ = writeln!(out, " {}", flow(other).unwrap_or_else(|| scalar(other)));
        }
    }
}

/// A list item: the first key of an object is on the line of the dash.
fn write_item(value: &Value, indent: usize, out: &mut String) {
    let start = out.len();
    write_value(value, indent, out);
    let head = format!("\n{:indent$}", "");
    if out[start..].starts_with(&head) {
        out.replace_range(start..start + head.len(), " ");
    }
}

fn write_map(map: &Map<String, Value>, indent: usize, out: &mut String) {
    for (key, value) in map {
        let _ = write!(out, "{:indent$}{}:", "", string(key));
        match (key.as_str(), value) {
            ("properties", Value::Object(all)) if !all.is_empty() => {
                out.push('\n');
                for (name, property) in properties(map) {
                    let _ = write!(out, "{:1$}{2}:", "", indent + 2, string(name));
                    write_value(property, indent + 4, out);
                }
            }
            _ => write_value(value, indent + 2, out),
        }
    }
}

/// A collection of few scalars on one line; `None` if it is not one.
fn flow(value: &Value) -> Option<String> {
    let text = match value {
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Object(map) if map.len() == 1 => match map.get("$ref") {
            Some(reference) if is_scalar(reference) => format!("{{ $ref: {} }}", scalar(reference)),
            _ => return None,
        },
        Value::Array(items) if items.iter().all(is_scalar) => {
            let items: Vec<String> = items.iter().map(scalar).collect();
            format!("[{}]", items.join(", "))
        }
        _ => return None,
    };
    (text.len() <= MAX_FLOW).then_some(text)
}

fn is_scalar(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => string(text),
        other => other.to_string(),
    }
}

/// Plain if that cannot be mistaken for something else, else in single quotes; in double quotes if it has characters that
/// must be escaped.
fn string(text: &str) -> String {
    if text.contains(must_be_escaped) {
        escaped(text)
    } else if is_plain(text) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// Also what is valid in single quotes but not on one line, or only in some versions of YAML.
fn must_be_escaped(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
}

fn escaped(text: &str) -> String {
    let inner = text.chars().fold(String::new(), |mut out, c| {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if must_be_escaped(c) => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
        out
    });
    format!("\"{inner}\"")
}

/// Whether no version of YAML takes the text for anything else than this text.
fn is_plain(text: &str) -> bool {
    let indicators = ":#'\"[]{},`&*!|>%@";
    let words = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '$')
        && !text.ends_with(char::is_whitespace)
        && !text.contains(|c: char| indicators.contains(c))
        && !words.iter().any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
#[path = "yaml_tests.rs"]
mod tests;
