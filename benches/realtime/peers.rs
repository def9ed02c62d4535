//! The versions of what is compared with.

use std::{fs, process::Command};

use crate::{machine::said, server::Who};

/// Name and version of each peer, or that it is missing.
pub fn versions() -> Vec<String> {
    Who::PEERS
        .iter()
        .flat_map(|who| versions_of(*who))
        .collect()
}

fn versions_of(who: Who) -> Vec<String> {
    if !who.is_installed() {
        return vec![format!(
            "{}: missing, install it with scripts/setup bench",
            who.name()
        )];
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let npm = |package: &str| {
        let path = root.join(format!(
            "benches/peers/node/node_modules/{package}/package.json"
        ));
        let text = fs::read_to_string(path).unwrap_or_default();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        format!(
            "{package} {}",
            json["version"].as_str().unwrap_or("unknown")
        )
    };
    match who {
        Who::SocketIo => vec![npm("socket.io")],
        Who::NestJs => vec![npm("@nestjs/platform-socket.io")],
        _ => {
            let python = root.join("target/bench/peers/python/bin/python");
            let script = "import importlib.metadata as m, platform as p; \
                          print(f\"socketify {m.version('socketify')} on Python {p.python_version()}\")";
            vec![said(Command::new(python).args(["-c", script]))]
        }
    }
}
