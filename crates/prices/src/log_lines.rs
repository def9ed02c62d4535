//! Test support: captures the log lines of the current thread.

use std::{io, sync::Arc};

use parking_lot::Mutex;
use tracing::{
    Dispatch, Level,
    dispatcher::{self, DefaultGuard},
    subscriber::NoSubscriber,
};

/// Captures until dropped.
pub(super) struct LogLines {
    written: Written,
    _other: Dispatch,
    _listening: DefaultGuard,
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LogLines {
    pub(super) fn capture() -> Self {
        let written = Written::default();
        let writer = written.clone();
        // With a single dispatcher, a thread of another test without one may disable the callsite for all threads.
        let other = Dispatch::new(NoSubscriber::new());
        let listener = tracing_subscriber::fmt()
            .with_max_level(Level::INFO)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        Self {
            written,
            _other: other,
            _listening: dispatcher::set_default(&Dispatch::new(listener)),
        }
    }

    /// Number of captured lines that contain the text.
    pub(super) fn count(&self, text: &str) -> usize {
        let written = self.written.0.lock();
        let output = String::from_utf8_lossy(&written);
        output.lines().filter(|line| line.contains(text)).count()
    }
}
