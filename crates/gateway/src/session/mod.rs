//! One client connection over any transport.
//!
//! A session has an outbox, subscriptions, an identity and the time of the client's last activity. The outbox is
//! drained either by the session itself, which writes to its socket ([`Session::attach_socket`]), or by a poller: a
//! polling request ([`Session::poll_take`]). A polled session can get a socket later, which is how Socket.IO upgrades.
//! Only [`Session::end`] ends a session.
//!
//! For a transport:
//! 1. `Hub::open` creates the session; `Requests::greet` queues `connected`.
//! 2. `Requests::handle` takes parsed requests. It checks limits and rights, queues the answer, and then the snapshot or
//!    the replay, in that order.
//! 3. [`Session::queue`] takes the transport's own packets.
//! 4. [`Session::end`] ends it; the transport checks [`Session::ended`] after each wake.
//!
//! A session knows the hub only as its [`SessionOwner`].

mod client;
mod flush;
mod id;
mod outbox;
mod pace;
mod poll;
mod prefetch;
mod reply;
mod shared;
mod subscription;

pub use client::{RateExceeded, RequestKind};
pub use flush::FlushOutcome;
pub use id::random_id;
pub use outbox::{BacklogTotal, Batch, BeginWrite, Delivery, DirectWrite, PushOutcome, WriteBytes};
pub use pace::Pace;
pub use poll::PollOutcome;
pub use reply::Reply;
pub use shared::Shared;
pub use subscription::{Attachment, SubscriberKey, Subscription};

use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    task::Context,
    time::{Duration, Instant},
};

use chaincast_protocol::{
    CloseReason,
    encode::{self, ChannelName, Drain, Packet, Wire},
};
use futures_util::task::AtomicWaker;
use parking_lot::{Mutex, MutexGuard};
use tokio::{net::TcpStream, sync::Notify};

use self::{
    client::{Client, expiry},
    outbox::{Outbox, Unsent},
};
use crate::{
    admission::Admission,
    auth::Identity,
    lock_order::{Held, InnerLock},
    observe::{EndFields, SessionFields},
};

/// See the module's description.
///
/// Field order matters: the fields that the fan-out uses come first, next to the reference count, in as few cache lines
/// as possible. Between two writes of one session the kernel serves all other sessions, so the cache is cold.
#[repr(C)]
pub struct Session {
    outbox: Outbox,
    socket: OnceLock<TcpStream>,
    /// The flusher that writes for this session.
    shard: usize,
    wire: Wire,
    shared: Arc<Shared>,
    owner: Arc<dyn SessionOwner>,
    /// Its key in the hub's registry.
    registry_key: AtomicUsize,
    id: Box<str>,
    subscriptions: InnerLock<Vec<Subscription>>,
    client: Mutex<Client>,
    /// Expiry time of the JWT, in ms since the Unix epoch.
    expires_at_ms: AtomicI64,
    /// Time of the client's last activity, in ms of the clock.
    last_activity_ms: AtomicU64,
    /// A request is being processed, so nothing is read and the client does not count as silent.
    busy: AtomicBool,
    /// Wakes the one task that reads the socket, or the poller.
    waker: AtomicWaker,
    /// Notifies replays that the outbox has room again.
    drained: Notify,
    ended: OnceLock<CloseReason>,
    admission: Option<Admission>,
    /// In ms of the clock.
    opened_ms: u64,
}

/// The hub, as its sessions see it.
pub trait SessionOwner: Send + Sync {
    /// Removes a session that has just ended. Its outbox is as it was, and nothing else ends it again.
    fn ended(&self, session: &Arc<Session>, reason: &CloseReason);

    /// A session was dropped.
    fn dropped(&self);
}

/// Who opens a session.
#[derive(Debug, Default)]
pub struct Opener {
    pub identity: Option<Identity>,
    /// Where the client is known by its address. Dropped with the session.
    pub admission: Option<Admission>,
}

/// The outcome of [`Session::replay_room`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayRoom {
    Free,
    /// The session has ended.
    Ended,
    /// The client reads nothing.
    Unread,
}

/// Marks a session as busy with a request until dropped, also when the request is canceled.
pub struct Busy<'a>(&'a Session);

impl Session {
    pub fn new(
        shared: Arc<Shared>,
        owner: Arc<dyn SessionOwner>,
        shard: usize,
        wire: Wire,
        opener: Opener,
    ) -> Self {
        let now = shared.clock.ms();
        let limits = &shared.limits;
        let outbox = Outbox::new(wire, limits.backlog_bytes, shared.backlog_total.clone());
        let expires = expiry(opener.identity.as_ref());
        let client = Client::new(opener.identity.map(Arc::new), limits);
        Self {
            outbox,
            socket: OnceLock::new(),
            shard,
            wire,
            shared,
            owner,
            registry_key: AtomicUsize::new(usize::MAX),
            id: random_id(),
            subscriptions: InnerLock::default(),
            client: Mutex::new(client),
            expires_at_ms: AtomicI64::new(expires),
            last_activity_ms: AtomicU64::new(now),
            busy: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            drained: Notify::new(),
            ended: OnceLock::new(),
            admission: opener.admission,
            opened_ms: now,
        }
    }

    /// The public, unguessable `clientId`.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn wire(&self) -> Wire {
        self.wire
    }

    /// The flusher that writes for this session.
    pub fn shard(&self) -> usize {
        self.shard
    }

    /// Its key in the hub's registry.
    pub fn registry_key(&self) -> usize {
        self.registry_key.load(Ordering::Relaxed)
    }

    pub fn set_registry_key(&self, key: usize) {
        self.registry_key.store(key, Ordering::Relaxed);
    }

    /// The client's address, where it is known.
    pub fn peer(&self) -> Option<IpAddr> {
        self.admission.as_ref().map(|admission| admission.address)
    }

    /// The fields of log lines about this session.
    pub fn log_fields(&self) -> SessionFields<'_> {
        SessionFields {
            id: &self.id,
            transport: self.wire.transport(),
            peer: self.peer(),
            user: self.identity(),
        }
    }

    /// The fields of the log line about its end.
    pub fn end_fields(&self) -> EndFields<'_> {
        EndFields {
            session: self.log_fields(),
            duration_ms: u64::try_from(self.age().as_millis()).unwrap_or(u64::MAX),
            traffic: self.outbox.traffic(),
        }
    }

    /// Time since it was opened.
    pub fn age(&self) -> Duration {
        let age_ms = self.shared.clock.ms().saturating_sub(self.opened_ms);
        Duration::from_millis(age_ms)
    }

    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.client.lock().identity.clone()
    }

    /// Sets the client's identity. The hub must learn that its expiry changed: see `Hub::identify`.
    pub fn set_identity(&self, identity: Option<Identity>) {
        let expires = expiry(identity.as_ref());
        let mut client = self.client.lock();
        client.set_identity(identity);
        self.expires_at_ms.store(expires, Ordering::Relaxed);
    }

    /// When the client's JWT expires, in ms since the Unix epoch.
    pub fn expires_at_ms(&self) -> i64 {
        self.expires_at_ms.load(Ordering::Relaxed)
    }

    /// Whether the client has yet to be warned that its JWT expires. From now on it counts as warned.
    pub fn needs_expiry_warning(&self) -> bool {
        self.client.lock().needs_warning()
    }

    /// Counts a request of the client.
    pub fn admit_request(&self, kind: RequestKind) -> Result<(), RateExceeded> {
        let messages = &self.shared.messages;
        self.client.lock().admit(kind, messages, Instant::now())
    }

    /// Reads the subscriptions without the channels. `read` takes no other lock.
    pub(crate) fn with_subscriptions<T>(&self, read: impl FnOnce(&[Subscription]) -> T) -> T {
        self.subscriptions.read(|all| read(all))
    }

    /// The session's subscriptions, which change only while the channels are locked.
    pub fn subscriptions<'a>(&'a self, channels: Held<'a>) -> MutexGuard<'a, Vec<Subscription>> {
        self.subscriptions.lock(channels)
    }

    /// Records that data arrived from the client.
    pub fn record_activity(&self) {
        let now = self.shared.clock.ms();
        self.last_activity_ms.store(now, Ordering::Relaxed);
    }

    /// Counts bytes that arrived from the client.
    pub fn count_received(&self, bytes: usize) {
        self.shared.metrics.read(self.wire.transport(), bytes);
    }

    /// Time since the client's last activity, in ms; 0 while the server is not reading.
    pub fn silence_ms(&self) -> u64 {
        if self.busy.load(Ordering::Relaxed) {
            return 0;
        }
        let last_activity = self.last_activity_ms.load(Ordering::Relaxed);
        self.shared.clock.ms().saturating_sub(last_activity)
    }

    /// A request begins.
    pub fn begin_request(&self) -> Busy<'_> {
        self.record_activity();
        self.busy.store(true, Ordering::Relaxed);
        Busy(self)
    }

    pub fn socket(&self) -> Option<&TcpStream> {
        self.socket.get()
    }

    /// Registers the waker of the task that reads the socket.
    pub fn register(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }

    /// Sends everything as HTTP/1.1 chunks from now on. Only for an event stream, before the first packet is queued.
    pub fn send_chunks(&self) {
        self.outbox.send_chunks();
    }

    /// Whether packets are queued.
    pub fn has_backlog(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Bytes queued.
    #[cfg(test)]
    pub fn backlog_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    /// Bytes that the client does not read, as far as they count towards the limit of all sessions.
    pub fn unread_bytes(&self) -> usize {
        self.outbox.unread_bytes()
    }

    /// Bytes queued, to be called about once a second; `None` while they are being written.
    pub fn measure_backlog(&self) -> Option<usize> {
        self.outbox.measure(|| self.drain())
    }

    fn drain(&self) -> Drain {
        match self.socket.get() {
            Some(_) => Drain::Socket,
            None => Drain::Poller,
        }
    }

    /// Queues an update from the hub; the flag is true when the session became dirty.
    pub fn offer(&self, packet: &Packet, delivery: &Delivery<'_>) -> (PushOutcome, bool) {
        self.outbox.push_update(packet, delivery)
    }

    /// Queues a packet that belongs to no channel; `false` without room. The second flag is true when the session became
    /// dirty.
    pub fn offer_packet(&self, packet: Packet) -> (bool, bool) {
        self.outbox.push_dirty(packet)
    }

    /// Queues a live message; `false` without room. The second flag is true when the session became dirty.
    pub fn offer_live(&self, packet: &Packet, name: &Arc<ChannelName>) -> (bool, bool) {
        self.outbox.push_live(packet, name)
    }

    /// Queues a message of a channel that is only valid now; `false` without room. The caller flushes the session.
    pub fn offer_ephemeral(&self, packet: &Packet, name: &Arc<ChannelName>) -> bool {
        self.outbox.push_ephemeral(packet, name)
    }

    /// Locks the outbox for several steps.
    pub fn batch<'a>(&'a self, channels: Held<'a>) -> Batch<'a> {
        self.outbox.batch(channels)
    }

    /// Drops a channel's conflated update and position: its subscription ended or was replaced.
    pub fn forget_channel(&self, slot: usize, name: &ChannelName) {
        self.outbox.forget(slot, name);
    }

    /// Sends the transport's ping, and frees memory that an idle session does not need.
    pub fn ping(self: &Arc<Self>) {
        // Without room, enough packets are queued already.
        if self.outbox.push(encode::ping(self.wire)) {
            self.flush();
        }
        self.outbox.shrink();
    }

    /// Waits until a replay may queue more. The client has `patience` to read something each time.
    pub async fn replay_room(&self, patience: Duration) -> ReplayRoom {
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            if self.ended().is_some() {
                return ReplayRoom::Ended;
            }
            if self.outbox.admits_replay() {
                return ReplayRoom::Free;
            }
            if tokio::time::timeout(patience, drained).await.is_err() {
                return ReplayRoom::Unread;
            }
        }
    }

    /// Why the session ended, if it did. Its close packets may not be queued yet: see [`Self::closed`].
    pub fn ended(&self) -> Option<&CloseReason> {
        self.ended.get()
    }

    /// Why the session ended, once its close packets are queued. The transport must not close the connection earlier.
    pub fn closed(&self) -> Option<&CloseReason> {
        self.ended().filter(|_| self.outbox.is_closed())
    }

    /// Ends the session: it leaves the hub immediately; its transport sends the remaining packets and closes the
    /// connection. Only the first reason counts.
    pub fn end(self: &Arc<Self>, reason: CloseReason) {
        if self.ended.set(reason.clone()).is_err() {
            return;
        }
        self.owner.ended(self, &reason);
        let close_packets = if reason.notifies_peer() {
            encode::close_packets(self.wire, &reason, self.drain())
        } else {
            Vec::new()
        };
        let unsent = match reason {
            CloseReason::Slow => Unsent::Abort,
            reason if reason.keeps_backlog() => Unsent::Send,
            _ => Unsent::Drop,
        };
        self.outbox.close(unsent, close_packets);
        self.flush();
        self.waker.wake();
        self.drained.notify_waiters();
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Relaxed);
        self.0.record_activity();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.owner.dropped();
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("wire", &self.wire)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
