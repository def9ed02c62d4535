//! The user for servers that refuse to run as root, and what that user can access.

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

/// The unprivileged user for servers if this process is root; otherwise servers run as the current user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ServerUser {
    uid: u32,
    gid: u32,
}

impl ServerUser {
    /// `postgres`, created by the PostgreSQL package; otherwise `nobody`. `None` if this process is not root.
    pub(super) fn if_root() -> Option<Self> {
        if !geteuid().is_root() {
            return None;
        }
        let user = ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten());
        // The conventional ids of nobody, if the user database is empty, as in some containers.
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

    /// The owner of `dir`, if this process is root and the owner is not.
    pub(super) fn owner_if_root(dir: &Path) -> Option<Self> {
        let meta = fs::metadata(dir).ok()?;
        (geteuid().is_root() && meta.uid() != 0).then(|| Self {
            uid: meta.uid(),
            gid: meta.gid(),
        })
    }

    pub(super) fn apply(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    pub(super) fn take_ownership(self, path: &Path) -> Result<(), DevError> {
        chown(path, Some(self.uid), Some(self.gid))
            .map_err(DevError::file("change the owner of", path))
    }

    /// Whether the user may traverse every directory of `dir`, an absolute path without links. Considers permission
    /// bits only; with access control lists, the answer is conservative or the server itself reports the error.
    pub(super) fn can_reach(self, dir: &Path) -> bool {
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
    use chaincast_testkit::test_dir::TestDir;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn private_parent_directory_is_unreachable() {
        let dir = TestDir::new("reach");
        fs::create_dir_all(dir.path().join("closed/inner")).unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        let stranger = ServerUser {
            uid: 4_000_000_000,
            gid: 4_000_000_000,
        };
        assert!(stranger.can_reach(&base.join("closed/inner")));
        fs::set_permissions(base.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!stranger.can_reach(&base.join("closed/inner")));
    }
}
