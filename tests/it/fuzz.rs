//! The inputs that fuzzing kept (scripts/fuzz), as ordinary tests: what was found once stays mended.

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
        // A panic is reported with the input's file.
        let held = std::panic::catch_unwind(|| holds(&data));
        assert!(held.is_ok(), "{} breaks a promise", path.display());
        seen += 1;
    }
    assert!(seen >= 10, "{} inputs in {}", seen, folder.display());
}

#[test]
fn frames_of_the_corpus_mean_the_same_however_they_are_cut() {
    every_input("frames", properties::frames);
}

#[test]
fn socketio_packets_of_the_corpus_are_written_as_they_are_read() {
    every_input("socketio", properties::socketio);
}

#[test]
fn native_messages_of_the_corpus_are_read_alike_however_they_are_spelt() {
    every_input("protocol", properties::protocol);
}
