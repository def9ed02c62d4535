//! Where the private PostgreSQL keeps its files, and making them.
//!
//! They are in `DATA_DIR/postgres`. As root the server runs as an unprivileged user; when that user cannot reach the
//! data dir (a clone under /root), they are in a directory of their own under /var/lib/chaincast, and
//! `DATA_DIR/postgres.path` names it. A new data dir starts afresh in both cases; a directory elsewhere is removed by hand.

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

/// Holds the clusters of data dirs that the server's user cannot reach.
const ELSEWHERE: &str = "/var/lib/chaincast";
/// Longest path of a directory for Unix sockets, in bytes: an address has room for 103 on the tightest system.
const SOCKET_DIR_LIMIT: usize = 85;

/// The files of one database server, made and locked for us.
pub(super) struct Cluster {
    /// Holds `data` and, as a rule, `sockets`.
    pub(super) home: PathBuf,
    /// In the data dir: names `home` when that is elsewhere.
    record: PathBuf,
    /// This start made it.
    is_new: bool,
    pub(super) data: PathBuf,
    pub(super) sockets: PathBuf,
    /// `sockets` is a temporary directory, as the data dir's path is too long for a socket.
    sockets_are_temporary: bool,
    installation: PostgresInstallation,
    user: Option<ServerUser>,
    /// Keeps a second chaincast away for as long as it is open, and is released by the kernel if we are killed.
    _lock: File,
}

impl Cluster {
    /// Finds or makes the files that belong to `data_dir`.
    pub(super) async fn open(data_dir: &Path) -> Result<Self, DevError> {
        fs::create_dir_all(data_dir).map_err(DevError::file("create", data_dir))?;
        let data_dir = fs::canonicalize(data_dir).map_err(DevError::file("reach", data_dir))?;
        let lock = lock(&data_dir.join("postgres.lock"), &data_dir)?;
        let installations = find_postgres()?;

        let (home, user) = place(&data_dir)?;
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

        let record = record_of(&data_dir);
        let made_by = made_by(&data)?;
        let is_new = made_by.is_none();
        let installation = match made_by {
            Some(major) => matching(installations, major, &data)?,
            None => {
                let newest = installations.into_iter().next();
                let installation = newest.expect("find_postgres gives at least one");
                if let Err(error) = initialise(&installation, &home, &data, user).await {
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

    /// A command of the installation, run as the server's user in a directory that he can reach.
    pub(super) fn command(&self, program: &str) -> Command {
        command(&self.installation, program, &self.data, self.user)
    }

    /// What is left behind by a server that ended: to be called after it did.
    pub(super) fn remove_stale_locks(&self) -> Result<(), DevError> {
        let socket = self
            .sockets
            .join(format!(".s.PGSQL.{}", super::postgres::PORT));
        for path in [
            self.pid_file(),
            socket.with_extension(format!("{}.lock", super::postgres::PORT)),
            socket,
        ] {
            remove_if_there(&path)?;
        }
        Ok(())
    }

    /// Removes what this start made, for a start that failed: to be called when no server runs. What an earlier start
    /// made stays.
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
            // It may be that a server still shuts down in there; a leftover in the temporary directory does no harm.
            fs::remove_dir_all(&self.sockets).ok();
        }
    }
}

/// The file in the data dir that names a cluster elsewhere.
fn record_of(data_dir: &Path) -> PathBuf {
    data_dir.join("postgres.path")
}

/// Removes a cluster, and the file that names it. A leftover does no harm but takes room, so that a failure is logged.
fn discard(home: &Path, record: &Path) {
    let removed = fs::remove_dir_all(home).and_then(|()| match fs::remove_file(record) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    });
    if let Err(error) = removed {
        tracing::warn!(path = ?home, %error, "the database of a start that failed cannot be removed");
    }
}

/// The directory of the cluster that belongs to `data_dir`, and as whom its server runs.
pub(super) fn place(data_dir: &Path) -> Result<(PathBuf, Option<ServerUser>), DevError> {
    let inside = data_dir.join("postgres");
    let record = record_of(data_dir);
    let recorded = match fs::read_to_string(&record) {
        Ok(path) => Some(PathBuf::from(path.trim())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(DevError::file("read", record)(error)),
    };
    for home in recorded.iter().chain([&inside]) {
        if home.join("data").is_dir() {
            // Whoever made it runs it, also when another user is preferred by now.
            return Ok((home.clone(), ServerUser::owner_when_root(home)));
        }
    }
    if let Some(lost) = recorded {
        tracing::warn!(path = ?lost, "the database that {record:?} names is gone: a new one is made");
    }

    let user = ServerUser::when_root();
    match user {
        Some(user) if !user.reaches(data_dir) => {
            let home = Path::new(ELSEWHERE).join(random_id());
            fs::create_dir_all(ELSEWHERE).map_err(DevError::file("create", ELSEWHERE))?;
            let open = fs::Permissions::from_mode(0o755);
            fs::set_permissions(ELSEWHERE, open).map_err(DevError::file("open", ELSEWHERE))?;
            fs::write(&record, format!("{}\n", home.display()))
                .map_err(DevError::file("write", &record))?;
            tracing::info!(
                path = ?home,
                "PostgreSQL cannot run as root, and its user cannot reach {data_dir:?}: the database is kept elsewhere"
            );
            Ok((home, Some(user)))
        }
        _ => Ok((inside, user)),
    }
}

/// A directory that only the server's user (and root) may enter.
fn make_private(dir: &Path, user: Option<ServerUser>) -> Result<(), DevError> {
    fs::create_dir_all(dir).map_err(DevError::file("create", dir))?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
        .map_err(DevError::file("close", dir))?;
    user.map_or(Ok(()), |user| user.give(dir))
}

/// The major version that made the cluster; None when there is none yet.
fn made_by(data: &Path) -> Result<Option<String>, DevError> {
    let path = data.join("PG_VERSION");
    match fs::read_to_string(&path) {
        Ok(version) => Ok(Some(version.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DevError::file("read", path)(error)),
    }
}

fn matching(
    installations: Vec<PostgresInstallation>,
    made_by: String,
    data: &Path,
) -> Result<PostgresInstallation, DevError> {
    let found: Vec<String> = installations
        .iter()
        .map(|one| one.major.to_string())
        .collect();
    installations
        .into_iter()
        .find(|one| one.major.to_string() == made_by)
        .ok_or_else(|| DevError::OtherVersion {
            path: data.to_owned(),
            made_by,
            found: found.join(", "),
        })
}

/// Makes the cluster beside its place and moves it there: what has a name there is whole.
async fn initialise(
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
    fs::rename(&unfinished, data).map_err(DevError::file("rename to its place", data))
}

fn command(
    installation: &PostgresInstallation,
    program: &str,
    current_dir: &Path,
    user: Option<ServerUser>,
) -> Command {
    let mut command = Command::new(installation.bin.join(program));
    // The caller's PG… variables are for another server, and his own directory may be out of the user's reach.
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

fn remove_if_there(path: &Path) -> Result<(), DevError> {
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
