//! Writes the messages as TypeScript types.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::messages::{Message, Schemas, Sender, properties};

const HEAD: &str = "\
// The messages of the realtime protocol in JSON; docs/protocol.md describes them.
//
// A `Decimal` has more digits than a JavaScript number: JSON.parse rounds it to the nearest double. Messages can have
// events and fields that this version does not know.
";

/// What every push of the other transports has besides the data of the event.
const MERGED: &str = "
/** The data of an event on Socket.IO and in event streams: with the channel and the position of its message. */
export type Pushed<Data> = Data & { channel: string; seq?: number; prev?: number; snapshot?: true };
";

/// The text of docs/realtime.d.ts.
pub fn typescript(schemas: &Schemas) -> String {
    let mut out = format!("// {}\n//\n{HEAD}", super::GENERATED);
    for (name, schema) in &schemas.definitions {
        out.push('\n');
        declaration(name, schema, &mut out);
    }
    for message in &schemas.messages {
        out.push('\n');
        declaration(&name(message), &message.payload, &mut out);
    }
    for (union, sender) in [
        ("ClientMessage", Sender::Client),
        ("ServerMessage", Sender::Server),
    ] {
        let messages = schemas.messages.iter();
        let names = messages
            .filter(|message| message.sender == sender)
            .map(name);
        let names: Vec<String> = names.collect();
        // Writing into a String does not fail.
        let _ = write!(
            out,
            "\nexport type {union} =\n  | {};\n",
            names.join("\n  | ")
        );
    }
    out.push_str(MERGED);
    out
}

/// The name of a message's type.
fn name(message: &Message) -> String {
    let words = message.event.split('-').map(super::capitalized);
    let suffix = match message.sender {
        Sender::Client => "Request",
        Sender::Server => "Message",
    };
    words.collect::<String>() + suffix
}

fn declaration(name: &str, schema: &Value, out: &mut String) {
    comment(schema, "", out);
    let _ = match schema.as_object() {
        Some(object) if object.contains_key("properties") => {
            writeln!(out, "export interface {name} {}", fields(object, ""))
        }
        _ => {
            let ty = of(schema, "");
            let space = if ty.starts_with('\n') { "" } else { " " };
            writeln!(out, "export type {name} ={space}{ty};")
        }
    };
}

fn comment(schema: &Value, indent: &str, out: &mut String) {
    if let Some(text) = schema["description"].as_str() {
        let _ = writeln!(out, "{indent}/** {} */", text.replace("*/", "* /"));
    }
}

/// The type that a schema describes; `indent` is that of its line.
fn of(schema: &Value, indent: &str) -> String {
    let Some(keys) = schema.as_object() else {
        return "unknown".to_owned();
    };
    if let Some(reference) = keys.get("$ref").and_then(Value::as_str) {
        let name = reference.rsplit('/').next();
        return name.unwrap_or_default().to_owned();
    }
    if let Some(value) = keys.get("const") {
        return value.to_string();
    }
    if let Some(Value::Array(values)) = keys.get("enum") {
        let values: Vec<String> = values.iter().map(Value::to_string).collect();
        return values.join(" | ");
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(Value::Array(schemas)) = keys.get(key) {
            return union(schemas, indent);
        }
    }
    match keys.get("type") {
        Some(Value::Array(types)) => {
            let types: Vec<String> = types.iter().map(|ty| plain(ty, keys, indent)).collect();
            types.join(" | ")
        }
        Some(ty) => plain(ty, keys, indent),
        None => "unknown".to_owned(),
    }
}

/// One of several schemas, on lines of their own if they have descriptions. (A schema with `allOf` has only one.)
fn union(schemas: &[Value], indent: &str) -> String {
    let described = schemas
        .iter()
        .any(|schema| schema["description"].is_string());
    if !described {
        let types: Vec<String> = schemas.iter().map(|schema| of(schema, indent)).collect();
        return types.join(" | ");
    }
    let inner = format!("{indent}  ");
    schemas.iter().fold(String::new(), |mut out, schema| {
        out.push('\n');
        comment(schema, &inner, &mut out);
        let _ = write!(out, "{inner}| {}", of(schema, &inner));
        out
    })
}

/// A type of JSON, with the keys of its schema.
fn plain(ty: &Value, keys: &Map<String, Value>, indent: &str) -> String {
    match ty.as_str() {
        Some("integer" | "number") => "number".to_owned(),
        Some(same @ ("string" | "boolean" | "null")) => same.to_owned(),
        Some("array") => match keys.get("items").map(|items| of(items, indent)) {
            Some(items) if items.contains([' ', '|']) => format!("({items})[]"),
            Some(items) => format!("{items}[]"),
            None => "unknown[]".to_owned(),
        },
        Some("object") if keys.contains_key("properties") => fields(keys, indent),
        Some("object") => match keys.get("additionalProperties") {
            Some(values) => format!("Record<string, {}>", of(values, indent)),
            None => "Record<string, unknown>".to_owned(),
        },
        _ => "unknown".to_owned(),
    }
}

/// The fields of an object, in braces.
fn fields(keys: &Map<String, Value>, indent: &str) -> String {
    let required = keys.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|one| one == name));
    let inner = format!("{indent}  ");
    let mut out = "{\n".to_owned();
    for (name, schema) in properties(keys) {
        comment(schema, &inner, &mut out);
        let optional = if is_required(name) { "" } else { "?" };
        let _ = writeln!(out, "{inner}{name}{optional}: {};", of(schema, &inner));
    }
    out + indent + "}"
}
