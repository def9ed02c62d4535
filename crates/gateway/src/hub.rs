//! The sessions and channels of this process, and the fan-out between them.
//!
//! Delivery has two steps. [`Hub::publish`] locks the channels, encodes each update once per wire format and queues it
//! for its subscribers. The flusher then writes once for each session with new packets, however many updates were
//! queued meanwhile. Lock order: channels → subscriptions → outbox.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use rustc_hash::FxHashSet;
use tokio::sync::{Notify, Semaphore};

use super::{
    GatewayConfig,
    auth::{Authenticator, Identity},
    backlog::{Backlog, BacklogTotal, TrimPolicy},
    channel::{Entry, Fanout},
    channel_log::ChannelLog,
    channels::Channels,
    fanout_latency::PendingCommits,
    flush_io::FlushIo,
    liveness::Registry,
    metrics::GatewayMetrics,
    session::{Admission, Session},
    session_log::SessionLog,
    watch_quota::WatchQuota,
};
use chaincast_base::shutdown::Tasks;
use chaincast_protocol::{ChainId, Channel, Token, Update};
use chaincast_protocol::{CloseReason, encode::Wire};

/// Sessions written to before the task yields.
const WRITES_PER_YIELD: usize = 256;

/// Consecutive flush rounds during which new packets arrived, after which the flusher counts as under load.
const BUSY_ROUNDS: u32 = 4;

/// Resolution of the runtime's timers.
const MIN_PAUSE: Duration = Duration::from_millis(1);

/// Concurrent reads of the store by replays: fewer than its connections, which other readers need.
const REPLAY_READS: usize = 4;

/// The chains, tokens and contracts that this deployment serves channels for.
#[derive(Debug, Clone)]
pub struct KnownChannels {
    pub first_chain: ChainId,
    pub chain_ids: Vec<ChainId>,
    pub tokens: Vec<Token>,
    /// Whether any chain is indexed with whole blocks, including transactions.
    pub transactions: bool,
    /// Contracts with their events, in lower case.
    pub contracts: BTreeMap<String, BTreeSet<String>>,
}

/// See the module's description. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    config: GatewayConfig,
    first_chain: ChainId,
    chain_ids: FxHashSet<ChainId>,
    tokens: FxHashSet<Token>,
    transactions: bool,
    contracts: BTreeMap<String, BTreeSet<String>>,
    channel_log: Box<dyn ChannelLog>,
    authenticator: Arc<Authenticator>,
    metrics: GatewayMetrics,
    watch_quota: WatchQuota,
    session_log: SessionLog,
    last_backlog: Mutex<Backlog>,
    trim_policy: Mutex<TrimPolicy>,
    backlog_total: Arc<BacklogTotal>,
    started: Instant,
    channels: Mutex<Channels>,
    registry: Mutex<Registry>,
    shards: Box<[Shard]>,
    sharded: AtomicUsize,
    /// An interval lane is due, possibly earlier than the timer task wakes.
    rearmed: Notify,
    replay_ids: AtomicU64,
    replay_reads: Semaphore,
    tasks: Tasks,
    /// Sessions in memory, including ended ones that still send their last packets.
    alive: AtomicUsize,
    none_alive: Notify,
    closing: AtomicBool,
}

/// The sessions that one flusher writes for.
#[derive(Default)]
struct Shard {
    pending: Mutex<Pending>,
    /// Notified when `pending` is not empty.
    filled: Notify,
}

/// Sessions with packets to write, and the commits that they belong to.
#[derive(Default)]
struct Pending {
    dirty: Vec<Arc<Session>>,
    commits: PendingCommits,
}

impl Hub {
    pub fn new(
        config: GatewayConfig,
        known: KnownChannels,
        channel_log: Box<dyn ChannelLog>,
        authenticator: Arc<Authenticator>,
        tasks: Tasks,
    ) -> Self {
        let shards = (0..config.flushers.max(1)).map(|_| Shard::default());
        Self(Arc::new(Inner {
            shards: shards.collect(),
            sharded: AtomicUsize::new(0),
            first_chain: known.first_chain,
            chain_ids: known.chain_ids.into_iter().collect(),
            tokens: known.tokens.into_iter().collect(),
            transactions: known.transactions,
            contracts: known.contracts,
            session_log: SessionLog::new(config.limits.log_lines),
            watch_quota: WatchQuota::new(&config),
            backlog_total: BacklogTotal::new(config.backlog_total_bytes),
            config,
            channel_log,
            authenticator,
            metrics: GatewayMetrics::new(),
            last_backlog: Mutex::default(),
            trim_policy: Mutex::default(),
            started: Instant::now(),
            channels: Mutex::default(),
            registry: Mutex::default(),
            rearmed: Notify::new(),
            replay_ids: AtomicU64::new(0),
            replay_reads: Semaphore::new(REPLAY_READS),
            tasks,
            alive: AtomicUsize::new(0),
            none_alive: Notify::new(),
            closing: AtomicBool::new(false),
        }))
    }

    pub fn config(&self) -> &GatewayConfig {
        &self.0.config
    }

    pub fn epoch(&self) -> &str {
        self.0.channel_log.epoch()
    }

    pub fn authenticator(&self) -> &Authenticator {
        &self.0.authenticator
    }

    /// The authenticator, for another part of the process to keep.
    pub(super) fn shared_authenticator(&self) -> Arc<Authenticator> {
        self.0.authenticator.clone()
    }

    pub fn first_chain(&self) -> ChainId {
        self.0.first_chain
    }

    pub(super) fn channel_log(&self) -> &dyn ChannelLog {
        &*self.0.channel_log
    }

    pub(super) fn metrics(&self) -> &GatewayMetrics {
        &self.0.metrics
    }

    /// Watched transactions and addresses, counted per client.
    pub(super) fn watch_quota(&self) -> &WatchQuota {
        &self.0.watch_quota
    }

    pub(super) fn session_log(&self) -> &SessionLog {
        &self.0.session_log
    }

    pub(super) fn last_backlog(&self) -> &Mutex<Backlog> {
        &self.0.last_backlog
    }

    /// Decides when freed memory is returned to the system.
    pub(super) fn trim_policy(&self) -> &Mutex<TrimPolicy> {
        &self.0.trim_policy
    }

    /// Bytes that the clients of all sessions do not read, and their limit.
    pub(super) fn backlog_total(&self) -> &Arc<BacklogTotal> {
        &self.0.backlog_total
    }

    pub(super) fn channels(&self) -> &Mutex<Channels> {
        &self.0.channels
    }

    pub(super) fn registry(&self) -> &Mutex<Registry> {
        &self.0.registry
    }

    /// Spawns the tasks of sessions that outlive a request.
    pub(super) fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    /// A replay holds one permit while it reads the store.
    pub(super) fn replay_reads(&self) -> &Semaphore {
        &self.0.replay_reads
    }

    /// Ms since the hub started, by a monotonic clock.
    pub fn clock_ms(&self) -> u64 {
        self.0.started.elapsed().as_millis() as u64
    }

    /// An id that no earlier replay of this hub has.
    pub(super) fn next_replay_id(&self) -> u64 {
        self.0.replay_ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether this deployment indexes the chain.
    pub(super) fn has_chain(&self, id: ChainId) -> bool {
        self.0.chain_ids.contains(&id)
    }

    pub(super) fn has_token(&self, token: &Token) -> bool {
        self.0.tokens.contains(token)
    }

    /// Whether transactions of any chain are indexed.
    pub(super) fn has_transactions(&self) -> bool {
        self.0.transactions
    }

    /// Events by contract, in lower case.
    pub(super) fn contracts(&self) -> &BTreeMap<String, BTreeSet<String>> {
        &self.0.contracts
    }

    /// Creates a session; `None` when the hub is closing. `admission` is dropped with the session.
    pub fn open(
        &self,
        wire: Wire,
        identity: Option<Identity>,
        admission: Option<Admission>,
    ) -> Option<Arc<Session>> {
        self.0.alive.fetch_add(1, Ordering::SeqCst);
        let session = Arc::new(Session::new(
            self.clone(),
            wire,
            identity.map(Arc::new),
            admission,
        ));
        self.0.metrics.opened(wire.transport());
        let mut registry = self.0.registry.lock();
        // Under the lock, so that `close` sees this session or this check sees that the hub is closing.
        if self.0.closing.load(Ordering::SeqCst) {
            drop(registry);
            session.end(CloseReason::GoingAway {
                retry_after_ms: self.retry_after_ms(),
            });
            return None;
        }
        registry.insert(&session);
        drop(registry);
        self.0.session_log.opened(&session);
        Some(session)
    }

    /// Removes an ended session from the registry and its channels. Only [`Session::end`] calls it.
    pub(super) fn remove(&self, session: &Arc<Session>, reason: &CloseReason) {
        self.0.registry.lock().remove(session);
        self.unsubscribe_all(session);
        self.0.metrics.closed(session.wire().transport(), reason);
        self.0.session_log.closed(session, reason);
    }

    /// Ends every subscription of a session.
    pub fn unsubscribe_all(&self, session: &Arc<Session>) {
        let mut channels = self.0.channels.lock();
        let ended = std::mem::take(&mut *session.subscriptions.lock());
        for subscription in &ended {
            channels.leave(session, subscription.slot, subscription.state);
        }
        drop(channels);
        for subscription in &ended {
            self.0.metrics.unsubscribed(&subscription.channel);
        }
    }

    /// The expiry time of a session changed.
    pub(super) fn expiry_changed(&self, session: &Session) {
        self.0.registry.lock().check_soon(session);
    }

    /// A session was dropped.
    pub(super) fn dropped(&self) {
        if self.0.alive.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.none_alive.notify_waiters();
        }
    }

    /// Queues the updates of one commit for their subscribers, in order, and wakes the flushers. The fan-out latency is
    /// measured from the commit time `committed`, if given.
    pub fn publish(&self, updates: &[Update], committed: impl Into<Option<Instant>>) {
        let now = Instant::now();
        let mut fanout = Fanout::new(self.0.shards.len());
        let mut rearmed = false;
        let mut channels = self.0.channels.lock();
        for update in updates {
            let Some(slot) = self.slot_to_publish(&mut channels, &update.channel, now) else {
                continue;
            };
            let (entry, ring) = (Entry::from(update.clone()), self.0.config.ring_updates);
            rearmed |= channels.publish(slot, entry, ring, now, &mut fanout);
            // Other tasks that need the lock need not wait for the whole commit.
            MutexGuard::bump(&mut channels);
        }
        drop(channels);
        if rearmed {
            self.0.rearmed.notify_one();
        }
        self.finish(fanout, committed.into());
    }

    /// Channels without subscribers are kept in memory up to a bound; the others are read from the store when needed.
    /// Of kinds that are not kept without subscribers, none is kept before its first subscription.
    fn slot_to_publish(
        &self,
        channels: &mut Channels,
        channel: &Channel,
        now: Instant,
    ) -> Option<usize> {
        match channels.find(channel) {
            Some(slot) => Some(slot),
            None if !channel.kind().kept_without_subscribers => None,
            None if channels.slots.len() < self.0.config.channels_in_memory => {
                Some(channels.slot(channel, now))
            }
            None => None,
        }
    }

    /// Sends the entries whose interval has ended; returns the next due time.
    pub(super) fn fire_due(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut fanout = Fanout::new(self.0.shards.len());
        let mut channels = self.0.channels.lock();
        let next = channels.fire_due(now, &mut fanout);
        drop(channels);
        // These entries were held back on purpose, so their latency is not measured.
        self.finish(fanout, None);
        next
    }

    pub(super) async fn rearmed(&self) {
        self.0.rearmed.notified().await;
    }

    fn finish(&self, fanout: Fanout, committed: Option<Instant>) {
        self.0.metrics.conflated(fanout.conflated);
        for session in fanout.slow {
            session.end(CloseReason::Slow);
        }
        let mut tracked = None;
        for (number, (shard, dirty)) in self.0.shards.iter().zip(fanout.dirty).enumerate() {
            // Packets for sessions that are dirty already: the commit ends with the flusher's next round, too.
            let already_dirty = fanout.already_dirty & (1 << number) != 0;
            if dirty.is_empty() && !already_dirty {
                continue;
            }
            let mut pending = shard.pending.lock();
            if let Some(at) = committed {
                pending
                    .commits
                    .add(tracked.get_or_insert_with(|| self.0.metrics.track_commit(at)));
            }
            if pending.dirty.is_empty() {
                pending.dirty = dirty;
            } else {
                pending.dirty.extend(dirty);
            }
            drop(pending);
            shard.filled.notify_one();
        }
    }

    /// The number of flushers. The caller runs each with [`Hub::run_flusher`].
    pub fn flushers(&self) -> usize {
        self.0.shards.len()
    }

    /// The flusher of the next session, round robin.
    pub(super) fn next_shard(&self) -> usize {
        self.0.sharded.fetch_add(1, Ordering::Relaxed) % self.0.shards.len()
    }

    /// Runs forever: writes each dirty session of its shard once per round.
    pub async fn run_flusher(&self, shard: usize, mut flush_io: FlushIo) {
        let linger = Duration::from_millis(self.0.config.linger_ms);
        let Some(shard) = self.0.shards.get(shard) else {
            return;
        };
        let mut busy = 0;
        loop {
            shard.filled.notified().await;
            let begun = Instant::now();
            let Pending { dirty, commits } = std::mem::take(&mut *shard.pending.lock());
            for sessions in dirty.chunks(WRITES_PER_YIELD) {
                self.0.metrics.sent_all(&flush_io.flush(sessions));
                tokio::task::yield_now().await;
            }
            drop(commits);
            // Under load (new packets during every round of the last BUSY_ROUNDS) a pause lets frames accumulate, because
            // a write costs nearly the same for one frame or many. The pause is proportional to the time of the round, so
            // few sessions do not pay for it.
            busy = match shard.pending.lock().dirty.is_empty() {
                true => 0,
                false => BUSY_ROUNDS.min(busy + 1),
            };
            let pause = linger.min(begun.elapsed() * 3 / 2);
            if busy == BUSY_ROUNDS && pause >= MIN_PAUSE {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Drops channels without subscribers and without an update for `idle` once there are too many, and idle candle
    /// channels always. Drops the oldest updates once all channels together exceed `ring_bytes`.
    pub(super) fn forget_idle(&self, idle: Duration) {
        let config = &self.0.config;
        let mut channels = self.0.channels.lock();
        if let Some(before) = Instant::now().checked_sub(idle) {
            let only_unkept = channels.slots.len() < config.channels_in_memory;
            channels.forget_idle(before, only_unkept);
        }
        channels.keep_within(config.ring_bytes);
    }

    /// A random time within the reconnect window, so that clients do not all reconnect at the same time.
    pub(super) fn retry_after_ms(&self) -> u64 {
        rand::random_range(0..=self.0.config.reconnect_window_ms)
    }

    pub fn is_closing(&self) -> bool {
        self.0.closing.load(Ordering::SeqCst)
    }

    /// Refuses new sessions, ends all sessions with [`CloseReason::GoingAway`], and waits until all are dropped or
    /// `deadline` has passed; returns whether all are dropped.
    pub async fn close(&self, deadline: Duration) -> bool {
        let sessions = {
            let registry = self.0.registry.lock();
            self.0.closing.store(true, Ordering::SeqCst);
            registry.sessions()
        };
        for (count, session) in sessions.into_iter().enumerate() {
            session.end(CloseReason::GoingAway {
                retry_after_ms: self.retry_after_ms(),
            });
            if count % WRITES_PER_YIELD == WRITES_PER_YIELD - 1 {
                tokio::task::yield_now().await;
            }
        }
        let all_dropped = async {
            loop {
                let notified = self.0.none_alive.notified();
                if self.0.alive.load(Ordering::SeqCst) == 0 {
                    return;
                }
                notified.await;
            }
        };
        tokio::time::timeout(deadline, all_dropped).await.is_ok()
    }

    /// Open sessions by transport, in the order of [`Transport::ALL`](super::encode::Transport::ALL).
    pub fn session_counts(&self) -> [usize; 3] {
        self.0.registry.lock().counts()
    }
}
