//! The newest update of each channel that found no room in the queue and may be skipped for a newer one.

use std::sync::Arc;

use chaincast_protocol::encode::ChannelName;

use crate::entry::Entry;

/// The newest update of a channel while the outbox is full.
#[derive(Debug)]
pub(super) struct ConflatedUpdate {
    /// The channel's index in the hub.
    pub slot: usize,
    pub name: Arc<ChannelName>,
    pub entry: Entry,
    /// The last seq that was queued, where there are seqs.
    pub prev: Option<u64>,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Conflation(Vec<ConflatedUpdate>);

impl Conflation {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Replaces the update of a channel; `false` if it has none.
    pub(super) fn replace(&mut self, slot: usize, entry: &Entry) -> bool {
        let known = self.0.iter_mut().find(|known| known.slot == slot);
        match known {
            Some(known) => {
                known.entry = entry.clone();
                true
            }
            None => false,
        }
    }

    /// Adds the update of a channel that has none.
    pub(super) fn add(&mut self, update: ConflatedUpdate) {
        self.0.push(update);
    }

    pub(super) fn forget(&mut self, slot: usize) {
        self.0.retain(|update| update.slot != slot);
    }

    /// Removes all, in the order in which their channels were added.
    pub(super) fn take(&mut self) -> Vec<ConflatedUpdate> {
        std::mem::take(&mut self.0)
    }
}
