//! Committed updates that are no longer in a hub's memory.

use crate::{
    model::{Channel, Update},
    store::{Store, StoreError, updates::Extent},
};

/// Reads the committed log. Cheap to clone.
#[derive(Clone)]
pub struct History {
    store: Store,
}

impl History {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }

    /// The id under which seqs mean something.
    pub fn epoch(&self) -> &str {
        self.store.epoch()
    }

    /// How far the stored history of a channel reaches.
    pub async fn extent(&self, channel: &Channel) -> Result<Extent, StoreError> {
        self.store.channel_extent(channel).await
    }

    /// Updates with `since < seq <= through`, in order, at most `limit`.
    pub async fn between(
        &self,
        channel: &Channel,
        since: u64,
        through: u64,
        limit: u32,
    ) -> Result<Vec<Update>, StoreError> {
        self.store
            .updates_between(channel, since, through, limit)
            .await
    }

    /// The update that tells a new subscriber where the channel stands: its newest block or price.
    pub async fn snapshot(&self, channel: &Channel) -> Result<Option<Update>, StoreError> {
        let event = match channel {
            Channel::NewBlock(_) => "new-block",
            Channel::Price(_) => "price-update",
            _ => return Ok(None),
        };
        self.store.newest_update(channel, event).await
    }
}
