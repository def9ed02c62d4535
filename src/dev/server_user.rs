//! As whom a server runs that refuses to run as root, and what that user can reach.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use nix::unistd::{User, geteuid};

use super::DevError;

/// The unprivileged user for servers when we are root; None for anyone else, who runs them as himself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ServerUser {
    uid: u32,
    gid: u32,
}

impl ServerUser {
    /// `postgres`, which PostgreSQL's package makes, else `nobody`.
    pub(super) fn when_root() -> Option<Self> {
        if !geteuid().is_root() {
            return None;
        }
        let user = ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten());
        // By custom nobody's ids where the user database is empty, as in some containers.
        Some(user.map_or(
            Self {
                uid: 65_534,
                gid: 65_534,
            },
            |user| Self {
                uid: user.uid.as_raw(),
                gid: user.gid.as_raw(),
            },
        ))
    }

    /// The owner of `dir`, when we are root and he is not.
    pub(super) fn owner_when_root(dir: &Path) -> Option<Self> {
        let meta = fs::metadata(dir).ok()?;
        (geteuid().is_root() && meta.uid() != 0).then(|| Self {
            uid: meta.uid(),
            gid: meta.gid(),
        })
    }

    pub(super) fn apply(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    pub(super) fn give(self, path: &Path) -> Result<(), DevError> {
        chown(path, Some(self.uid), Some(self.gid))
            .map_err(DevError::file("give the server's user", path))
    }

    /// Whether he may pass through every directory of `dir`, an absolute path without links. By permission bits alone:
    /// where an access list says more, the answer is the careful one or the server's own error tells.
    pub(super) fn reaches(self, dir: &Path) -> bool {
        dir.ancestors().all(|dir| {
            fs::metadata(dir).is_ok_and(|meta| {
                let bits = if meta.uid() == self.uid {
                    meta.mode() >> 6
                } else if meta.gid() == self.gid {
                    meta.mode() >> 3
                } else {
                    meta.mode()
                };
                bits & 1 == 1
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::test_dir::TestDir;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_below_one_that_is_closed_to_others_is_out_of_reach() {
        let dir = TestDir::new("reach");
        fs::create_dir_all(dir.path().join("closed/inner")).unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        let stranger = ServerUser {
            uid: 4_000_000_000,
            gid: 4_000_000_000,
        };
        assert!(stranger.reaches(&base.join("closed/inner")));
        fs::set_permissions(base.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!stranger.reaches(&base.join("closed/inner")));
    }
}
