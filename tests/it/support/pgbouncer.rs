//! A PgBouncer in front of the tests' PostgreSQL.

use std::{os::unix::fs::MetadataExt, path::PathBuf, process::Stdio};

use tokio::process::{Child, Command};

use super::{TempDir, eventually, tcp_proxy::percent_decoded};

const PORT: u16 = 6432;

pub struct PgBouncer {
    _child: Child,
    url: String,
    _dir: TempDir,
}

impl PgBouncer {
    /// Starts it in front of this database's server, in that `pool_mode`, with `sessions` server connections for each
    /// database.
    pub async fn in_front_of(database: &str, pool_mode: &str, sessions: u32) -> Self {
        let (location, directory) = database.split_once("?host=").expect("a Unix socket");
        let (server, name) = location.rsplit_once('/').unwrap();
        let port = server.rsplit(':').next().unwrap();
        let server = PathBuf::from(percent_decoded(directory));
        // It does not run as root, and reaches the server's socket as the server's user.
        let owner = std::fs::metadata(&server).unwrap();
        let dir = TempDir::new("pgbouncer");
        std::os::unix::fs::chown(dir.path(), Some(owner.uid()), Some(owner.gid())).unwrap();
        let file = dir.path().join("pgbouncer.ini");
        let settings = format!(
            "[databases]\n* = host={} port={port} user=postgres\n[pgbouncer]\nlisten_addr =\nlisten_port = {PORT}\n\
             unix_socket_dir = {}\nauth_type = any\npool_mode = {pool_mode}\ndefault_pool_size = {sessions}\n",
            server.display(),
            dir.path().display(),
        );
        std::fs::write(&file, settings).unwrap();
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"]
            .into_iter()
            .find(|path| PathBuf::from(path).exists());
        let mut command = Command::new(program.unwrap_or("pgbouncer"));
        command
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        if nix::unistd::geteuid().is_root() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        let child = command
            .spawn()
            .expect("pgbouncer is installed by scripts/setup");
        let socket = dir.path().join(format!(".s.PGSQL.{PORT}"));
        eventually("PgBouncer listens", || async {
            tokio::net::UnixStream::connect(&socket).await.ok()
        })
        .await;
        Self {
            _child: child,
            url: format!(
                "postgres://postgres@localhost:{PORT}/{name}?host={}",
                dir.path().display()
            ),
            _dir: dir,
        }
    }

    /// The URL of the database through PgBouncer.
    pub fn url(&self) -> &str {
        &self.url
    }
}
