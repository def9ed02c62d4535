//! Prices and amounts never pass through a float: no source between a venue's text and the wire names one.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Everything between a venue's text and the wire: reading, aggregating, storing, publishing, encoding and REST.
const PATHS: [&str; 10] = [
    "crates/base/src/settings",
    "crates/evm/src",
    "crates/prices/src",
    "crates/ingest/src",
    "crates/store/src",
    "crates/model/src",
    "crates/protocol/src",
    "crates/bus/src",
    "crates/gateway/src",
    "crates/api/src",
];

/// Files on that path that use a float for something other than money, each with its use.
const EXCEPTIONS: [(&str, &str); 20] = [
    (
        "crates/base/src/settings/explain.rs",
        "names the kind of a refused value",
    ),
    ("crates/evm/src/chain/providers/telemetry.rs", "metrics"),
    ("crates/evm/src/chain/answer.rs", "ids of responses"),
    ("crates/evm/src/chain/json_values.rs", "refuses them"),
    ("crates/prices/src/lateness.rs", "metrics"),
    ("crates/ingest/src/chains.rs", "metrics"),
    ("crates/ingest/src/chain/contract/telemetry.rs", "metrics"),
    ("crates/ingest/src/chain/telemetry.rs", "metrics"),
    ("crates/store/src/watches.rs", "metrics"),
    ("crates/store/src/writers.rs", "metrics"),
    ("crates/store/src/writer/lease_keeper.rs", "metrics"),
    ("crates/store/src/writer/mod.rs", "metrics"),
    ("crates/bus/src/telemetry.rs", "metrics"),
    ("crates/gateway/src/observe/metrics.rs", "metrics"),
    (
        "crates/gateway/src/auth/claims.rs",
        "times in JWTs (RFC 7519, NumericDate)",
    ),
    (
        "crates/protocol/src/msgpack/decode.rs",
        "requests of clients, which carry no price",
    ),
    (
        "crates/protocol/src/msgpack/float.rs",
        "numbers within payloads of clients",
    ),
    ("crates/protocol/src/encode/msgpack.rs", "ids of requests"),
    (
        "crates/api/src/wire.rs",
        "an example in the OpenAPI description",
    ),
    (
        "crates/api/src/updates.rs",
        "an example in the OpenAPI description",
    ),
];

/// Words that create or take a float.
const FLOATS: [&str; 8] = [
    "f32", "f64", "to_f32", "to_f64", "from_f32", "from_f64", "as_f64", "Float",
];

fn files(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            files(&entry.unwrap().path(), found);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") && path.exists() {
        found.push(path.to_owned());
    }
}

/// The source without its test module. A mere mention of tests in another file ends nothing.
fn without_tests(source: &str) -> &str {
    let mut tests = source.match_indices("#[cfg(test)]");
    let inline = tests.find(|(at, _)| {
        let behind = source[*at..].lines().nth(1);
        behind.is_some_and(|line| line.ends_with("mod tests {"))
    });
    inline.map_or(source, |(at, _)| &source[..at])
}

/// The code of a source, without its tests, comments and the content of string literals.
fn code(source: &str) -> String {
    let mut rest = without_tests(source);
    let mut code = String::new();
    while let Some(next) = rest.chars().next() {
        let raw = rest
            .strip_prefix('r')
            .map(|tail| tail.trim_start_matches('#'));
        let begins_word = !code.ends_with(|before: char| before.is_alphanumeric() || before == '_');
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if begins_word && raw.is_some_and(|tail| tail.starts_with('"')) {
            let open = rest.find('"').unwrap();
            let close = format!("\"{}", "#".repeat(open - 1));
            rest[open + 1..]
                .find(&close)
                .map_or(rest.len(), |at| open + 1 + at + close.len())
        } else if next == '"' {
            text_length(rest)
        } else if rest.starts_with("'\"'") {
            3
        } else {
            code.push(next);
            rest = &rest[next.len_utf8()..];
            continue;
        };
        code.push(' ');
        rest = &rest[skipped..];
    }
    code
}

/// The length of a string literal in bytes, its quotes included.
fn text_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// Whether there is a number such as `0.5`. `pair.0.1` is not one: it names fields.
fn has_literal(code: &str) -> bool {
    let bytes = code.as_bytes();
    (1..bytes.len().saturating_sub(1)).any(|at| {
        let digits = bytes[..at]
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let before = at.checked_sub(digits + 1).map(|at| bytes[at]);
        let is_number =
            before.is_none_or(|byte| byte != b'.' && byte != b'_' && !byte.is_ascii_alphanumeric());
        bytes[at] == b'.' && digits > 0 && is_number && bytes[at + 1].is_ascii_digit()
    })
}

/// The float types, conversions and literals in a source.
fn floats(source: &str) -> Vec<String> {
    let code = code(source);
    let named = words(&code).filter(|word| FLOATS.contains(word));
    let mut found: Vec<String> = named.map(str::to_owned).collect();
    if has_literal(&code) {
        found.push("a literal".to_owned());
    }
    found
}

#[test]
fn no_float_between_venue_and_wire() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut problems = Vec::new();
    for path in PATHS {
        let mut found = Vec::new();
        files(&root.join(path), &mut found);
        if found.is_empty() {
            problems.push(format!("{path}: listed in PATHS, but no source exists"));
        }
        for file in found {
            let name = file
                .strip_prefix(root)
                .unwrap()
                .to_string_lossy()
                .into_owned();
            let excepted = EXCEPTIONS.iter().any(|(file, _)| *file == name);
            if excepted || name.ends_with("tests.rs") || name.contains("/tests/") {
                continue;
            }
            let floats = floats(&fs::read_to_string(&file).unwrap());
            problems.extend(floats.iter().map(|float| format!("{name}: {float}")));
        }
    }
    for (name, _) in EXCEPTIONS {
        match fs::read_to_string(root.join(name)) {
            Ok(source) if floats(&source).is_empty() => {
                problems.push(format!("{name}: listed as an exception, but uses no float"));
            }
            Ok(_) => {}
            Err(error) => problems.push(format!(
                "{name}: listed as an exception, but cannot be read: {error}"
            )),
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn scan_finds_floats_in_code_only() {
    for source in [
        "let x = price.to_f64();",
        "let x = 3 as f32;",
        "let x = 0.5;",
        "let quote = '\"'; let x = 0.5;",
        "let text = \"a \\\" b\"; let x = 0.5;",
        "#[cfg(test)]\nmod tests;\nlet x = 0.5;",
    ] {
        assert!(!floats(source).is_empty(), "{source}");
    }
    for source in [
        "// as f64\nage.as_secs_f64()",
        "#[cfg(test)]\nmod tests {\nlet x = 0.5;",
        "pair.0.1; // 0.5",
        "let sql = \"SELECT\n 0.5\";",
        "let sql = r#\"a \"quoted\" 0.5\"#;",
    ] {
        assert!(floats(source).is_empty(), "{source}");
    }
}
