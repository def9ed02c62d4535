//! A directory for one test, removed when the test ends.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Exists, with everything in it, until it is dropped.
pub struct TestDir(PathBuf);

impl TestDir {
    /// Creates an empty directory in that of the system for temporary files. Its name contains `name` and is unique.
    ///
    /// # Panics
    ///
    /// If it cannot be created.
    pub fn new(name: &str) -> Self {
        let id: u64 = rand::random();
        let dir = std::env::temp_dir().join(format!("chaincast-{name}-{id:016x}"));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    /// The absolute path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}
