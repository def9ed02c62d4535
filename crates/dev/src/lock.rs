//! An exclusive file lock, held by the user of a data directory.

use std::{
    fs::{File, TryLockError},
    path::Path,
    time::{Duration, Instant},
};

use super::DevError;

/// A forked process keeps copies of our files until it executes its program, so a released lock may look held for a
/// moment.
const TIMEOUT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(10);

/// Locks `path` while the file is open; `used` is the path that the error names.
pub(super) fn lock(path: &Path, used: &Path) -> Result<File, DevError> {
    let file = File::create(path).map_err(DevError::file("create", path))?;
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(POLL),
            Err(TryLockError::WouldBlock) => return Err(DevError::InUse(used.to_owned())),
            Err(TryLockError::Error(source)) => return Err(DevError::file("lock", path)(source)),
        }
    }
}
