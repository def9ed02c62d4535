//! Carries committed updates from the writers to every hub, in this process or in others.
//!
//! ```text
//! writer ─▶ Publisher ─▶ memory ────────┐
//!                   └──▶ Redis ─▶ inbox ┴▶ CommitStream ─▶ hub        UpdateLog ─▶ hub: older updates
//!                                              ▲ gaps                     ▲
//!                                            store ───────────────────────┘
//! session ─▶ LiveMessages ─▶ memory, Redis ─▶ LiveStream ─▶ hub
//! ```
//!
//! Writers pass updates to a [`Publisher`] after the commit. A [`CommitStream`] delivers them to a hub; the seqs of each
//! channel rise by one. It drops duplicates, and reads updates that a lossy path (a lagging receiver, Redis) dropped
//! from the store, the source of truth. [`UpdateLog`] reads updates that a hub no longer has in memory.
//!
//! An update from Redis reaches a client only if it was signed with the deployment's key or read from the store. An
//! unsigned message is only a hint where to read (`hints`); unread messages are bounded (`remote::inbox`).
//!
//! [`LiveMessages`] are never stored: they reach whoever is connected now, and may be lost.

mod commit;
mod commit_stream;
mod config;
mod error;
mod hints;
mod live;
mod live_message;
mod remote;
mod telemetry;
mod update_log;

pub use commit::Commit;
pub use commit_stream::CommitStream;
pub use config::{BusConfig, BusKind};
pub use error::BusError;
pub use live::{LiveMessages, LiveStream};
pub use live_message::{LiveMessage, Signal};
pub use remote::ping as ping_redis;
pub use update_log::UpdateLog;

pub use chaincast_store::{alert_deliveries::Unacknowledged, disconnects::Disconnect};

use std::time::Instant;

use tokio::sync::broadcast;

use self::remote::{Commits, Hint, LocalChannels, SendQueue};
use chaincast_base::shutdown::Tasks;
use chaincast_protocol::Update;
use chaincast_store::Store;

/// Publishes the commits of writers. Cheap to clone; never blocks.
#[derive(Clone)]
pub struct Publisher {
    local: broadcast::Sender<Commit>,
    remote: Option<SendQueue<Commits>>,
}

impl Publisher {
    /// Publishes the updates of a transaction that has just committed.
    pub fn publish(&self, updates: Vec<Update>) {
        if updates.is_empty() {
            return;
        }
        let commit = Commit::new(updates, Some(Instant::now()));
        if let Some(remote) = &self.remote {
            remote.send(commit.clone());
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
    remote: Option<SendQueue<Commits>>,
    live: LiveMessages,
}

impl Bus {
    /// Starts the configured bus. With Redis, a task relays the commits of other processes into this one while Redis is
    /// reachable.
    pub async fn connect(
        config: &BusConfig,
        store: Store,
        tasks: &Tasks,
    ) -> Result<Self, BusError> {
        telemetry::describe();
        let (local, _) = broadcast::channel(config.capacity);
        let (hints, _) = broadcast::channel(hints::CAPACITY);
        let incoming = LocalChannels {
            commits: local.clone(),
            hints: hints.clone(),
        };
        let (live, _) = broadcast::channel(live::CAPACITY);
        let (remote, remote_live) = match config.kind {
            BusKind::Memory => (None, None),
            BusKind::Redis => (
                Some(remote::connect_commits(config, &store, incoming, tasks)?),
                remote::connect_live(config, &store, live.clone(), tasks)?,
            ),
        };
        Ok(Self {
            config: config.clone(),
            store,
            local,
            hints,
            remote,
            live: LiveMessages::new(live, remote_live),
        })
    }

    /// A publisher for the writers of this process.
    pub fn publisher(&self) -> Publisher {
        Publisher {
            local: self.local.clone(),
            remote: self.remote.clone(),
        }
    }

    /// The commits of all channels from now on, without gaps.
    pub async fn commit_stream(&self) -> Result<CommitStream, BusError> {
        let (incoming, hints) = (self.local.subscribe(), self.hints.subscribe());
        CommitStream::open(&self.config, self.store.clone(), incoming, hints).await
    }

    /// Messages that are never stored.
    pub fn live(&self) -> LiveMessages {
        self.live.clone()
    }

    /// Reads updates that a hub no longer has in memory.
    pub fn update_log(&self) -> UpdateLog {
        UpdateLog::new(self.store.clone())
    }
}
