//! The files of the private PostgreSQL: where they are, and how they are created.
//!
//! They are in `DATA_DIR/postgres`. If this process is root, the server runs as an unprivileged user. If that user
//! cannot access the data directory (for example a clone under /root), the files are in their own directory under
//! /var/lib/chaincast, and `DATA_DIR/postgres.path` names it. A new data directory starts without data in both cases; a
//! directory elsewhere must be removed by hand.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    DevError,
    binaries::{PostgresInstallation, find_postgres},
    lock::lock,
    server_user::ServerUser,
};

/// Contains the clusters of data directories that the server's user cannot access.
const ELSEWHERE: &str = "/var/lib/chaincast";
/// Longest path of a socket directory, in bytes: the strictest system limits a socket address to 103.
const SOCKET_DIR_LIMIT: usize = 85;

/// Not a TCP port: only part of the socket's name.
pub(super) const PORT: u16 = 5432;

/// The files of one database server, created and locked by this process.
pub(super) struct Cluster {
    /// Contains `data` and usually `sockets`.
    pub(super) home: PathBuf,
    /// In the data directory: names `home` if that is elsewhere.
    record: PathBuf,
    /// Created by this start.
    is_new: bool,
    pub(super) data: PathBuf,
    pub(super) sockets: PathBuf,
    /// `sockets` is a temporary directory, because the path of the data directory is too long for a socket.
    sockets_are_temporary: bool,
    installation: PostgresInstallation,
    user: Option<ServerUser>,
    /// Excludes a second chaincast while it is open; the kernel releases it if this process is killed.
    _lock: File,
}

impl Cluster {
    /// Finds or creates the files of `data_dir`.
    pub(super) async fn open(data_dir: &Path) -> Result<Self, DevError> {
        fs::create_dir_all(data_dir).map_err(DevError::file("create", data_dir))?;
        let data_dir = fs::canonicalize(data_dir).map_err(DevError::file("resolve", data_dir))?;
        let lock = lock(&data_dir.join("postgres.lock"), &data_dir)?;
        let installations = find_postgres()?;

        let (home, user) = locate(&data_dir)?;
        let data = home.join("data");
        let sockets = home.join("run");
        let sockets_are_temporary = sockets.as_os_str().len() > SOCKET_DIR_LIMIT;
        let sockets = if sockets_are_temporary {
            std::env::temp_dir().join(format!("chaincast-{}", random_id()))
        } else {
            sockets
        };
        for dir in [&home, &sockets] {
            make_private(dir, user)?;
        }

        let record = record_path(&data_dir);
        let cluster_version = cluster_version(&data)?;
        let is_new = cluster_version.is_none();
        let installation = match cluster_version {
            Some(major) => matching_installation(installations, major, &data)?,
            None => {
                let newest = installations.into_iter().next();
                let installation = newest.expect("find_postgres returns at least one");
                if let Err(error) = initialize(&installation, &home, &data, user).await {
                    discard(&home, &record);
                    return Err(error);
                }
                installation
            }
        };
        Ok(Self {
            home,
            record,
            is_new,
            data,
            sockets,
            sockets_are_temporary,
            installation,
            user,
            _lock: lock,
        })
    }

    /// A command of the installation, run as the server's user in a directory that the user can access.
    pub(super) fn command(&self, program: &str) -> Command {
        command(&self.installation, program, &self.data, self.user)
    }

    /// Removes the files that a killed server leaves. Call only after it has ended.
    pub(super) fn remove_stale_locks(&self) -> Result<(), DevError> {
        let socket = self.sockets.join(format!(".s.PGSQL.{}", PORT));
        for path in [
            self.pid_file(),
            socket.with_extension(format!("{}.lock", PORT)),
            socket,
        ] {
            remove_if_exists(&path)?;
        }
        Ok(())
    }

    /// After a failed start: removes what this start created. Call only if no server runs. Data of an earlier start is
    /// kept.
    pub(super) fn discard_if_new(&self) {
        if self.is_new {
            discard(&self.home, &self.record);
        }
    }

    pub(super) fn pid_file(&self) -> PathBuf {
        self.data.join("postmaster.pid")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.sockets_are_temporary {
            // A server may still be shutting down there; a leftover in the temporary directory is harmless.
            fs::remove_dir_all(&self.sockets).ok();
        }
    }
}

/// The file in the data directory that names a cluster elsewhere.
fn record_path(data_dir: &Path) -> PathBuf {
    data_dir.join("postgres.path")
}

/// Removes a cluster, and the file that names it. A failure only wastes disk space, so it is logged.
fn discard(home: &Path, record: &Path) {
    let removed = fs::remove_dir_all(home).and_then(|()| match fs::remove_file(record) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    });
    if let Err(error) = removed {
        tracing::warn!(path = ?home, %error, "cannot remove the database of a failed start");
    }
}

/// The cluster directory of `data_dir`, and the user of its server.
pub(super) fn locate(data_dir: &Path) -> Result<(PathBuf, Option<ServerUser>), DevError> {
    let inside = data_dir.join("postgres");
    let record = record_path(data_dir);
    let recorded = match fs::read_to_string(&record) {
        Ok(path) => Some(PathBuf::from(path.trim())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(DevError::file("read", record)(error)),
    };
    for home in recorded.iter().chain([&inside]) {
        if home.join("data").is_dir() {
            // Its creator runs it, even if another user is preferred now.
            return Ok((home.clone(), ServerUser::owner_if_root(home)));
        }
    }
    if let Some(lost) = recorded {
        tracing::warn!(path = ?lost, "the database named in {record:?} does not exist: creating a new one");
    }

    let user = ServerUser::if_root();
    match user {
        Some(user) if !user.can_reach(data_dir) => {
            let home = Path::new(ELSEWHERE).join(random_id());
            fs::create_dir_all(ELSEWHERE).map_err(DevError::file("create", ELSEWHERE))?;
            let open = fs::Permissions::from_mode(0o755);
            fs::set_permissions(ELSEWHERE, open)
                .map_err(DevError::file("allow access to", ELSEWHERE))?;
            fs::write(&record, format!("{}\n", home.display()))
                .map_err(DevError::file("write", &record))?;
            tracing::info!(
                path = ?home,
                "PostgreSQL cannot run as root, and its user cannot access {data_dir:?}: the database is stored elsewhere"
            );
            Ok((home, Some(user)))
        }
        _ => Ok((inside, user)),
    }
}

/// A directory that only the server's user (and root) can access.
fn make_private(dir: &Path, user: Option<ServerUser>) -> Result<(), DevError> {
    fs::create_dir_all(dir).map_err(DevError::file("create", dir))?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
        .map_err(DevError::file("restrict access to", dir))?;
    user.map_or(Ok(()), |user| user.take_ownership(dir))
}

/// The major version that created the cluster; `None` if there is no cluster yet.
fn cluster_version(data: &Path) -> Result<Option<String>, DevError> {
    let path = data.join("PG_VERSION");
    match fs::read_to_string(&path) {
        Ok(version) => Ok(Some(version.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DevError::file("read", path)(error)),
    }
}

fn matching_installation(
    installations: Vec<PostgresInstallation>,
    cluster_version: String,
    data: &Path,
) -> Result<PostgresInstallation, DevError> {
    let found: Vec<String> = installations
        .iter()
        .map(|one| one.major.to_string())
        .collect();
    installations
        .into_iter()
        .find(|one| one.major.to_string() == cluster_version)
        .ok_or_else(|| DevError::OtherVersion {
            path: data.to_owned(),
            cluster_version,
            found: found.join(", "),
        })
}

/// Creates the cluster under a temporary name and renames it: a directory with the final name is complete.
async fn initialize(
    installation: &PostgresInstallation,
    home: &Path,
    data: &Path,
    user: Option<ServerUser>,
) -> Result<(), DevError> {
    let unfinished = home.join("data.unfinished");
    for leftover in [&unfinished, data] {
        match fs::remove_dir_all(leftover) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(DevError::file("remove", leftover)(error));
            }
            _ => {}
        }
    }
    let mut initdb = command(installation, "initdb", home, user);
    initdb
        .args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
            "-D",
        ])
        .arg(&unfinished);
    let output = tokio::process::Command::from(initdb)
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|source| DevError::Spawn {
            program: "initdb",
            source,
        })?;
    if !output.status.success() {
        return Err(DevError::Exited {
            program: "initdb",
            status: output.status.to_string(),
            log: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    fs::rename(&unfinished, data).map_err(DevError::file("rename the new cluster to", data))
}

fn command(
    installation: &PostgresInstallation,
    program: &str,
    current_dir: &Path,
    user: Option<ServerUser>,
) -> Command {
    let mut command = Command::new(installation.bin.join(program));
    // The caller's PG… variables are for another server, and the user may not be able to access the current directory.
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C")
        .current_dir(current_dir);
    if let Some(user) = user {
        user.apply(&mut command);
    }
    command
}

fn remove_if_exists(path: &Path) -> Result<(), DevError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(DevError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn random_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}
