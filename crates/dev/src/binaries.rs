//! Finds the installed server programs.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::DevError;

/// The oldest PostgreSQL version that the migrations support.
pub(super) const POSTGRES_MINIMUM: u32 = 15;

/// One installed PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PostgresInstallation {
    /// Contains `postgres` and `initdb`.
    pub(super) bin: PathBuf,
    pub(super) major: u32,
}

/// The supported installed PostgreSQL servers: those on PATH first, then Debian's, newest first.
pub(super) fn find_postgres() -> Result<Vec<PostgresInstallation>, DevError> {
    let mut debian: Vec<PostgresInstallation> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| installation(&entry.path().join("bin")))
        .collect();
    debian.sort_by_key(|found| std::cmp::Reverse(found.major));
    let mut found: Vec<PostgresInstallation> = path_dirs()
        .iter()
        .filter_map(|dir| installation(dir))
        .collect();
    found.extend(debian);
    found.retain(|found| found.major >= POSTGRES_MINIMUM);
    if found.is_empty() {
        return Err(DevError::NotFound {
            program: "PostgreSQL",
            looked: format!(
                "postgres and initdb {POSTGRES_MINIMUM} or newer, on PATH and in /usr/lib/postgresql/*/bin"
            ),
        });
    }
    Ok(found)
}

fn installation(dir: &Path) -> Option<PostgresInstallation> {
    // Resolve links: the programs look for each other in their real directory.
    let postgres = fs::canonicalize(dir.join("postgres")).ok()?;
    let bin = postgres.parent()?.to_owned();
    if !bin.join("initdb").is_file() {
        return None;
    }
    let version = Command::new(&postgres).arg("--version").output().ok()?;
    let major = major_version(&String::from_utf8_lossy(&version.stdout))?;
    Some(PostgresInstallation { bin, major })
}

/// 15 of `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major_version(text: &str) -> Option<u32> {
    let version = text.split_whitespace().nth(2)?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The anvil binary, not a wrapper script: on PATH, or in node_modules of the current directory, of the executable's
/// directory, or of one of their parents.
pub(super) fn find_anvil() -> Result<PathBuf, DevError> {
    let places = path_dirs()
        .into_iter()
        .map(|dir| dir.join("anvil"))
        .chain(ancestors().map(|dir| dir.join("node_modules/.bin/anvil")));
    for place in places {
        if let Some(found) = native_program(&place) {
            return Ok(found);
        }
    }
    Err(DevError::NotFound {
        program: "anvil",
        looked: "on PATH, and in node_modules of this directory and its parents".into(),
    })
}

fn path_dirs() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .collect()
}

fn ancestors() -> impl Iterator<Item = PathBuf> {
    let starts = [env::current_dir().ok(), env::current_exe().ok()];
    starts.into_iter().flatten().flat_map(|start| {
        start
            .ancestors()
            .map(Path::to_owned)
            .collect::<Vec<PathBuf>>()
    })
}

/// `place` with links resolved; for npm's wrapper script, the program that it runs. Signals must reach anvil itself.
fn native_program(place: &Path) -> Option<PathBuf> {
    let program = fs::canonicalize(place).ok()?;
    if program.extension() != Some(OsStr::new("mjs")) {
        return program.is_file().then_some(program);
    }
    let scope = program
        .ancestors()
        .find(|dir| dir.ends_with("@foundry-rs"))?;
    fs::read_dir(scope)
        .ok()?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("anvil-"))
        .map(|entry| entry.path().join("bin/anvil"))
        .find(|binary| binary.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_major_version() {
        assert_eq!(
            major_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(major_version("postgres (PostgreSQL) 17beta2"), Some(17));
        assert_eq!(major_version("something else"), None);
    }
}
