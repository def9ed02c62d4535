//! For tests: the log lines that are written on their thread.

use std::{io, sync::Arc};

use parking_lot::Mutex;
use tracing::{
    Dispatch, Level,
    dispatcher::{self, DefaultGuard},
    subscriber::NoSubscriber,
};

/// Listens until it is dropped.
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
    pub(super) fn listen() -> Self {
        let written = Written::default();
        let writer = written.clone();
        // While there is but one listener, a thread of another test, which has none, may decide for all threads that
        // a line is not wanted.
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

    /// Lines so far that have these words.
    pub(super) fn count(&self, words: &str) -> usize {
        let written = self.written.0.lock();
        let text = String::from_utf8_lossy(&written);
        text.lines().filter(|line| line.contains(words)).count()
    }
}
