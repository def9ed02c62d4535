//! Carries committed updates from the writers to every hub, in this process or in others.
//!
//! A [`Publisher`] is given updates after their transaction committed. A [`Feed`] hands them to a hub so that each
//! channel's seqs rise by one: duplicates are dropped, and what a lossy path (a lagging receiver, Redis) left out is
//! read from the store, which is the truth. [`History`] reads what a hub no longer has in memory.

mod commit;
mod config;
mod feed;
mod history;
mod redis;
mod telemetry;

pub use commit::Commit;
pub use config::{BusConfig, BusKind};
pub use feed::Feed;
pub use history::{History, StaleSource};
pub use redis::ping as ping_redis;

pub use crate::store::alert_deliveries::Unacknowledged;

use std::time::Instant;

use tokio::sync::broadcast;

use crate::{model::Update, shutdown::Tasks, store::Store};

/// What went wrong on the way between processes; the updates themselves are safe in the store.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    #[error(
        "cannot reach Redis at {url}: {reason}; check that it runs and that bus.redis_url is right"
    )]
    Redis { url: String, reason: String },
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

/// Where writers say what they committed. Cheap to clone; publishing never waits.
#[derive(Clone)]
pub struct Publisher {
    local: broadcast::Sender<Commit>,
    remote: Option<redis::Outlet>,
}

impl Publisher {
    /// Announces the updates of a transaction that has just committed.
    pub fn publish(&self, updates: Vec<Update>) {
        if updates.is_empty() {
            return;
        }
        let commit = Commit::new(updates, Some(Instant::now()));
        if let Some(remote) = &self.remote {
            remote.offer(commit.clone());
        }
        // No receiver means no hub in this process.
        let _ = self.local.send(commit);
    }
}

/// The bus of one process.
pub struct Bus {
    config: BusConfig,
    store: Store,
    local: broadcast::Sender<Commit>,
    remote: Option<redis::Outlet>,
}

impl Bus {
    /// Connects what the config names. With Redis, a task relays commits of other processes into this one.
    pub async fn connect(
        config: &BusConfig,
        store: Store,
        tasks: &Tasks,
    ) -> Result<Self, BusError> {
        telemetry::describe();
        let (local, _) = broadcast::channel(config.capacity);
        let remote = match config.kind {
            BusKind::Memory => None,
            BusKind::Redis => Some(redis::connect(config, &store, local.clone(), tasks).await?),
        };
        Ok(Self {
            config: config.clone(),
            store,
            local,
            remote,
        })
    }

    pub fn publisher(&self) -> Publisher {
        Publisher {
            local: self.local.clone(),
            remote: self.remote.clone(),
        }
    }

    /// A hub's view of all channels, gap-free from now on.
    pub async fn feed(&self) -> Result<Feed, BusError> {
        Feed::open(&self.config, self.store.clone(), self.local.subscribe()).await
    }

    pub fn history(&self) -> History {
        History::new(self.store.clone())
    }
}
