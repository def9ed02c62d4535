//! Reads committed updates that are no longer in a hub's memory.

use std::{sync::Arc, time::Duration};

use chaincast_protocol::{
    ChainHealth, ChainId, ChainLimits, Channel, StaleSource, Update, channel::SnapshotRule, now_ms,
};
use chaincast_store::{
    Store, StoreError, alert_deliveries::Unacknowledged, disconnects::Disconnect, read::ChainRow,
    updates::Extent,
};

/// Most price sources that are checked, as in `/status`.
const MAX_SOURCES: u32 = 1_000;

/// Reads the update log. Cheap to clone.
#[derive(Clone)]
pub struct UpdateLog {
    store: Store,
    /// Identifies the watches that this log and its clones request.
    watcher: Arc<str>,
    /// The chains whose health [`Self::chains`] reports, in this order.
    chains: Arc<[ChainLimits]>,
}

impl UpdateLog {
    pub(super) fn new(store: Store) -> Self {
        let watcher = format!("{:032x}", rand::random::<u128>()).into();
        Self {
            store,
            watcher,
            chains: Arc::default(),
        }
    }

    /// Sets the chains whose health [`Self::chains`] reports.
    pub fn with_chains(mut self, chains: Vec<ChainLimits>) -> Self {
        self.chains = chains.into();
        self
    }

    /// The epoch of all seqs in this database.
    pub fn epoch(&self) -> &str {
        self.store.epoch()
    }

    /// The oldest and newest stored seq of a channel.
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

    /// See [`Store::watch`].
    pub async fn watch(
        &self,
        channels: &[Channel],
        seconds: u64,
        most: u64,
    ) -> Result<Vec<Option<u64>>, StoreError> {
        self.store
            .watch(channels, seconds, most, &self.watcher)
            .await
    }

    /// See [`Store::release_watches`].
    pub async fn release_watches(
        &self,
        channels: &[Channel],
        rest: Duration,
    ) -> Result<Vec<bool>, StoreError> {
        self.store
            .release_watches(channels, rest, &self.watcher)
            .await
    }

    /// See [`Store::unacknowledged`].
    pub async fn unacknowledged(
        &self,
        subject: &str,
        most: u32,
    ) -> Result<Unacknowledged, StoreError> {
        self.store.unacknowledged(subject, most).await
    }

    /// See [`Store::acknowledge`].
    pub async fn acknowledge(&self, subject: &str, ids: &[i64]) -> Result<u64, StoreError> {
        self.store.acknowledge(subject, ids).await
    }

    /// See [`Store::disconnects`].
    pub async fn disconnects(&self, within: Duration) -> Result<Vec<Disconnect>, StoreError> {
        self.store.disconnects(within).await
    }

    /// The snapshot for new subscribers that the hub keeps in memory, by the rule of the channel's kind.
    pub async fn snapshot(&self, channel: &Channel) -> Result<Option<Update>, StoreError> {
        match (&channel.kind().snapshot, channel) {
            (SnapshotRule::Newest(event), _) => self.store.newest_update(channel, event).await,
            (SnapshotRule::NewestUnlessWithdrawn { of, by }, _) => {
                let newest = self.store.newest_update(channel, of).await?;
                let withdrawal = self.store.newest_update(channel, by).await?;
                let withdrawn_through = withdrawal.map_or(0, |update| update.seq);
                Ok(newest.filter(|update| update.seq > withdrawn_through))
            }
            (SnapshotRule::TransactionState(_), Channel::Tx(hash)) => {
                self.store.transaction_state(*hash).await.map(Some)
            }
            (
                SnapshotRule::TransactionState(_)
                | SnapshotRule::Nothing
                | SnapshotRule::Unacknowledged,
                _,
            ) => Ok(None),
        }
    }

    /// The health of each chain, in the order of the configuration.
    pub async fn chains(&self) -> Result<Vec<ChainHealth>, StoreError> {
        let ids: Vec<ChainId> = self.chains.iter().map(|chain| chain.chain_id).collect();
        let (rows, now) = (self.store.live_chains(&ids).await?, now_ms());
        let health = |limits: &ChainLimits| {
            let row = rows.iter().find(|row| row.chain_id == limits.chain_id);
            ChainRow::health(row, limits, now)
        };
        Ok(self.chains.iter().map(health).collect())
    }

    /// The price sources that currently contribute to no price, by token and name: the newest tick is too old, there
    /// never was one, or the source's chain is in `down`.
    pub async fn stale_sources(&self, down: &[ChainId]) -> Result<Vec<StaleSource>, StoreError> {
        let now = now_ms();
        let sources = self.store.live_sources(MAX_SOURCES).await?.into_iter();
        Ok(sources
            .filter(|source| {
                source.is_stale(now).unwrap_or(true)
                    || source.chain_id.is_some_and(|chain| down.contains(&chain))
            })
            .map(|source| StaleSource {
                age_ms: source.age_ms(now),
                token: source.token,
                source: source.source,
            })
            .collect())
    }
}
