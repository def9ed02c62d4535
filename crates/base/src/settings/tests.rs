//! Sections as a whole: defaults, problems and their keys.

use super::{Key, Problems, Setting, Shape, settings};
use crate::Secret;

settings! {
    /// The root.
    pub struct Root {
        server: Server = Server::default();
        nodes: Vec<Node> = Vec::new();
    }
}

settings! {
    /// `[server]`
    #[derive(PartialEq)]
    pub struct Server {
        /// Port.
        port: u16 = 3_000;
        /// Backlog.
        backlog: u32 = 64, range(16, 1_024), unit("connections");
        /// Idle time.
        idle_ms: u64 = 0, zero_or(100, 600);
        /// Names.
        names: Vec<String> = vec!["a".to_owned()];
    }
    with {
        /// Not a key.
        origin: String = "file".to_owned();
    }
}

settings! {
    /// `[[nodes]]`
    pub struct Node {
        /// Where it is.
        url: Secret = Secret::default(), required(), example("\"http://node\"");
        /// Its number.
        id: Option<u64> = None, example("1"), at_least(1);
    }
}

fn read(text: &str) -> (Root, Vec<String>) {
    let mut problems = Problems::new(Root::KEYS);
    let whole = Key::new::<Root>("", &[], String::new);
    let table = toml::from_str::<toml::Table>(text).unwrap();
    let root = Root::read(table.into(), &whole, "", &mut problems).unwrap();
    let found = problems.into_all();
    (root, found.iter().map(ToString::to_string).collect())
}

#[test]
fn absent_keys_have_their_defaults() {
    let (root, problems) = read("[server]\nport = 1\n[[nodes]]\nurl = 'x'");
    assert_eq!(problems, [""; 0]);
    let expected = Server {
        port: 1,
        ..Server::default()
    };
    assert_eq!(root.server, expected);
    assert_eq!(
        (root.server.backlog, root.server.origin.as_str()),
        (64, "file")
    );
    assert_eq!((root.nodes[0].url.expose(), root.nodes[0].id), ("x", None));
}

#[test]
fn reports_every_problem_of_every_section() {
    let (root, mut problems) = read(
        "typo = 1\n[server]\nport = 'x'\nbacklog = 8\nidle_ms = 50\nnames = ['a', 1]\nprot = 1\nurl = 'x'\n\
         [[nodes]]\nid = 0\n[[nodes]]\nurl = 7\nnmae = 1\n[[nodes]]\nurl = 'y'\nid = true",
    );
    problems.sort();
    let expected = [
        "nodes.0.id: must be above 0, not 0",
        "nodes.0.url: is missing",
        "nodes.1.nmae: unknown key; the keys of this section are url, id",
        "nodes.1.url: must be a string in quotes, not a whole number",
        "nodes.2.id: must be a number: above 0, not true or false",
        "server.backlog: must be 16 to 1024, not 8",
        "server.idle_ms: must be 0, or 100 to 600, not 50",
        "server.names.1: must be a string in quotes, not a whole number",
        "server.port: must be a number from 0 to 65535, not a string",
        "server.prot: unknown key; did you mean server.port?",
        "server.url: unknown key; did you mean nodes.url?",
        "typo: unknown key; the sections are server, nodes",
    ];
    assert_eq!(problems, expected);
    assert_eq!((root.server.backlog, root.nodes.len()), (64, 3));
}

#[test]
fn section_and_list_are_not_confused() {
    let (_, problems) = read("server = 1\n[nodes]\nurl = 'x'");
    assert_eq!(
        problems,
        [
            "server: must be a section, not a whole number",
            "nodes: is a list: write [[nodes]] above each of its entries",
        ]
    );
    let (_, problems) = read("nodes = ['s3cret']\n");
    assert_eq!(
        problems,
        ["nodes.0: must be a section, not a string: write [[nodes]] above its keys"]
    );
}

#[test]
fn later_check_skips_what_cannot_be_read() {
    let mut problems = Problems::new(Root::KEYS);
    problems.unreadable("server.port", "is wrong");
    problems.incomplete("nodes.1");
    for key in ["server.port", "nodes.1.id"] {
        problems.add(key, "is not checked");
    }
    problems.add("nodes.10.id", "is checked");
    let keys: Vec<String> = problems.into_all().into_iter().map(|of| of.key).collect();
    assert_eq!(keys, ["server.port", "nodes.10.id"]);
}

#[test]
fn only_identical_problems_are_dropped() {
    let mut problems = Problems::new(Root::KEYS);
    for (key, message) in [
        ("nodes.0", "is a duplicate"),
        ("nodes.0.id", "is odd"),
        ("nodes.0.id", "is odd"),
        ("nodes.0.id", "is large"),
    ] {
        problems.add(key, message);
    }
    let found: Vec<String> = problems
        .into_all()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        found,
        [
            "nodes.0: is a duplicate",
            "nodes.0.id: is odd",
            "nodes.0.id: is large"
        ]
    );
}

#[test]
fn reported_values_are_known_to_later_checks() {
    let mut problems = Problems::new(Root::KEYS);
    let text = "[server]\nbacklog = 1\nidel_ms = 1\nnames = [1]\n[[nodes]]\nurl = 'x'\nid = 0\n[[nodes]]\nid = 1";
    let table = toml::from_str::<toml::Table>(text).unwrap();
    let whole = Key::new::<Root>("", &[], String::new);
    Root::read(table.into(), &whole, "", &mut problems).unwrap();
    // Out of range, misspelt, a part of it unreadable; and what contains them.
    for path in [
        "server.backlog",
        "server.idle_ms",
        "server.names",
        "server",
        "nodes.0.id",
        "nodes.1.id",
    ] {
        assert!(problems.is_reported(path), "{path}");
    }
    for path in ["server.port", "server.back", "nodes.0.url", "nodes.10"] {
        assert!(!problems.is_reported(path), "{path}");
    }
    assert!(problems.is_reported_in_list("nodes", "id"));
    problems = Problems::new(Root::KEYS);
    problems.unreadable("nodes.3.id", "is wrong");
    assert!(!problems.is_reported_in_list("nodes", "url"));
    problems.unreadable("nodes", "is wrong");
    assert!(problems.is_reported_in_list("nodes", "url") && problems.is_reported("nodes.7.url"));
}

#[test]
fn misspelt_key_hides_no_problem_of_set_key() {
    let read = |text: &str| {
        let mut problems = Problems::new(Root::KEYS);
        let table = toml::from_str::<toml::Table>(text).unwrap();
        let whole = Key::new::<Root>("", &[], String::new);
        Root::read(table.into(), &whole, "", &mut problems).unwrap();
        problems.add("server.idle_ms", "is odd");
        assert!(problems.is_reported("server.idle_ms"), "{text}");
        problems.into_all().len()
    };
    assert_eq!(read("[server]\nidel_ms = 1\nidle_ms = 5"), 2);
    assert_eq!(
        read("[server]\nidel_ms = 1"),
        1,
        "the default is not the configured value"
    );
}

#[test]
fn suggestions_are_limited() {
    let text: String = (0..2_000).map(|at| format!("port{at} = 1\n")).collect();
    let (_, problems) = read(&format!("[server]\n{text}"));
    let suggested = problems.iter().filter(|of| of.contains("did you mean"));
    assert_eq!((problems.len(), suggested.count()), (2_000, 1_000));
}

#[test]
fn serde_error_has_every_problem() {
    let error = toml::from_str::<Server>("port = 'x'\nbacklog = 1").unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("port: must be") && text.contains("backlog: must be"),
        "{text}"
    );
}

#[test]
fn key_knows_shape_unit_and_secrecy() {
    let [server, nodes] = Root::KEYS else {
        panic!("{:?}", Root::KEYS)
    };
    assert!(matches!(server.shape, Shape::Section(_)) && matches!(nodes.shape, Shape::List(_)));
    let units: Vec<_> = Server::KEYS.iter().map(Key::unit_name).collect();
    assert_eq!(units, [None, Some("connections"), Some("ms"), None]);
    assert_eq!((Server::KEYS[3].default)(), "[\"a\"]");
    assert!(Node::KEYS[0].is_secret && !Node::KEYS[1].is_secret);
}
