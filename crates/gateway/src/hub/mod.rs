//! The sessions and channels of this process, and the fan-out between them.
//!
//! Delivery has two steps. [`Hub::publish`] locks the channels, encodes each update once per wire format and queues it
//! for its subscribers. The flushers then write once for each session with new packets, however many updates were queued
//! meanwhile.

mod channel;
mod channels;
mod encodings;
mod fanout;
mod flush_io;
mod flushers;
mod lane;
mod registry;
mod ring;
#[cfg(target_os = "linux")]
mod uring;
mod withheld;

pub(crate) use channel::{ChannelState, Snapshot};
pub(crate) use channels::Channels;
pub(crate) use fanout::Fanout;
pub(crate) use flush_io::{FlushIo, FlushMethod};
pub(crate) use flushers::Flushers;
pub(crate) use registry::{Check, DueSession, EXPIRY_WARNING_MS, PingTimes};
#[cfg(test)]
pub(crate) use ring::RingLimits;
pub(crate) use withheld::{PendingAnswer, WithheldUpdate};

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chaincast_bus::Signal;
use chaincast_protocol::{Channel, CloseReason, Update, encode::Wire};
use tokio::sync::Notify;

use self::{channels::Idle, registry::Registry};
use crate::{
    auth::Identity,
    channel_log::{ChannelLog, ChannelLogError},
    config::GatewayConfig,
    entry::Entry,
    lock_order::{OuterGuard, OuterLock},
    observe::SessionLog,
    session::{Opener, Session, SessionOwner, Shared},
};

/// Sessions ended before the task yields.
const ENDS_PER_YIELD: usize = 256;
/// Sessions whose subject is compared before the task yields.
const CHECKS_PER_YIELD: usize = 1_024;

/// See the module's description. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hub(Arc<Inner>);

struct Inner {
    channels: OuterLock<Channels>,
    registry: Registry,
    flushers: Arc<Flushers>,
    /// An interval lane is due, possibly earlier than the timer task wakes.
    rearmed: Notify,
    limits: HubLimits,
    shared: Arc<Shared>,
    session_log: Arc<SessionLog>,
}

/// The part of the configuration that the hub uses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HubLimits {
    ring_updates: usize,
    ring_bytes: usize,
    channels_in_memory: usize,
    reconnect_window_ms: u64,
    ping: PingTimes,
}

impl HubLimits {
    pub(crate) fn new(config: &GatewayConfig) -> Self {
        Self {
            ring_updates: config.ring_updates,
            ring_bytes: config.ring_bytes,
            channels_in_memory: config.channels_in_memory,
            reconnect_window_ms: config.reconnect_window_ms,
            ping: PingTimes {
                interval_ms: config.ping_interval_ms,
                timeout_ms: config.ping_timeout_ms,
            },
        }
    }

    /// How often sessions are pinged.
    pub(crate) fn ping(&self) -> PingTimes {
        self.ping
    }
}

impl Hub {
    pub(crate) fn new(
        limits: HubLimits,
        shared: Arc<Shared>,
        flushers: Arc<Flushers>,
        session_log: Arc<SessionLog>,
    ) -> Self {
        Self(Arc::new(Inner {
            channels: OuterLock::default(),
            registry: Registry::new(limits.ping),
            flushers,
            rearmed: Notify::new(),
            limits,
            shared,
            session_log,
        }))
    }

    /// Locks the channels.
    pub(crate) fn channels(&self) -> OuterGuard<'_, Channels> {
        self.0.channels.lock()
    }

    /// Creates a session; `None` when the hub is closing.
    pub(crate) fn open(&self, wire: Wire, opener: Opener) -> Option<Arc<Session>> {
        self.0.registry.creating();
        let session = Arc::new(Session::new(
            self.0.shared.clone(),
            self.0.clone(),
            self.0.flushers.assign(),
            wire,
            opener,
        ));
        self.0.shared.metrics.opened(wire.transport());
        if !self.0.registry.add(&session, self.0.shared.clock.ms()) {
            session.end(self.going_away());
            return None;
        }
        self.0.session_log.opened(&session.log_fields());
        Some(session)
    }

    /// Sets the identity of a session's client, for example when a JWT arrives.
    pub(crate) fn identify(&self, session: &Session, identity: Option<Identity>) {
        session.set_identity(identity);
        self.0.registry.check_soon(session);
    }

    /// Ends every subscription of a session.
    pub(crate) fn unsubscribe_all(&self, session: &Session) {
        self.0.unsubscribe_all(session);
    }

    /// Queues the updates of one commit for their subscribers, in order, and wakes the flushers. The fan-out latency is
    /// measured from the commit time `committed`, if given.
    pub(crate) fn publish(&self, updates: &[Update], committed: impl Into<Option<Instant>>) {
        let now = Instant::now();
        let mut fanout = Fanout::new(self.0.flushers.count());
        let mut rearmed = false;
        let mut channels = self.channels();
        for update in updates {
            let Some(slot) = self.slot_to_publish(&mut channels, &update.channel, now) else {
                continue;
            };
            if channels.slots[slot].has_withheld() {
                let (channels, held) = channels.split();
                channels.slots[slot].answer_withheld(slot, update.seq, held, &mut fanout);
            }
            let (entry, ring) = (Entry::from(update.clone()), self.0.limits.ring_updates);
            rearmed |= channels.publish(slot, entry, ring, now, &mut fanout);
            // Other tasks that need the lock need not wait for the whole commit.
            channels.bump();
        }
        drop(channels);
        if rearmed {
            self.0.rearmed.notify_one();
        }
        self.finish(fanout, committed.into());
    }

    /// Queues a message that is never stored for the present subscribers of its channel, but its sender.
    pub(crate) fn publish_live(&self, signal: &Signal) {
        let mut fanout = Fanout::new(self.0.flushers.count());
        {
            let mut channels = self.channels();
            let Some(slot) = channels.find(&signal.channel) else {
                return;
            };
            let entry = Entry {
                seq: None,
                event: signal.event.clone(),
                data: signal.data.clone(),
            };
            channels.slots[slot].publish_live(&entry, signal.sender.as_deref(), &mut fanout);
        }
        self.finish(fanout, None);
    }

    /// Withholds an update that is about to be committed from the session that published it, which gets its answer in the
    /// place of the update. `false` if the session would not receive the update: the answer can be sent after the commit.
    pub(crate) fn withhold(&self, channel: &Channel, update: WithheldUpdate) -> bool {
        let mut guard = self.channels();
        let (channels, held) = guard.split();
        channels.withhold(channel, update, held)
    }

    /// Withholds no more updates of a channel from a session: what it published was not committed.
    pub(crate) fn release_withheld(&self, channel: &Channel, session: &Session, seq: u64) {
        let mut channels = self.channels();
        if let Some(slot) = channels.find(channel) {
            channels.slots[slot].release_withheld(session, seq);
        }
    }

    /// Ends the sessions of each of these subjects that are at least this old.
    pub(crate) async fn disconnect(&self, subjects: &HashMap<String, Duration>) {
        for (count, session) in self.sessions().into_iter().enumerate() {
            let age = session
                .identity()
                .and_then(|identity| subjects.get(&identity.sub).copied());
            if age.is_some_and(|age| session.age() >= age) {
                session.end(CloseReason::Disconnected);
            }
            if count % CHECKS_PER_YIELD == CHECKS_PER_YIELD - 1 {
                tokio::task::yield_now().await;
            }
        }
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
            None if channels.slots.len() < self.0.limits.channels_in_memory => {
                Some(channels.slot(channel, now))
            }
            None => None,
        }
    }

    /// Sends the entries whose interval has ended; returns the next due time.
    pub(crate) fn fire_due(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut fanout = Fanout::new(self.0.flushers.count());
        let next = self.channels().fire_due(now, &mut fanout);
        // These entries were held back on purpose, so their latency is not measured.
        self.finish(fanout, None);
        next
    }

    /// Waits until an entry is held back, possibly for a shorter time than the others.
    pub(crate) async fn rearmed(&self) {
        self.0.rearmed.notified().await;
    }

    fn finish(&self, mut fanout: Fanout, committed: Option<Instant>) {
        self.0.shared.metrics.conflated(fanout.conflated);
        for session in std::mem::take(&mut fanout.slow) {
            session.end(CloseReason::Slow);
        }
        self.0.flushers.wake(fanout, committed);
    }

    /// Loads the position and the snapshot of a channel from the log, unless they are in memory.
    pub(crate) async fn warm(
        &self,
        log: &dyn ChannelLog,
        channel: &Channel,
    ) -> Result<(), ChannelLogError> {
        let warming = {
            let mut channels = self.channels();
            let slot = channels.slot(channel, Instant::now());
            let state = &mut channels.slots[slot];
            state.touch(Instant::now());
            if state.warm().is_some() {
                return Ok(());
            }
            state.warming.clone()
        };
        let _guard = warming.lock().await;
        if self.is_warm(channel) {
            return Ok(());
        }
        // In this order, a commit between the two reads is in the snapshot. In the other order it would be before the
        // position, so the hub would ignore it, and yet it would be missing from the snapshot.
        let span = log.span(channel).await?;
        let snapshot = log.snapshot(channel).await?;
        let snapshot_seq = snapshot.as_ref().map_or(0, |update| update.seq);
        let mut channels = self.channels();
        let slot = channels.slot(channel, Instant::now());
        channels.slots[slot].warm_up(span.newest.max(snapshot_seq), snapshot);
        Ok(())
    }

    fn is_warm(&self, channel: &Channel) -> bool {
        let channels = self.channels();
        channels
            .find(channel)
            .is_some_and(|slot| channels.slots[slot].warm().is_some())
    }

    /// Drops channels without subscribers and without an update for `idle` once there are too many, and idle candle
    /// channels always. Drops the oldest updates once all channels together exceed `ring_bytes`.
    pub(crate) fn forget_idle(&self, idle: Duration) {
        let limits = &self.0.limits;
        let mut channels = self.channels();
        if let Some(before) = Instant::now().checked_sub(idle) {
            let which = match channels.slots.len() < limits.channels_in_memory {
                true => Idle::NotKept,
                false => Idle::All,
            };
            channels.forget_idle(before, which);
        }
        channels.keep_within(limits.ring_bytes);
    }

    /// All open sessions.
    pub(crate) fn sessions(&self) -> Vec<Arc<Session>> {
        self.0.registry.sessions()
    }

    /// Visits a part of the open sessions while new ones wait: those with the `count` keys from `from` on. Returns the next
    /// key while there are more.
    pub(crate) fn visit_sessions(
        &self,
        from: usize,
        count: usize,
        visit: impl FnMut(&Session),
    ) -> Option<usize> {
        self.0.registry.visit(from, count, visit)
    }

    /// Open sessions by transport, in the order of [`Transport::ALL`](chaincast_protocol::encode::Transport::ALL).
    pub(crate) fn session_counts(&self) -> [usize; 3] {
        self.0.registry.counts()
    }

    /// The sessions whose timeouts must be checked now.
    pub(crate) fn due_sessions(&self) -> Vec<DueSession> {
        self.0.registry.due(self.0.shared.clock.ms())
    }

    /// The close reason during shutdown.
    pub(crate) fn going_away(&self) -> CloseReason {
        CloseReason::GoingAway {
            retry_after_ms: self.retry_after_ms(),
        }
    }

    /// When a client may reconnect: random within the reconnect window, so that not all reconnect at the same time.
    pub(crate) fn retry_after_ms(&self) -> u64 {
        rand::random_range(0..=self.0.limits.reconnect_window_ms)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.0.registry.is_closing()
    }

    /// Refuses new sessions, ends all sessions with [`CloseReason::GoingAway`], and waits until all are dropped or
    /// `deadline` has passed; returns whether all are dropped.
    pub(crate) async fn close(&self, deadline: Duration) -> bool {
        for (count, session) in self.0.registry.close().into_iter().enumerate() {
            session.end(self.going_away());
            if count % ENDS_PER_YIELD == ENDS_PER_YIELD - 1 {
                tokio::task::yield_now().await;
            }
        }
        self.0.registry.all_dropped(deadline).await
    }
}

impl Inner {
    fn unsubscribe_all(&self, session: &Session) {
        let mut guard = self.channels.lock();
        let (channels, held) = guard.split();
        let ended = std::mem::take(&mut *session.subscriptions(held));
        for subscription in &ended {
            channels.leave(session, subscription.slot, subscription.state);
        }
        drop(guard);
        for subscription in &ended {
            self.shared.metrics.unsubscribed(&subscription.channel);
        }
    }
}

impl SessionOwner for Inner {
    fn ended(&self, session: &Arc<Session>, reason: &CloseReason) {
        self.registry.remove(session);
        self.unsubscribe_all(session);
        self.shared
            .metrics
            .closed(session.wire().transport(), reason);
        self.session_log.closed(reason, || session.end_fields());
    }

    fn dropped(&self) {
        self.registry.dropped();
    }
}
