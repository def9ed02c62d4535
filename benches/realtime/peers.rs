//! Versions of the peers.

use std::{fs, process::Command};

use crate::{machine::command_output, server::ServerKind};

/// Name and version of each peer, or that it is missing.
pub fn versions() -> Vec<String> {
    ServerKind::PEERS
        .iter()
        .flat_map(|kind| versions_of(*kind))
        .collect()
}

fn versions_of(kind: ServerKind) -> Vec<String> {
    if !kind.is_installed() {
        return vec![format!(
            "{}: missing, install it with scripts/setup bench",
            kind.name()
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
    match kind {
        ServerKind::SocketIo => vec![npm("socket.io")],
        ServerKind::NestJs => vec![npm("@nestjs/platform-socket.io")],
        _ => {
            let python = root.join("target/bench/peers/python/bin/python");
            let script = "import importlib.metadata as m, platform as p; \
                          print(f\"socketify {m.version('socketify')} on Python {p.python_version()}\")";
            vec![command_output(Command::new(python).args(["-c", script]))]
        }
    }
}
