//! Carries committed updates from the writers to every hub, in this process or in others.
//!
//! A [`Publisher`] is given updates after their transaction committed. A [`Feed`] hands them to a hub so that each
//! channel's seqs rise by one: duplicates are dropped, and what a lossy path (a lagging receiver, Redis) left out is
//! read from the store, which is the truth. [`History`] reads what a hub no longer has in memory.
//!
//! Nothing that comes over Redis reaches a client unless it was signed with the deployment's key or was read from the
//! store.

mod commit;
mod config;
mod feed;
mod hints;
mod history;
mod inbox;
mod parcel;
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

use self::{parcel::Hint, redis::Inlet};
use crate::{model::Update, shutdown::Tasks, store::Store};

/// What went wrong on the way between processes; the updates themselves are safe in the store.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    #[error(
        "cannot reach Redis at {url}: {reason}; check that it runs and that bus.redis_url is right"
    )]
    Redis { url: String, reason: String },
    /// No waiting helps.
    #[error("Redis at {url} cannot be used: {reason}")]
    RedisRefused { url: String, reason: String },
    #[error("bus.redis_url cannot be used: {0}")]
    RedisUrl(String),
    #[error("bus.redis_ca names {path}, which cannot be used: {reason}")]
    Authorities { path: String, reason: String },
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
    hints: broadcast::Sender<Hint>,
    remote: Option<redis::Outlet>,
}

impl Bus {
    /// Wires what the config names. With Redis, a task relays commits of other processes into this one, as soon as Redis
    /// can be reached and whenever it can.
    pub async fn connect(
        config: &BusConfig,
        store: Store,
        tasks: &Tasks,
    ) -> Result<Self, BusError> {
        telemetry::describe();
        let (local, _) = broadcast::channel(config.capacity);
        let (hints, _) = broadcast::channel(hints::CAPACITY);
        let inlet = Inlet {
            commits: local.clone(),
            hints: hints.clone(),
        };
        let remote = match config.kind {
            BusKind::Memory => None,
            BusKind::Redis => Some(redis::connect(config, &store, inlet, tasks)?),
        };
        Ok(Self {
            config: config.clone(),
            store,
            local,
            hints,
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
        let (incoming, hints) = (self.local.subscribe(), self.hints.subscribe());
        Feed::open(&self.config, self.store.clone(), incoming, hints).await
    }

    pub fn history(&self) -> History {
        History::new(self.store.clone())
    }
}
