//! A reverse proxy as deploy/ configures it, on free ports.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::{Child, Command};

use super::{TempDir, eventually};

pub struct ReverseProxy {
    port: u16,
    _child: Child,
    _dir: TempDir,
}

impl ReverseProxy {
    /// `name` is `nginx`, `haproxy` or `caddy`; `change` edits its configuration.
    pub async fn start(
        name: &'static str,
        upstreams: [&str; 2],
        change: impl Fn(String) -> String,
    ) -> Self {
        let dir = TempDir::new(name);
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let file = match name {
            "nginx" => "nginx.conf",
            "haproxy" => "haproxy.cfg",
            _ => "Caddyfile",
        };
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("deploy")
            .join(file);
        let mut text = std::fs::read_to_string(shipped).unwrap();
        for (from, to) in [
            ("127.0.0.1:8080", format!("127.0.0.1:{port}")),
            ("127.0.0.1:3000", upstreams[0].to_owned()),
            ("127.0.0.1:3001", upstreams[1].to_owned()),
        ] {
            assert!(text.contains(from), "{file} has {from}");
            text = text.replace(from, &to);
        }
        let at = dir.path().to_str().unwrap();
        // Directories that only root may write by default.
        let own = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
            .concat();
        if name == "nginx" {
            text = text.replace("http {\n", &format!("http {{\naccess_log off;\n{own}"));
            text = format!("pid {at}/nginx.pid;\ndaemon off;\n{text}");
            // As root it would switch to another user, who cannot read the directory.
            text = text.replace(
                "worker_processes auto;",
                "worker_processes 1;\nmaster_process off;",
            );
        }
        let config = dir.path().join(file);
        std::fs::write(&config, change(text)).unwrap();
        let config = config.to_str().unwrap();
        let arguments = match name {
            "nginx" => vec!["-p", at, "-c", config, "-e", "stderr"],
            "haproxy" => vec!["-db", "-f", config],
            _ => vec!["run", "--adapter", "caddyfile", "--config", config],
        };
        let child = Command::new(program(name))
            .args(arguments)
            .env("HOME", at)
            .env("XDG_DATA_HOME", at)
            .env("XDG_CONFIG_HOME", at)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let proxy = Self {
            port,
            _child: child,
            _dir: dir,
        };
        eventually(&format!("{name} serves"), || async {
            let answer = reqwest::get(proxy.url("/healthz")).await.ok()?;
            (answer.status() == 200).then_some(())
        })
        .await;
        proxy
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn realtime(&self) -> String {
        format!("ws://127.0.0.1:{}/realtime", self.port)
    }
}

/// The program on the path, or where Debian installs servers.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|dir| dir.join(name))
        .find(|program| program.exists())
        .unwrap_or_else(|| panic!("{name} is not installed: run scripts/setup test"))
}
