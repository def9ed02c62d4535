//! Committed updates that are no longer in a hub's memory.

use std::{sync::Arc, time::Duration};

use crate::{
    model::{ChainHealth, ChainId, ChainLimits, Channel, Token, Update, now_ms},
    store::{Store, StoreError, alert_deliveries::Unacknowledged, read::ChainRow, updates::Extent},
};

/// The most price sources that are looked at, as in `/status`.
const MAX_SOURCES: u32 = 1_000;

/// A price source that prices are not made of now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleSource {
    pub token: Token,
    pub source: String,
    /// Age of its newest tick, in ms; `None` when it never gave one.
    pub age_ms: Option<u64>,
}

/// Reads the committed log. Cheap to clone.
#[derive(Clone)]
pub struct History {
    store: Store,
    /// Whose watches are begun by this and its clones.
    watcher: Arc<str>,
    /// The chains whose health is told, in this order.
    chains: Arc<[ChainLimits]>,
}

impl History {
    pub(super) fn new(store: Store) -> Self {
        let watcher = format!("{:032x}", rand::random::<u128>()).into();
        Self {
            store,
            watcher,
            chains: Arc::default(),
        }
    }

    /// Tells of the health of these chains.
    pub fn watching(mut self, chains: Vec<ChainLimits>) -> Self {
        self.chains = chains.into();
        self
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

    /// See [`Store::let_go`].
    pub async fn let_go(
        &self,
        channels: &[Channel],
        rest: Duration,
    ) -> Result<Vec<bool>, StoreError> {
        self.store.let_go(channels, rest, &self.watcher).await
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

    /// The update that tells a new subscriber where the channel stands: its newest block, price or candle, or what is known of
    /// its transaction.
    pub async fn snapshot(&self, channel: &Channel) -> Result<Option<Update>, StoreError> {
        let event = match channel {
            Channel::Tx(hash) => return self.store.transaction_state(*hash).await.map(Some),
            Channel::NewBlock(_) => "new-block",
            Channel::Price(_) => "price-update",
            Channel::Candle(..) => "candle-update",
            Channel::Contract(..) => return self.newest_contract_event(channel).await,
            _ => return Ok(None),
        };
        self.store.newest_update(channel, event).await
    }

    /// The newest event of a contract, unless a reorg was told since, which may have taken it back.
    async fn newest_contract_event(&self, channel: &Channel) -> Result<Option<Update>, StoreError> {
        let newest = self.store.newest_update(channel, "contract-event").await?;
        let reorg = self.store.newest_update(channel, "contract-reorg").await?;
        let taken_back = reorg.map_or(0, |reorg| reorg.seq);
        Ok(newest.filter(|event| event.seq > taken_back))
    }

    /// How each chain does, in the order of the configuration.
    pub async fn chains(&self) -> Result<Vec<ChainHealth>, StoreError> {
        let ids: Vec<ChainId> = self.chains.iter().map(|chain| chain.chain_id).collect();
        let (rows, now) = (self.store.live_chains(&ids).await?, now_ms());
        let health = |limits: &ChainLimits| {
            let row = rows.iter().find(|row| row.chain_id == limits.chain_id);
            ChainRow::health(row, limits, now)
        };
        Ok(self.chains.iter().map(health).collect())
    }

    /// The price sources that prices are not made of now, by token and name: the newest tick is too old, there never
    /// was one, or the node of the source's chain is one of those that are `down`.
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
