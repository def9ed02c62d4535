//! The machine of a run, and the versions of what was compared.

use std::{fs, process::Command};

use serde::{Deserialize, Serialize};

use crate::{process, server::Who};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    pub cores: usize,
    pub cpu: String,
    pub kernel: String,
    pub memory_gib: u64,
    pub rustc: String,
    pub node: String,
    /// Name and version of each peer, or that it is missing.
    pub peers: Vec<String>,
}

impl Machine {
    pub fn read() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = info
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib = process::kib_line(&memory, "MemTotal:");
        Self {
            cores: process::cores(),
            cpu: cpu.map_or("unknown", |(_, name)| name).to_owned(),
            kernel: kernel(),
            memory_gib: (kib + 512 * 1_024) / (1_024 * 1_024),
            rustc: said(Command::new("rustc").arg("--version")),
            node: said(Command::new("node").arg("--version")),
            peers: Who::PEERS.iter().flat_map(|who| versions(*who)).collect(),
        }
    }
}

/// The release, without what names one build of it.
fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let number = release.split('-').next().unwrap_or_default();
    format!("Linux {}", number.trim())
}

fn versions(who: Who) -> Vec<String> {
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

fn said(command: &mut Command) -> String {
    match command.output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(error) => format!("unknown ({error})"),
    }
}
