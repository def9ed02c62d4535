//! A Redis server of the test's own.

use std::process::Stdio;

use tokio::process::{Child, Command};

use super::{Temporary, eventually};

pub struct Redis {
    child: Child,
    socket: String,
    _dir: Temporary,
}

impl Redis {
    /// On a Unix socket: no port to be taken.
    pub async fn start() -> Self {
        let dir = Temporary::new("redis");
        let socket = dir.path().join("redis.sock").to_str().unwrap().to_owned();
        let child = Command::new("redis-server")
            .args([
                "--port",
                "0",
                "--save",
                "",
                "--appendonly",
                "no",
                "--unixsocket",
                &socket,
            ])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server is installed by scripts/setup");
        eventually("Redis listens", || async {
            tokio::net::UnixStream::connect(&socket).await.ok()
        })
        .await;
        Self {
            child,
            socket,
            _dir: dir,
        }
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.socket)
    }

    pub async fn stop(mut self) {
        self.child.kill().await.unwrap();
    }
}
