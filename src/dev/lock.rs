//! The right to use a data dir's server: an exclusive lock on a file.

use std::{
    fs::{File, TryLockError},
    path::Path,
    time::{Duration, Instant},
};

use super::DevError;

/// A process that was just forked holds copies of our files until it becomes its program: a lock that was let go
/// may therefore look taken for a moment.
const PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(10);

/// Locks `path` for as long as the file lives; `used` is what the error says is in use.
pub(super) fn lock(path: &Path, used: &Path) -> Result<File, DevError> {
    let file = File::create(path).map_err(DevError::file("create", path))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(POLL),
            Err(TryLockError::WouldBlock) => return Err(DevError::InUse(used.to_owned())),
            Err(TryLockError::Error(source)) => return Err(DevError::file("lock", path)(source)),
        }
    }
}
