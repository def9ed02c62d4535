//! The fuzzing corpus (scripts/fuzz) as ordinary tests: a bug that was found once stays fixed.

#[path = "../../fuzz/src/lib.rs"]
mod properties;

use std::path::Path;

fn every_input(target: &str, holds: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let data = std::fs::read(&path).unwrap();
        // A panic is reported with the name of the input file.
        let held = std::panic::catch_unwind(|| holds(&data));
        assert!(held.is_ok(), "{} breaks a promise", path.display());
        seen += 1;
    }
    assert!(seen >= 10, "{} inputs in {}", seen, folder.display());
}

#[test]
fn corpus_frames_decode_the_same_at_any_split() {
    every_input("frames", properties::frames);
}

#[test]
fn corpus_socketio_packets_round_trip() {
    every_input("socketio", properties::socketio);
}

#[test]
fn corpus_native_messages_parse_alike_in_any_spelling() {
    every_input("protocol", properties::protocol);
}

#[test]
fn fuzzed_crate_is_compiled_with_coverage() {
    let read = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz")
            .join(name);
        std::fs::read_to_string(path).unwrap()
    };
    let manifest: toml::Table = toml::from_str(&read("Cargo.toml")).unwrap();
    let dependencies = manifest["dependencies"].as_table().unwrap();
    let ours: Vec<_> = dependencies
        .iter()
        .filter(|(_, dependency)| dependency.get("path").is_some())
        .collect();
    assert_eq!(ours.len(), 1, "{ours:?}");
    let name = ours[0].0.replace('-', "_");
    let wrapper = read("rustc");
    assert!(
        wrapper.contains(&format!("--crate-name {name} ")),
        "fuzz/rustc does not instrument {name}"
    );
}
