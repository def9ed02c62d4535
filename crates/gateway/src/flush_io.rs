//! How a flusher writes the queued packets of its sessions: one system call per session, or io_uring.

use std::{io, sync::Arc};

use super::{metrics::Tally, prefetch::prefetch, session::Session};

/// See the module's description.
pub enum FlushIo {
    /// One system call per session.
    Send,
    /// One system call for many sessions: Linux only, and where the kernel allows it.
    #[cfg(target_os = "linux")]
    Uring(Box<super::uring::Uring>),
}

impl FlushIo {
    /// Fails when `io_uring` is set and io_uring is not available.
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
