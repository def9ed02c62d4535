//! Whether a load still progresses.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The progress of a chain's load, across writer connections.
#[derive(Debug, Default)]
pub(super) struct Stall(Mutex<Option<LoadState>>);

#[derive(Debug)]
struct LoadState {
    /// Blocks stored at the last progress, and its time.
    blocks: u64,
    at: Instant,
    /// Indexes were deferred, and may have been rebuilt since.
    defers: bool,
    given_up: bool,
}

impl Stall {
    /// Whether nothing was stored for `limit`, since the load began or since the first call.
    pub(super) fn is_stalled(&self, blocks: u64, limit: Duration) -> bool {
        let mut state = self.0.lock();
        let load = Self::load_state(&mut state, blocks);
        if load.blocks != blocks {
            (load.blocks, load.at) = (blocks, Instant::now());
        }
        load.at.elapsed() >= limit
    }

    /// Records that the load defers indexes.
    pub(super) fn defers(&self, blocks: u64) {
        let mut state = self.0.lock();
        let load = Self::load_state(&mut state, blocks);
        if !load.defers {
            (load.defers, load.at) = (true, Instant::now());
        }
    }

    /// Records that this load does not defer indexes again.
    pub(super) fn give_up(&self) {
        if let Some(load) = self.0.lock().as_mut() {
            load.given_up = true;
        }
    }

    /// Whether this load does not defer indexes again.
    pub(super) fn is_given_up(&self) -> bool {
        self.0.lock().as_ref().is_some_and(|load| load.given_up)
    }

    fn load_state(state: &mut Option<LoadState>, blocks: u64) -> &mut LoadState {
        state.get_or_insert_with(|| LoadState {
            blocks,
            at: Instant::now(),
            defers: false,
            given_up: false,
        })
    }

    /// Records that the load ended or that the node is reachable.
    pub(super) fn clear(&self) {
        *self.0.lock() = None;
    }
}
