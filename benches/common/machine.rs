//! The machine of a run.

use std::{fs, process::Command};

use serde::{Deserialize, Serialize};

use super::{postgres::Postgres, process};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    pub cores: usize,
    pub cpu: String,
    pub kernel: String,
    pub memory_gib: u64,
    pub rustc: String,
    pub node: String,
    #[serde(default)]
    pub postgres: String,
}

impl Machine {
    pub fn read(postgres: &Postgres) -> Self {
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
            rustc: command_output(Command::new("rustc").arg("--version")),
            node: command_output(Command::new("node").arg("--version")),
            postgres: postgres.version(),
        }
    }
}

/// The kernel release, without the parts that name one build.
fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let number = release.split('-').next().unwrap_or_default();
    format!("Linux {}", number.trim())
}

pub fn command_output(command: &mut Command) -> String {
    match command.output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(error) => format!("unknown ({error})"),
    }
}
