//! The source files of the crate.

use std::path::{Path, PathBuf};

/// The Rust files below `dir` in order, without those of tests: `tests` of a folder, and `NAME_tests.rs` beside the file
/// that it tests.
pub fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut entries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let mut found = Vec::new();
    for path in entries {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if name == "tests" || name.ends_with("_tests") {
            continue;
        }
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The Rust files of every crate of the product below `root`, except those of tests, in order.
pub fn product_files(root: &Path) -> Vec<PathBuf> {
    let mut found = rust_files(&root.join("src"));
    let Ok(crates) = std::fs::read_dir(root.join("crates")) else {
        return found;
    };
    let mut crates: Vec<_> = crates.map(|entry| entry.unwrap().path()).collect();
    crates.sort();
    for path in crates.iter().filter(|path| !path.ends_with("testkit")) {
        found.extend(rust_files(&path.join("src")));
    }
    found
}
