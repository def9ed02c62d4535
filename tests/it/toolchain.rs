//! One compiler release for all builds: developers, CI and the image.

use std::{fs, path::Path};

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text between `before` and the next quote or hyphen.
fn value<'a>(text: &'a str, before: &str) -> &'a str {
    let rest = text
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before}"))
        .1;
    rest.split(['"', '-']).next().unwrap()
}

/// Major and minor version.
fn release(version: &str) -> String {
    version.split('.').take(2).collect::<Vec<_>>().join(".")
}

#[test]
fn manifest_toolchain_and_image_name_one_release() {
    let manifest = read("Cargo.toml");
    let wanted = value(&manifest, "rust-version = \"");
    let toolchain = read("rust-toolchain.toml");
    assert_eq!(release(value(&toolchain, "channel = \"")), wanted);
    let image = read("Dockerfile");
    assert_eq!(release(value(&image, "FROM rust:")), wanted);
}

#[test]
fn ci_runs_lint_and_all_tests() {
    let script = read(".ci/run");
    let commands: Vec<&str> = script
        .lines()
        .filter(|line| line.starts_with("make "))
        .collect();
    assert_eq!(commands, ["make lint", "make test"]);
    let workflow = read(".github/workflows/ci.yml");
    assert!(workflow.contains("- run: .ci/run\n"), "{workflow}");
}
