//! A hardhat node, from the repository's node_modules.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::{TIMEOUT, TempDir};

const READY: &str = "JSON-RPC server at ";

/// A node that mines a block for every transaction. Killed when dropped.
pub struct Hardhat {
    _child: Child,
    url: String,
    _dir: TempDir,
}

impl Hardhat {
    /// Starts `hardhat node` with its defaults on a free port, and waits until it listens.
    pub async fn start() -> Self {
        let dir = TempDir::new("hardhat");
        let config = dir.path().join("hardhat.config.js");
        std::fs::write(config, "module.exports = { solidity: \"0.8.24\" };\n").unwrap();
        // hardhat does not run in a directory where it is not installed.
        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("node_modules");
        symlink(modules, dir.path().join("node_modules")).unwrap();
        let mut child = command(dir.path())
            .spawn()
            .expect("hardhat is installed by scripts/setup");

        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let subscribed_channels = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, url)) = line.split_once(READY) {
                    return Some(url.trim().trim_end_matches('/').to_owned());
                }
            }
            None
        };
        let url = match tokio::time::timeout(TIMEOUT, subscribed_channels).await {
            Ok(Some(url)) => url,
            _ => panic!("hardhat did not start listening in time"),
        };
        // It logs every request, and blocks when its output is not read.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            _child: child,
            url,
            _dir: dir,
        }
    }

    pub fn http_url(&self) -> &str {
        &self.url
    }

    pub fn ws_url(&self) -> String {
        self.url.replacen("http", "ws", 1)
    }
}

fn command(dir: &Path) -> Command {
    let program: PathBuf = dir.join("node_modules/.bin/hardhat");
    let mut command = Command::new(program);
    command
        .args(["node", "--hostname", "127.0.0.1", "--port", "0"])
        .current_dir(dir)
        // It keeps its settings and downloads in this directory.
        .env("HOME", dir)
        .env("XDG_CONFIG_HOME", dir)
        .env("XDG_DATA_HOME", dir)
        .env("XDG_CACHE_HOME", dir)
        .env("HARDHAT_DISABLE_TELEMETRY_PROMPT", "true")
        .env("NO_COLOR", "1")
        .env_remove("FORCE_COLOR")
        .env_remove("CI")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command
}
