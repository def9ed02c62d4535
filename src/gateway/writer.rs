//! How a flusher gives the kernel what waits in its sessions.

use std::{io, sync::Arc};

use super::{metrics::Tally, prefetch::prefetch, session::Session};

/// See the module's description.
pub enum Writer {
    /// A system call a session.
    Send,
    /// A system call for many: Linux only, and where the kernel allows it.
    #[cfg(target_os = "linux")]
    Uring(Box<super::uring::Uring>),
}

impl Writer {
    /// Fails where io_uring is asked for and cannot be had.
    pub fn new(io_uring: bool) -> io::Result<Self> {
        match io_uring {
            false => Ok(Self::Send),
            #[cfg(target_os = "linux")]
            true => super::uring::Uring::new().map(|ring| Self::Uring(Box::new(ring))),
            #[cfg(not(target_os = "linux"))]
            true => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    pub fn flush(&mut self, sessions: &[Arc<Session>]) -> Tally {
        match self {
            Self::Send => {
                let mut tally = Tally::default();
                for (at, session) in sessions.iter().enumerate() {
                    if let Some(next) = sessions.get(at + 1) {
                        prefetch(next);
                    }
                    tally.add(session.wire().transport(), session.flush_counted().1);
                }
                tally
            }
            #[cfg(target_os = "linux")]
            Self::Uring(ring) => ring.flush(sessions),
        }
    }
}
