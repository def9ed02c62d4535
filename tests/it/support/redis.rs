//! A Redis server for one test.

use std::{path::PathBuf, process::Stdio};

use tokio::process::{Child, Command};

use super::{TempDir, eventually, reusable_port};

pub struct Redis {
    child: Child,
    url: String,
    _dir: TempDir,
}

impl Redis {
    /// On a Unix socket, which needs no free port.
    pub async fn start() -> Self {
        Self::start_at(TempDir::new("redis")).await
    }

    /// As [`Self::start`], on the socket `redis.sock` of a directory.
    pub async fn start_at(dir: TempDir) -> Self {
        let socket = dir.path().join("redis.sock").to_str().unwrap().to_owned();
        let child = spawn(&["--port", "0", "--unixsocket", &socket]);
        eventually("Redis listens", || async {
            tokio::net::UnixStream::connect(&socket).await.ok()
        })
        .await;
        Self {
            child,
            url: format!("unix://{socket}"),
            _dir: dir,
        }
    }

    /// On a port of 127.0.0.1 with TLS only, with this certificate and its key.
    pub async fn with_tls((certificate, key): &(String, String)) -> Self {
        let dir = TempDir::new("redis-tls");
        let file = |name: &str, text: &str| {
            let file = dir.path().join(name);
            std::fs::write(&file, text).unwrap();
            file.to_str().unwrap().to_owned()
        };
        let (certificate, key) = (file("redis.crt", certificate), file("redis.key", key));
        let port = reusable_port();
        let child = spawn(&[
            "--port",
            "0",
            "--bind",
            "127.0.0.1",
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &certificate,
            "--tls-auth-clients",
            "no",
        ]);
        eventually("Redis listens", || async {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .ok()
        })
        .await;
        Self {
            child,
            url: format!("rediss://127.0.0.1:{port}"),
            _dir: dir,
        }
    }

    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The Unix socket that it listens on.
    pub fn socket(&self) -> PathBuf {
        let path = self.url.strip_prefix("unix://").expect("a Unix socket");
        PathBuf::from(path)
    }

    /// Requires this password for new connections.
    pub async fn require_password(&mut self, password: &str) {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        redis::cmd("CONFIG")
            .arg(&["SET", "requirepass", password])
            .query_async::<()>(&mut connection)
            .await
            .unwrap();
        self.url = format!("{}?pass={password}", self.url);
    }

    pub async fn stop(mut self) {
        self.child.kill().await.unwrap();
    }
}

fn spawn(arguments: &[&str]) -> Child {
    Command::new("redis-server")
        .args(["--save", "", "--appendonly", "no"])
        .args(arguments)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("redis-server is installed by scripts/setup")
}
