//! Modules of a crate do not use each other in circles: each can be read, and changed, without what uses it.
//!
//! A module is a file. Tests do not count, nor does a module that only declares and re-exports its own modules. To open a
//! circle, move what two files share into a file of its own.

mod graph;
mod source;

use std::path::Path;

/// Uses that may close a circle: crate, module, and the module that it uses.
const ALLOWED: [(&str, &str, &str); 1] = [
    // A kind of channel is functions of channels, and a channel finds its kind in the table of kinds.
    ("protocol", "channel/kind.rs", "channel/mod.rs"),
];

#[test]
fn modules_do_not_use_each_other_in_circles() {
    let mut venues_seen = false;
    let mut found = Vec::new();
    let mut unused: Vec<_> = ALLOWED.to_vec();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let crates = std::fs::read_dir(root.join("crates")).unwrap();
    let crates = crates.map(|entry| entry.unwrap().path());
    for path in crates.chain([root.to_owned()]) {
        let name = match path == root {
            true => "chaincast",
            false => path.file_name().unwrap().to_str().unwrap(),
        };
        let src = path.join("src");
        let modules = source::modules(&src.join("lib.rs"));
        let file = |module: usize| {
            let file = modules[module].file.strip_prefix(&src).unwrap();
            file.to_str().unwrap().to_owned()
        };
        venues_seen |= modules
            .iter()
            .any(|module| module.file.ends_with("exchange/binance.rs"));
        let mut uses = graph::uses(&modules);
        for (from, used) in &mut uses {
            used.retain(|to, _| {
                let (from, to) = (file(*from), file(*to));
                let is_this = |one: &(&str, &str, &str)| *one == (name, &from, &to);
                unused.retain(|one| !is_this(one));
                !ALLOWED.iter().any(is_this)
            });
        }
        for circle in graph::circles(&uses) {
            for from in &circle {
                let used = uses[from].iter().filter(|(to, _)| circle.contains(to));
                for (to, path) in used {
                    let (from, to) = (file(*from), file(*to));
                    found.push(format!("{name}: {from} uses {path} of {to}"));
                }
            }
        }
    }
    assert!(venues_seen, "modules that a macro declares are not read");
    assert!(found.is_empty(), "circles:\n{}", found.join("\n"));
    assert!(unused.is_empty(), "no longer needed in ALLOWED: {unused:?}");
}

#[test]
fn finds_circle_through_reexport() {
    for reexport in ["A", "*"] {
        let dir = crate::support::TempDir::new("circles");
        let write = |file: &str, text: &str| std::fs::write(dir.path().join(file), text).unwrap();
        let root = format!("mod a;\nmod b;\nmod c;\npub use a::{reexport};\n");
        write("lib.rs", &root);
        write("a.rs", "use super::b;\npub struct A(b::B);\n");
        write(
            "b.rs",
            "use crate::{A, c::C};\nuse other::*;\npub struct B(Vec<A>, C, other::D);\n",
        );
        write(
            "c.rs",
            "pub struct C;\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n",
        );
        let modules = source::modules(&dir.path().join("lib.rs"));
        let uses = graph::uses(&modules);
        let circles = graph::circles(&uses);
        let [circle] = circles.as_slice() else {
            panic!("{circles:?}")
        };
        let names = circle
            .iter()
            .map(|at| modules[*at].file.file_stem().unwrap());
        assert_eq!(names.collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(uses[&1][&2], "b::B");
        assert_eq!(uses[&2][&1], "crate::A");
    }
}
