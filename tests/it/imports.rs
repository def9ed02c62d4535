//! The import rules of the module layout, checked against the sources.

use std::{collections::BTreeMap, path::Path};

use crate::support::rust_files;

/// Which of the crate's modules each module may use, besides those of [`FOR_ALL`].
fn rules() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("model", &[] as &[_]),
        ("retry", &[]),
        ("settings", &[]),
        ("shutdown", &[]),
        ("telemetry", &[]),
        ("tls", &[]),
        ("client", &[]),
        ("source", &[]),
        ("store", &[]),
        ("ingest", &["source", "store", "bus"]),
        ("bus", &["store"]),
        ("gateway", &["bus", "client", "problem"]),
        ("api", &["store", "client", "problem"]),
        ("page", &[]),
        ("problem", &[]),
        ("server", &[]),
        ("dev", &[]),
        (
            "config",
            &[
                "api", "bus", "gateway", "server", "source", "store", "client",
            ],
        ),
        (
            "app",
            &[
                "api", "bus", "config", "gateway", "ingest", "page", "problem", "server", "source",
                "store", "client",
            ],
        ),
        (
            "cli",
            &[
                "app", "bus", "config", "dev", "gateway", "ingest", "server", "source", "store",
            ],
        ),
    ])
}

const FOR_ALL: [&str; 6] = ["model", "retry", "settings", "shutdown", "telemetry", "tls"];

#[test]
fn modules_import_only_allowed_modules() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rules = rules();
    let mut broken = Vec::new();
    let mut seen = 0;
    for file in rust_files(&src) {
        let relative = file.strip_prefix(&src).unwrap();
        let module = relative
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_str()
            .unwrap();
        let module = module.trim_end_matches(".rs");
        if module == "lib" || module == "main" {
            continue;
        }
        let Some(allowed) = rules.get(module) else {
            broken.push(format!(
                "{module} is a module without a rule: add one to this test and to ARCHITECTURE.md"
            ));
            continue;
        };
        let text = std::fs::read_to_string(&file).unwrap();
        for used in crate_modules(&text) {
            seen += 1;
            let fine = used == module
                || FOR_ALL.contains(&used.as_str())
                || allowed.contains(&used.as_str());
            if !fine && rules.contains_key(used.as_str()) {
                broken.push(format!("{} uses crate::{used}", relative.display()));
            }
        }
    }
    assert!(
        seen > 50,
        "only {seen} imports were found: this test no longer parses them"
    );
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Names after `crate::`, also inside `use crate::{a::…, b::…}`. Test modules may use more, so what follows
/// `#[cfg(test)]` is left out.
fn crate_modules(text: &str) -> Vec<String> {
    let text = text
        .split("#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or_default();
    let mut names = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut word = String::new();
            let mut first = true;
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 1 => first = true,
                    c if depth == 1 && first && (c.is_alphanumeric() || c == '_') => {
                        word.push(c);
                        continue;
                    }
                    _ => {}
                }
                if !word.is_empty() {
                    names.push(std::mem::take(&mut word));
                    first = false;
                }
                if depth == 0 {
                    break;
                }
            }
        } else {
            let name: String = rest
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            names.push(name);
        }
    }
    names
}

#[test]
fn finds_single_and_grouped_imports() {
    let text = "use crate::model::{A, B};\nuse crate::{\n    bus::{C, D},\n    store::Store,\n};\ncrate::api::x();";
    assert_eq!(crate_modules(text), ["model", "bus", "store", "api"]);
}
