//! The standbys of this process, kept between their attempts.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Stream, standby::Standby};

/// The connection of a standby that made no attempt for this long is not reused.
const FRESH: Duration = Duration::from_secs(10);

/// The connection of each stream's standby, and when it made its last attempt.
#[derive(Default)]
pub(crate) struct Standbys(Mutex<HashMap<Stream, (Standby, Instant)>>);

impl Standbys {
    /// The standby of a stream, for its next attempt.
    pub(super) fn take(&self, stream: Stream) -> Option<Standby> {
        let (standby, at) = self.0.lock().remove(&stream)?;
        (at.elapsed() < FRESH).then_some(standby)
    }

    /// Keeps a standby for its next attempt.
    pub(super) fn put(&self, stream: Stream, standby: Standby) {
        self.0.lock().insert(stream, (standby, Instant::now()));
    }

    /// Closes their connections.
    pub(crate) fn close(&self) {
        self.0.lock().clear();
    }
}
