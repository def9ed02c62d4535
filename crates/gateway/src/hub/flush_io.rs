//! How a flusher writes the queued packets of its sessions: one system call per session, or io_uring.

use std::{io, sync::Arc};

use crate::{observe::Tally, session::Session};

/// The configured way to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlushMethod {
    /// One system call per session.
    Send,
    /// One system call for many sessions: Linux only, and where the kernel allows it.
    IoUring,
}

/// See the module's description.
pub(crate) enum FlushIo {
    Send,
    #[cfg(target_os = "linux")]
    IoUring(Box<super::uring::Uring>),
}

impl FlushIo {
    /// Fails when io_uring is requested and not available.
    pub(crate) fn new(method: FlushMethod) -> io::Result<Self> {
        match method {
            FlushMethod::Send => Ok(Self::Send),
            #[cfg(target_os = "linux")]
            FlushMethod::IoUring => {
                super::uring::Uring::new().map(|ring| Self::IoUring(Box::new(ring)))
            }
            #[cfg(not(target_os = "linux"))]
            FlushMethod::IoUring => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    pub(crate) fn flush(&mut self, sessions: &[Arc<Session>]) -> Tally {
        match self {
            Self::Send => {
                let mut tally = Tally::default();
                for (at, session) in sessions.iter().enumerate() {
                    if let Some(next) = sessions.get(at + 1) {
                        next.prefetch();
                    }
                    tally.add(session.wire().transport(), session.flush_counted().1);
                }
                tally
            }
            #[cfg(target_os = "linux")]
            Self::IoUring(ring) => ring.flush(sessions),
        }
    }
}
