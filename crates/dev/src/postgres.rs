//! A private PostgreSQL server. Its data is in the data directory, and it listens on a Unix socket that only its owner
//! may open, so it needs neither a TCP port nor a password.

use std::{fs, path::Path, time::Duration};

use nix::sys::signal::Signal;
use sqlx::{Connection, Executor, PgConnection};
use tokio::time::{Instant, sleep};

use super::{
    DevError,
    child::Child,
    cluster::{Cluster, PORT},
    orphan_processes::stop_orphan,
};

/// The database that `chaincast dev` uses.
const DATABASE: &str = "chaincast";
/// Recovery after a crash may take a while.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// A fast shutdown writes all dirty pages at its end.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);
/// The server's error while processes of an earlier server still hold its shared memory.
const STILL_ATTACHED: &str = "pre-existing shared memory block";
const RETRY: Duration = Duration::from_millis(100);
/// SIGINT: PostgreSQL's fast shutdown, which disconnects clients and keeps everything committed.
const FAST_SHUTDOWN: Signal = Signal::SIGINT;

/// A running server. [`PrivatePostgres::stop`] shuts it down; dropping it sends the shutdown signal without waiting.
pub struct PrivatePostgres {
    child: Child,
    url: String,
    // After `child`: fields are dropped in order, so the lock on the data directory is released last.
    cluster: Cluster,
}

impl PrivatePostgres {
    /// Starts the server with its data in `data_dir`. The first start creates the data and an empty database
    /// `chaincast`. A server that a killed chaincast left running there is stopped first.
    pub async fn start(data_dir: &Path) -> Result<Self, DevError> {
        Self::start_with(data_dir, &[]).await
    }

    /// Like [`Self::start`], with settings such as `listen_addresses=127.0.0.2`.
    pub async fn start_with(data_dir: &Path, settings: &[&str]) -> Result<Self, DevError> {
        let cluster = Cluster::open(data_dir).await?;
        if let Some(pid) = read_pid(&cluster.pid_file()) {
            stop_orphan("postgres", pid, &cluster.data, FAST_SHUTDOWN, STOP_TIMEOUT).await?;
        }
        cluster.remove_stale_locks()?;
        let child = match launch_when_free(&cluster, settings).await {
            Ok(child) => child,
            Err(error) => {
                cluster.discard_if_new();
                return Err(error);
            }
        };

        let postgres = Self {
            url: url(&cluster.sockets, DATABASE),
            child,
            cluster,
        };
        match postgres.ensure_database().await {
            Ok(()) => Ok(postgres),
            Err(error) => {
                postgres.stop_and_discard().await?;
                Err(error)
            }
        }
    }

    /// The directory of its files: `DATA_DIR/postgres`, or elsewhere if the server's user cannot access that.
    pub fn home(&self) -> &Path {
        &self.cluster.home
    }

    /// URL of the database `chaincast`, for sqlx and psql.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Creates an empty database for a test and returns its URL. Fails if a database with this name exists.
    pub async fn create_database(&self, name: &str) -> Result<String, DevError> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
        if !starts || name.len() > 63 || !name.chars().all(fits) {
            return Err(DevError::DatabaseName(name.to_owned()));
        }
        let refused = |source| DevError::Database {
            operation: format!("the creation of database {name}"),
            source,
        };
        let mut connection = self.connect().await?;
        let statement = format!("CREATE DATABASE {name} TEMPLATE template0");
        connection.execute(&*statement).await.map_err(refused)?;
        connection.close().await.map_err(refused)?;
        Ok(url(&self.cluster.sockets, name))
    }

    /// Resolves when the server has ended, with an error.
    pub async fn exited(&mut self) -> DevError {
        self.child.exited().await
    }

    /// Fast shutdown: disconnects clients, keeps committed data. Kills the server after 20 s.
    pub async fn stop(self) -> Result<(), DevError> {
        self.child.stop(STOP_TIMEOUT).await
    }

    /// Like [`PrivatePostgres::stop`]; then removes the files if this start created them. For failed starts.
    pub async fn stop_and_discard(self) -> Result<(), DevError> {
        self.child.stop(STOP_TIMEOUT).await?;
        self.cluster.discard_if_new();
        Ok(())
    }

    /// Ends the server immediately, as by a crash, and waits until it has ended, so that its directory can be removed.
    pub fn abort(self) {
        self.child.end_now(Signal::SIGQUIT);
    }

    async fn ensure_database(&self) -> Result<(), DevError> {
        let mut connection = self.connect().await?;
        let exists: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
                .bind(DATABASE)
                .fetch_one(&mut connection)
                .await
                .map_err(|source| DevError::Database {
                    operation: "a query of its databases".into(),
                    source,
                })?;
        connection.close().await.ok();
        if !exists {
            self.create_database(DATABASE).await?;
        }
        Ok(())
    }

    async fn connect(&self) -> Result<PgConnection, DevError> {
        let url = url(&self.cluster.sockets, "postgres");
        PgConnection::connect(&url)
            .await
            .map_err(|source| DevError::Database {
                operation: "a connection".into(),
                source,
            })
    }
}

/// Starts the server of a cluster; waits while processes of a killed server still hold its shared memory.
async fn launch_when_free(cluster: &Cluster, settings: &[&str]) -> Result<Child, DevError> {
    let deadline = Instant::now() + STOP_TIMEOUT;
    loop {
        match launch(cluster, settings).await {
            // The processes of a killed server detect that and end by themselves.
            Err(DevError::Exited { log, .. })
                if log.contains(STILL_ATTACHED) && Instant::now() < deadline =>
            {
                sleep(RETRY).await;
            }
            launched => return launched,
        }
    }
}

/// Starts the server of a cluster and waits until it accepts connections.
async fn launch(cluster: &Cluster, settings: &[&str]) -> Result<Child, DevError> {
    let mut command = cluster.command("postgres");
    command
        .arg("-D")
        .arg(&cluster.data)
        .args(["-p", &PORT.to_string(), "-c", "listen_addresses="])
        .arg("-c")
        // Quoted, because it is a list.
        .arg(format!(
            "unix_socket_directories=\"{}\"",
            cluster.sockets.display()
        ))
        // Tests share one server.
        .args(["-c", "max_connections=200"])
        .args(settings.iter().flat_map(|setting| ["-c", setting]));
    let (mut child, _) = Child::spawn("postgres", command, FAST_SHUTDOWN).await?;
    tokio::select! {
        ready = ready(cluster, child.pid()) => match ready {
            true => Ok(child),
            false => Err(DevError::NotReady {
                program: "postgres",
                waited: START_TIMEOUT,
                log: child.last_output(),
            }),
        },
        error = child.exited() => Err(error),
    }
}

/// Waits until server `pid` reports in its pid file that it accepts connections; false after a timeout.
async fn ready(cluster: &Cluster, pid: i32) -> bool {
    let path = cluster.pid_file();
    let deadline = Instant::now() + START_TIMEOUT;
    while Instant::now() < deadline {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let mut lines = text.lines();
        let ours = lines.next().and_then(|line| line.trim().parse().ok()) == Some(pid);
        // Line 8 is its state.
        if ours && lines.nth(6).is_some_and(|state| state.trim() == "ready") {
            return true;
        }
        sleep(POLL).await;
    }
    false
}

fn read_pid(path: &Path) -> Option<i32> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().next()?.trim().parse().ok()
}

/// `postgres://…` URL of a database, through the sockets in `dir`; escaped in a form that libpq and sqlx both accept.
fn url(dir: &Path, database: &str) -> String {
    use std::{fmt::Write, os::unix::ffi::OsStrExt};
    let mut host = String::new();
    for &byte in dir.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            host.push(char::from(byte));
        } else {
            write!(host, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    format!("postgres://postgres@localhost:{PORT}/{database}?host={host}")
}

#[cfg(test)]
mod tests;
