//! Money never passes through a float: between a venue's text and the wire no source names one.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What prices, ticks, candles and alerts pass through. What is not there is not looked at.
const PATHS: [&str; 21] = [
    "src/source/price",
    "src/ingest/price",
    "src/store/ticks.rs",
    "src/store/prices.rs",
    "src/store/candles.rs",
    "src/store/alerts.rs",
    "src/store/alert_deliveries.rs",
    "src/store/alert_firing.rs",
    "src/store/read/price.rs",
    "src/store/read/tick.rs",
    "src/store/read/candle.rs",
    "src/store/read/alert.rs",
    "src/model/price.rs",
    "src/model/candle.rs",
    "src/model/alert.rs",
    "src/model/number.rs",
    "src/api/prices.rs",
    "src/api/candles.rs",
    "src/api/alerts.rs",
    "src/api/alert_deliveries.rs",
    "src/api/alert_request.rs",
];

/// Words that make or take a float.
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

/// A source without the tests that stand in it; a mere mention of tests in another file ends nothing.
fn product(source: &str) -> &str {
    let mut tests = source.match_indices("#[cfg(test)]");
    let inline = tests.find(|(at, _)| {
        let behind = source[*at..].lines().nth(1);
        behind.is_some_and(|line| line.ends_with("mod tests {"))
    });
    inline.map_or(source, |(at, _)| &source[..at])
}

/// The words of a source that are neither in a comment nor in its tests.
fn words(source: &str) -> impl Iterator<Item = &str> {
    product(source)
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'))
}

/// Numbers such as `0.5`, outside of texts.
fn has_literal(source: &str) -> bool {
    let code = product(source)
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    code.filter(|line| !line.contains('"')).any(|line| {
        let bytes = line.as_bytes();
        bytes
            .windows(3)
            .any(|three| three[0].is_ascii_digit() && three[1] == b'.' && three[2].is_ascii_digit())
    })
}

#[test]
fn no_float_is_between_a_venues_text_and_the_wire() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for path in PATHS {
        files(&root.join(path), &mut found);
    }
    found.retain(|path| !path.to_string_lossy().ends_with("tests.rs"));
    assert!(found.len() > 20, "{found:?}");
    let mut floats = Vec::new();
    for path in &found {
        let source = fs::read_to_string(path).unwrap();
        let named = words(&source).filter(|word| FLOATS.contains(word));
        floats.extend(named.map(|word| format!("{}: {word}", path.display())));
        // Examples for people stand in the API's schemas.
        if has_literal(&source) && !path.starts_with(root.join("src/api")) {
            floats.push(format!("{}: a literal", path.display()));
        }
    }
    assert!(floats.is_empty(), "{floats:#?}");
}

#[test]
fn the_scan_sees_a_float() {
    assert!(words("let x = price.to_f64();").any(|word| FLOATS.contains(&word)));
    assert!(words("let x = 3 as f32;").any(|word| FLOATS.contains(&word)));
    assert!(!words("// as f64\nage.as_secs_f64()").any(|word| FLOATS.contains(&word)));
    assert!(has_literal("#[cfg(test)]\nmod tests;\nlet x = 0.5;"));
    assert!(!has_literal("#[cfg(test)]\nmod tests {\nlet x = 0.5;"));
    assert!(has_literal("let x = 0.5;") && !has_literal("pair.0.price; // 0.5"));
}
