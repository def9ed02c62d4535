//! The sessions and channels of this process, and the fan-out between them.
//!
//! A turn has two halves. [`Hub::publish`] locks the channels, encodes each update once per wire format and queues
//! it for its subscribers; the flusher then writes, once for each session that has something new, however many
//! updates came meanwhile. Locks are taken in the order channels → subscriptions → outbox, never back.

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
    CloseReason, GatewayConfig,
    auth::{Authenticator, Identity},
    backlog::{Backlog, Ebb, Total},
    channel::{Entry, Turn},
    channels::Channels,
    commits::Commits,
    encode::Wire,
    heartbeat::Registry,
    journal::Journal,
    metrics::GatewayMetrics,
    past::Past,
    session::{Hold, Session},
    watchers::Watchers,
    writer::Writer,
};
use crate::{
    model::{ChainId, Channel, Token, Update},
    shutdown::Tasks,
};

/// Sessions written to before other tasks of the thread get their turn.
const WRITES_A_TURN: usize = 256;

/// So many rounds in a row that left something to write are load, and fewer a hiccup.
const BUSY_ROUNDS: u32 = 4;

/// The runtime's timers are no finer.
const SHORTEST_REST: Duration = Duration::from_millis(1);

/// Replays that read the store at once: fewer than it has connections, which others need, too.
const REPLAY_READS: usize = 4;

/// What this deployment serves channels of.
#[derive(Debug, Clone)]
pub struct KnownChannels {
    pub first_chain: ChainId,
    pub chain_ids: Vec<ChainId>,
    pub tokens: Vec<Token>,
    /// Whether whole blocks, with their transactions, are indexed of any chain.
    pub transactions: bool,
    /// Contracts with their events, all in lower case.
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
    past: Box<dyn Past>,
    authenticator: Arc<Authenticator>,
    metrics: GatewayMetrics,
    watchers: Watchers,
    journal: Journal,
    last_backlog: Mutex<Backlog>,
    ebb: Mutex<Ebb>,
    backlog_total: Arc<Total>,
    started: Instant,
    channels: Mutex<Channels>,
    registry: Mutex<Registry>,
    shards: Box<[Shard]>,
    sharded: AtomicUsize,
    /// An interval lane waits for a time that may be sooner than the clock sleeps for.
    rearmed: Notify,
    tickets: AtomicU64,
    replay_reads: Semaphore,
    tasks: Tasks,
    /// Sessions that still exist, ended ones whose goodbye is being sent included.
    alive: AtomicUsize,
    none_alive: Notify,
    closing: AtomicBool,
}

/// The sessions that one flusher writes for.
#[derive(Default)]
struct Shard {
    pending: Mutex<Pending>,
    /// There is something in `pending`.
    filled: Notify,
}

/// Sessions with something to be written, and the commits that it is of.
#[derive(Default)]
struct Pending {
    dirty: Vec<Arc<Session>>,
    commits: Commits,
}

impl Hub {
    pub fn new(
        config: GatewayConfig,
        known: KnownChannels,
        past: Box<dyn Past>,
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
            journal: Journal::new(config.limits.log_lines),
            watchers: Watchers::new(&config),
            backlog_total: Total::new(config.backlog_total_bytes),
            config,
            past,
            authenticator,
            metrics: GatewayMetrics::new(),
            last_backlog: Mutex::default(),
            ebb: Mutex::default(),
            started: Instant::now(),
            channels: Mutex::default(),
            registry: Mutex::default(),
            rearmed: Notify::new(),
            tickets: AtomicU64::new(0),
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
        self.0.past.epoch()
    }

    pub fn authenticator(&self) -> &Authenticator {
        &self.0.authenticator
    }

    /// The same, to be kept by another part of the process.
    pub(super) fn shared_authenticator(&self) -> Arc<Authenticator> {
        self.0.authenticator.clone()
    }

    pub fn first_chain(&self) -> ChainId {
        self.0.first_chain
    }

    pub(super) fn past(&self) -> &dyn Past {
        &*self.0.past
    }

    pub(super) fn metrics(&self) -> &GatewayMetrics {
        &self.0.metrics
    }

    /// What is watched for whom.
    pub(super) fn watchers(&self) -> &Watchers {
        &self.0.watchers
    }

    pub(super) fn journal(&self) -> &Journal {
        &self.0.journal
    }

    pub(super) fn last_backlog(&self) -> &Mutex<Backlog> {
        &self.0.last_backlog
    }

    /// What waited most since memory was given back.
    pub(super) fn ebb(&self) -> &Mutex<Ebb> {
        &self.0.ebb
    }

    /// What waits for all sessions together.
    pub(super) fn backlog_total(&self) -> &Arc<Total> {
        &self.0.backlog_total
    }

    pub(super) fn channels(&self) -> &Mutex<Channels> {
        &self.0.channels
    }

    pub(super) fn registry(&self) -> &Mutex<Registry> {
        &self.0.registry
    }

    /// Where sessions spawn what outlives a request.
    pub(super) fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    /// One of these is to be held by a replay that reads the store.
    pub(super) fn replay_reads(&self) -> &Semaphore {
        &self.0.replay_reads
    }

    /// Ms since the hub started, by a clock that never goes back.
    pub fn clock_ms(&self) -> u64 {
        self.0.started.elapsed().as_millis() as u64
    }

    /// A number that was not given before.
    pub(super) fn ticket(&self) -> u64 {
        self.0.tickets.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether this deployment has the chain, or the token.
    pub(super) fn has_chain(&self, id: ChainId) -> bool {
        self.0.chain_ids.contains(&id)
    }

    pub(super) fn has_token(&self, token: &Token) -> bool {
        self.0.tokens.contains(token)
    }

    /// Whether transactions are indexed of any chain.
    pub(super) fn has_transactions(&self) -> bool {
        self.0.transactions
    }

    /// Events by contract, all in lower case.
    pub(super) fn contracts(&self) -> &BTreeMap<String, BTreeSet<String>> {
        &self.0.contracts
    }

    /// Makes a session; `None` when the hub is closing. `hold` is dropped with it.
    pub fn open(
        &self,
        wire: Wire,
        identity: Option<Identity>,
        hold: Option<Hold>,
    ) -> Option<Arc<Session>> {
        self.0.alive.fetch_add(1, Ordering::SeqCst);
        let session = Arc::new(Session::new(
            self.clone(),
            wire,
            identity.map(Arc::new),
            hold,
        ));
        self.0.metrics.opened(wire.transport());
        let mut registry = self.0.registry.lock();
        // Under the lock: closing either sees this session or is seen here.
        if self.0.closing.load(Ordering::SeqCst) {
            drop(registry);
            session.end(CloseReason::GoingAway {
                retry_after_ms: self.retry_after_ms(),
            });
            return None;
        }
        registry.insert(&session);
        drop(registry);
        self.0.journal.opened(&session);
        Some(session)
    }

    /// Takes an ended session out of everything; called by [`Session::end`] alone.
    pub(super) fn remove(&self, session: &Arc<Session>, reason: &CloseReason) {
        self.0.registry.lock().remove(session);
        self.unsubscribe_all(session);
        self.0.metrics.closed(session.wire().transport(), reason);
        self.0.journal.closed(session, reason);
    }

    /// Ends every subscription of a session.
    pub fn unsubscribe_all(&self, session: &Arc<Session>) {
        let mut channels = self.0.channels.lock();
        let gone = std::mem::take(&mut *session.subscriptions.lock());
        for subscription in &gone {
            channels.leave(session, subscription.slot, subscription.state);
        }
        drop(channels);
        for subscription in &gone {
            self.0.metrics.unsubscribed(&subscription.channel);
        }
    }

    /// A session's expiry changed.
    pub(super) fn watch(&self, session: &Session) {
        self.0.registry.lock().look_soon(session);
    }

    /// Counts down as sessions are dropped.
    pub(super) fn dropped(&self) {
        if self.0.alive.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.none_alive.notify_waiters();
        }
    }

    /// Queues the updates of one commit for their subscribers, in order, and lets the flusher write. `committed`
    /// is when it was committed, where that is known: the fan-out's latency is measured from it.
    pub fn publish(&self, updates: &[Update], committed: impl Into<Option<Instant>>) {
        let now = Instant::now();
        let mut turn = Turn::new(self.0.shards.len());
        let mut rearmed = false;
        let mut channels = self.0.channels.lock();
        for update in updates {
            let Some(slot) = self.slot_to_publish(&mut channels, &update.channel, now) else {
                continue;
            };
            let (entry, ring) = (Entry::from(update.clone()), self.0.config.ring_updates);
            rearmed |= channels.publish(slot, entry, ring, now, &mut turn);
            // Whoever waits for the channels does not wait for a whole commit.
            MutexGuard::bump(&mut channels);
        }
        drop(channels);
        if rearmed {
            self.0.rearmed.notify_one();
        }
        self.finish(turn, committed.into());
    }

    /// Channels that nobody listens to are remembered up to a bound; the store knows the others. Candles are not
    /// remembered before somebody asks.
    fn slot_to_publish(
        &self,
        channels: &mut Channels,
        channel: &Channel,
        now: Instant,
    ) -> Option<usize> {
        match channels.find(channel) {
            Some(slot) => Some(slot),
            None if matches!(channel, Channel::Candle(..)) => None,
            None if channels.slots.len() < self.0.config.channels_in_memory => {
                Some(channels.slot(channel, now))
            }
            None => None,
        }
    }

    /// Sends what waited for the end of an interval; returns when to look again.
    pub(super) fn fire_due(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut turn = Turn::new(self.0.shards.len());
        let mut channels = self.0.channels.lock();
        let next = channels.fire_due(now, &mut turn);
        drop(channels);
        // What waited did so on purpose: it is not late.
        self.finish(turn, None);
        next
    }

    pub(super) async fn rearmed(&self) {
        self.0.rearmed.notified().await;
    }

    fn finish(&self, turn: Turn, committed: Option<Instant>) {
        self.0.metrics.conflated(turn.conflated);
        for session in turn.slow {
            session.end(CloseReason::Slow);
        }
        let mut way = None;
        for (number, (shard, dirty)) in self.0.shards.iter().zip(turn.dirty).enumerate() {
            // Only for sessions that wait for the flusher anyway: a round that has nothing to write ends after theirs.
            let joined = turn.joined & (1 << number) != 0;
            if dirty.is_empty() && !joined {
                continue;
            }
            let mut pending = shard.pending.lock();
            if let Some(at) = committed {
                pending
                    .commits
                    .note(way.get_or_insert_with(|| self.0.metrics.on_its_way(at)));
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

    /// How many flushers there are; each has to be run.
    pub fn flushers(&self) -> usize {
        self.0.shards.len()
    }

    /// The flusher of the next session: they take turns.
    pub(super) fn next_shard(&self) -> usize {
        self.0.sharded.fetch_add(1, Ordering::Relaxed) % self.0.shards.len()
    }

    /// Writes for as long as it is polled: each dirty session of its shard once a round.
    pub async fn run_flusher(&self, shard: usize, mut writer: Writer) {
        let linger = Duration::from_millis(self.0.config.linger_ms);
        let Some(shard) = self.0.shards.get(shard) else {
            return;
        };
        let mut busy = 0;
        loop {
            shard.filled.notified().await;
            let begun = Instant::now();
            let Pending { dirty, commits } = std::mem::take(&mut *shard.pending.lock());
            for some in dirty.chunks(WRITES_A_TURN) {
                self.0.metrics.sent_all(&writer.flush(some));
                tokio::task::yield_now().await;
            }
            drop(commits);
            // Under load, which shows in that more came while this was written, round after round, what comes in a
            // while is written together: a write costs nearly the same however many frames it has. Never for longer
            // than in proportion to what writing took, so that few sessions do not wait for what only many need.
            busy = match shard.pending.lock().dirty.is_empty() {
                true => 0,
                false => BUSY_ROUNDS.min(busy + 1),
            };
            let rest = linger.min(begun.elapsed() * 3 / 2);
            if busy == BUSY_ROUNDS && rest >= SHORTEST_REST {
                tokio::time::sleep(rest).await;
            }
        }
    }

    /// Forgets channels that nobody listens to and that had no update for `idle`, once there are too many, and candles
    /// that nobody listened to for `idle` always; and old updates, once all take more than they may.
    pub(super) fn forget_idle(&self, idle: Duration) {
        let config = &self.0.config;
        let mut channels = self.0.channels.lock();
        if let Some(before) = Instant::now().checked_sub(idle) {
            let few = channels.slots.len() < config.channels_in_memory;
            channels.forget_idle(before, few);
        }
        channels.keep_within(config.ring_bytes);
    }

    /// A random time within the reconnect window, so that clients do not all come back at once.
    pub(super) fn retry_after_ms(&self) -> u64 {
        rand::random_range(0..=self.0.config.reconnect_window_ms)
    }

    pub fn is_closing(&self) -> bool {
        self.0.closing.load(Ordering::SeqCst)
    }

    /// Tells every session to come back later, takes no new ones, and waits until all are gone or `deadline`
    /// has passed; returns whether all are gone.
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
            if count % WRITES_A_TURN == WRITES_A_TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
        let gone = async {
            loop {
                let notified = self.0.none_alive.notified();
                if self.0.alive.load(Ordering::SeqCst) == 0 {
                    return;
                }
                notified.await;
            }
        };
        tokio::time::timeout(deadline, gone).await.is_ok()
    }

    /// Open sessions by transport, in the order of [`Transport::ALL`](super::encode::Transport::ALL).
    pub fn session_counts(&self) -> [usize; 3] {
        self.0.registry.lock().counts()
    }
}
