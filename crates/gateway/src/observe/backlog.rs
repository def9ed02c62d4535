//! The bytes queued for all sessions, as last measured.

/// See the module's description.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Bytes queued for all sessions.
    pub bytes: u64,
    /// Bytes queued for the session with the largest backlog.
    pub largest: u64,
    /// Sessions with a backlog.
    pub sessions: u64,
}

impl Backlog {
    /// Adds one session.
    pub fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.largest = self.largest.max(bytes as u64);
        self.sessions += u64::from(bytes > 0);
    }
}
