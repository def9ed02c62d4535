//! The borders of the crates: which crate may use which, and what the product must not carry.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use toml::Table;

use crate::support::rust_files;

/// Which crates of the workspace each crate may use. An arrow to be added is a decision about the layout: change
/// ARCHITECTURE.md with it.
fn rules() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("protocol", &[] as &[_]),
        ("base", &["protocol"]),
        ("model", &["base", "protocol"]),
        ("evm", &["base", "model", "protocol"]),
        ("prices", &["base", "evm", "model", "protocol"]),
        ("store", &["base", "model", "protocol"]),
        ("bus", &["base", "protocol", "store"]),
        (
            "ingest",
            &["base", "bus", "evm", "model", "prices", "protocol", "store"],
        ),
        ("http", &["base"]),
        ("rooms", &["base", "bus", "protocol", "store"]),
        ("gateway", &["base", "bus", "http", "protocol", "rooms"]),
        (
            "api",
            &["base", "http", "model", "protocol", "rooms", "store"],
        ),
        ("dev", &["base"]),
        ("testkit", &["base", "protocol"]),
    ])
}

/// Crates that open files, sockets or databases, or start tasks.
const IO: [&str; 9] = [
    "axum",
    "hyper",
    "nix",
    "redis",
    "reqwest",
    "socket2",
    "sqlx",
    "tokio",
    "tokio-tungstenite",
];

/// Which modules of the package `chaincast` each of its modules may use.
const MODULES: [(&str, &[&str]); 4] = [
    ("config", &[]),
    ("page", &[]),
    ("app", &["config", "page"]),
    ("cli", &["app", "config"]),
];

/// The modules of `crates/gateway`; each may use those before it.
const GATEWAY: [&str; 17] = [
    "lock_order",
    "clock",
    "config",
    "channel_log",
    "message_sink",
    "entry",
    "auth",
    "deployment",
    "admission",
    "observe",
    "session",
    "hub",
    "requests",
    "upkeep",
    "transport",
    "stats",
    "gateway",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of a manifest's dependencies, those of targets included.
fn dependencies(manifest: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(manifest).unwrap();
    let manifest: Table = toml::from_str(&text).unwrap();
    let targets = manifest.get("target").and_then(|one| one.as_table());
    let tables = targets
        .into_iter()
        .flat_map(|targets| targets.values())
        .filter_map(|target| target.as_table())
        .chain([&manifest]);
    tables
        .filter_map(|table| table.get("dependencies")?.as_table())
        .flat_map(|table| table.keys().cloned())
        .collect()
}

#[test]
fn crates_use_only_allowed_crates() {
    let rules = rules();
    let mut broken = Vec::new();
    let mut seen = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(allowed) = rules.get(name.as_str()) else {
            broken.push(format!("crates/{name} has no rule: add one here"));
            continue;
        };
        for used in dependencies(&path.join("Cargo.toml")) {
            let used = used.strip_prefix("chaincast-");
            if let Some(used) = used.filter(|used| !allowed.contains(used)) {
                broken.push(format!("crates/{name} uses {used}"));
            }
        }
        seen.insert(name);
    }
    assert_eq!(broken, [] as [String; 0]);
    let known: BTreeSet<_> = rules.into_keys().map(str::to_owned).collect();
    assert_eq!(seen, known, "a rule is left of a crate that is gone");
}

#[test]
fn product_carries_no_test_servers() {
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let manifest = entry.unwrap().path().join("Cargo.toml");
        let used = dependencies(&manifest);
        assert!(
            !used.contains("chaincast-testkit"),
            "{}",
            manifest.display()
        );
    }
    let used = dependencies(&root().join("Cargo.toml"));
    assert!(used.contains("chaincast-gateway"), "{used:?}");
    assert!(!used.contains("chaincast-testkit"), "{used:?}");
}

#[test]
fn protocol_does_no_io() {
    let used = dependencies(&root().join("crates/protocol/Cargo.toml"));
    let io: Vec<_> = IO.iter().filter(|name| used.contains(**name)).collect();
    assert!(io.is_empty(), "crates/protocol uses {io:?}");
}

#[test]
fn modules_import_only_allowed_modules() {
    let rules = BTreeMap::from(MODULES);
    check_modules(&root().join("src"), |module| {
        let allowed = rules.get(module);
        allowed.unwrap_or_else(|| panic!("src/{module} has no rule: add one here"))
    });
}

#[test]
fn modules_of_the_gateway_import_only_earlier_ones() {
    check_modules(&root().join("crates/gateway/src"), |module| {
        let place = GATEWAY.iter().position(|name| *name == module);
        let place = place.unwrap_or_else(|| panic!("{module} has no place: add it to GATEWAY"));
        &GATEWAY[..place]
    });
}

/// Checks the imports of each top-level module of a crate.
fn check_modules<'a>(src: &Path, allowed: impl Fn(&str) -> &'a [&'a str]) {
    let mut broken = Vec::new();
    let mut seen = 0;
    for file in rust_files(src) {
        let relative = file.strip_prefix(src).unwrap();
        let module = relative.iter().next().unwrap().to_str().unwrap();
        let module = module.trim_end_matches(".rs");
        if ["lib", "main", "tests"].contains(&module) {
            continue;
        }
        let allowed = allowed(module);
        let text = std::fs::read_to_string(&file).unwrap();
        for used in crate_modules(&text) {
            seen += 1;
            if used != module && !allowed.contains(&used.as_str()) {
                broken.push(format!("{} uses crate::{used}", file.display()));
            }
        }
    }
    assert!(
        seen > 10,
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
