//! One client connection over any transport.
//!
//! A session has an outbox, subscriptions, an identity and the time of the client's last activity. The outbox is
//! drained either by the session itself, which writes to its socket ([`Session::attach_socket`]), or by a poller: a
//! polling request ([`Session::poll_take`]). A polled session can get a socket later, which is how Socket.IO upgrades.
//! Only [`Session::end`] ends a session.
//!
//! For a transport:
//! 1. [`Hub::open`](super::hub::Hub::open) creates the session; [`Session::queue_connected`] queues `connected`.
//! 2. [`Session::request`] takes parsed requests. It checks limits and rights, queues the answer through the
//!    transport's [`Reply`], and then the snapshot or the replay, in that order.
//! 3. [`Session::queue`] takes the transport's own packets.
//! 4. [`Session::end`] ends it; the transport checks [`Session::ended`] after each wake.

use std::{
    io::ErrorKind,
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::{Mutex, MutexGuard};
use tokio::{net::TcpStream, sync::Notify};

use super::{
    auth::Identity,
    channel::{Pace, SubscriberKey},
    connection_limit::Permit,
    handshake_metrics,
    hub::Hub,
    outbox::{Delivery, Outbox, PushOutcome, Sent},
    rate_limit::RateWindow,
    watch_quota::WatchPermit,
};
use chaincast_protocol::{
    Channel, CloseReason, ErrorCode,
    control::{Connected, User, to_json},
    encode::{self, Packet, Transport, Wire},
    now_ms,
    request::Answer,
};

/// Encodes an answer as packets in the session's wire format. Called at most once, while the hub is locked: it must
/// only format.
pub type Reply = Box<dyn FnOnce(&Answer) -> Vec<Packet> + Send>;

/// The client's address, and the connection permit that the session releases when it is dropped.
#[derive(Debug)]
pub struct Admission {
    pub address: IpAddr,
    pub permit: Permit,
}

/// See the module's description.
///
/// Field order matters: the fields that the fan-out uses come first, next to the reference count, in as few cache lines
/// as possible. Between two writes of one session the kernel serves all other sessions, so the cache is cold.
#[repr(C)]
pub struct Session {
    pub(super) outbox: Mutex<Outbox>,
    socket: OnceLock<TcpStream>,
    /// The flusher that writes for this session.
    pub(super) shard: usize,
    wire: Wire,
    pub(super) hub: Hub,
    pub(super) key: AtomicUsize,
    id: Box<str>,
    /// Changed only while the hub's channels are locked.
    pub(super) subscriptions: Mutex<Vec<Subscription>>,
    pub(super) client: Mutex<Client>,
    /// Expiry time of the JWT, in ms since the Unix epoch.
    pub(super) expires_at_ms: AtomicI64,
    /// Time of the client's last activity, in ms since the hub started.
    last_activity_ms: AtomicU64,
    /// A request is being processed, so nothing is read and the client does not count as silent.
    pub(super) busy: AtomicBool,
    /// Wakes the one task that reads the socket, or the poller.
    waker: AtomicWaker,
    /// Notifies replays that the outbox has room again.
    pub(super) drained: Notify,
    ended: OnceLock<CloseReason>,
    admission: Option<Admission>,
    /// In ms since the hub started.
    opened_ms: u64,
}

/// A session's subscription to one channel.
pub struct Subscription {
    pub channel: Channel,
    /// The channel's index in the hub.
    pub slot: usize,
    pub pace: Pace,
    pub state: Attachment,
    /// The client's quota permit, when the channel is watched.
    pub permit: Option<Box<WatchPermit>>,
}

/// The state of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attachment {
    Live(SubscriberKey),
    /// History is being replayed by the replay with this id; a different id means that the subscription was replaced.
    Replaying(u64),
}

/// The client's identity and rate limits.
pub struct Client {
    pub identity: Option<Arc<Identity>>,
    pub rate: RateWindow,
    /// Counts the requests that `rate` refused; when this limit is exceeded, too, the session is closed.
    pub abuse: RateWindow,
    /// Whether `token-expiring` was sent for the current JWT.
    pub warned: bool,
}

/// The outcome of [`Session::flush`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushOutcome {
    All,
    /// The kernel's send buffer is full, or the session has no socket.
    Blocked,
    /// The connection is broken: queued packets are never sent.
    Lost,
}

/// The result of a poll.
#[derive(Debug, PartialEq, Eq)]
pub enum PollOutcome {
    /// At least one whole payload.
    Payloads(Vec<Bytes>),
    /// The session has ended and its outbox is empty.
    Ended,
}

impl Session {
    pub(super) fn new(
        hub: Hub,
        wire: Wire,
        identity: Option<Arc<Identity>>,
        admission: Option<Admission>,
    ) -> Self {
        let limits = hub.config().limits.clone();
        let window = Duration::from_millis(limits.rate_window_ms);
        let expires = identity.as_ref().map_or(i64::MAX, |i| i.expires_at_ms);
        let now = hub.clock_ms();
        Self {
            outbox: Mutex::new(Outbox::new(
                wire,
                limits.backlog_bytes,
                hub.backlog_total().clone(),
            )),
            socket: OnceLock::new(),
            shard: hub.next_shard(),
            wire,
            hub,
            key: AtomicUsize::new(usize::MAX),
            id: random_id(),
            subscriptions: Mutex::default(),
            client: Mutex::new(Client {
                identity,
                rate: RateWindow::new(limits.requests, window),
                abuse: RateWindow::new(limits.abuse_requests, window),
                warned: false,
            }),
            expires_at_ms: AtomicI64::new(expires),
            last_activity_ms: AtomicU64::new(now),
            busy: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            drained: Notify::new(),
            ended: OnceLock::new(),
            admission,
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

    /// The client's address, where it is known.
    pub fn peer(&self) -> Option<IpAddr> {
        self.admission.as_ref().map(|admission| admission.address)
    }

    /// Ms since the session was made.
    pub(super) fn age_ms(&self) -> u64 {
        self.hub.clock_ms().saturating_sub(self.opened_ms)
    }

    /// Messages and bytes sent so far, and bytes queued.
    pub(super) fn traffic(&self) -> (u64, u64, usize) {
        let outbox = self.outbox.lock();
        let (messages, bytes) = outbox.sent_totals();
        (messages, bytes, outbox.bytes())
    }

    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.client.lock().identity.clone()
    }

    /// Sets the client's identity, for example when the JWT arrives in a handshake inside the transport.
    pub fn identify(&self, identity: Option<Identity>) {
        let expires = identity.as_ref().map_or(i64::MAX, |i| i.expires_at_ms);
        let mut client = self.client.lock();
        client.identity = identity.map(Arc::new);
        client.warned = false;
        self.expires_at_ms.store(expires, Ordering::Relaxed);
        drop(client);
        self.hub.expiry_changed(self);
    }

    /// Counts and logs that a connected client was refused, such as in a Socket.IO namespace.
    pub(super) fn record_join_refusal(&self, code: Option<ErrorCode>) {
        let reason = handshake_metrics::refusal_reason(code);
        let transport = self.wire.transport();
        self.hub.metrics().handshake_refused(transport, reason);
        self.hub.session_log().join_refused(self, reason);
    }

    /// Records that data arrived from the client.
    pub fn record_activity(&self) {
        self.last_activity_ms
            .store(self.hub.clock_ms(), Ordering::Relaxed);
    }

    /// Time since the client's last activity, in ms; 0 while the server is not reading.
    pub(super) fn silence_ms(&self) -> u64 {
        if self.busy.load(Ordering::Relaxed) {
            return 0;
        }
        let last_activity = self.last_activity_ms.load(Ordering::Relaxed);
        self.hub.clock_ms().saturating_sub(last_activity)
    }

    /// The data of `connected`; `id` is the public `clientId`.
    fn connected(&self, id: &str) -> Connected {
        let config = self.hub.config();
        Connected {
            client_id: id.to_owned(),
            epoch: self.hub.epoch().to_owned(),
            ping_interval: config.ping_interval_ms,
            ping_timeout: config.ping_timeout_ms,
            server_time: now_ms(),
            user: self.identity().map(|identity| user(&identity)),
        }
    }

    /// Queues `connected`, the first event of every session.
    pub fn queue_connected(self: &Arc<Self>) {
        self.queue_connected_as(&self.id);
    }

    /// As [`Self::queue_connected`], with another public id, for a client that rejoins within one connection.
    pub fn queue_connected_as(self: &Arc<Self>, id: &str) {
        let packet = encode::event(self.wire, Connected::EVENT, &to_json(&self.connected(id)));
        self.queue(packet);
    }

    /// Sends everything as HTTP/1.1 chunks from now on. Only for an event stream, before the first packet is queued.
    pub fn send_chunks(&self) {
        self.outbox.lock().send_chunks();
    }

    /// Queues a packet that belongs to no channel and writes what the socket accepts. Ends the session as slow when the
    /// outbox has no room.
    pub fn queue(self: &Arc<Self>, packet: Packet) {
        if !self.outbox.lock().push(packet) {
            return self.end(CloseReason::Slow);
        }
        self.flush();
    }

    /// Gives the session its socket: from now on it writes to it directly.
    ///
    /// Returns the socket as an error when the session already has one.
    pub fn attach_socket(self: &Arc<Self>, socket: TcpStream) -> Result<(), TcpStream> {
        self.socket.set(socket)?;
        // From now on a write shows whether the client reads.
        self.outbox.lock().set_blocked(false);
        self.flush();
        Ok(())
    }

    pub(super) fn socket(&self) -> Option<&TcpStream> {
        self.socket.get()
    }

    /// Whether packets are queued.
    pub fn has_backlog(&self) -> bool {
        !self.outbox.lock().is_empty()
    }

    /// Why the session ended, if it did. Its close packets may not be queued yet: see [`Self::closed`].
    pub fn ended(&self) -> Option<&CloseReason> {
        self.ended.get()
    }

    /// Why the session ended, once its close packets are queued. The transport must not close the connection earlier.
    pub fn closed(&self) -> Option<&CloseReason> {
        self.ended().filter(|_| self.outbox.lock().is_closed())
    }

    /// Ends the session: it leaves the hub immediately; its transport sends the remaining packets and closes the
    /// connection. Only the first reason counts.
    pub fn end(self: &Arc<Self>, reason: CloseReason) {
        if self.ended.set(reason.clone()).is_err() {
            return;
        }
        self.hub.remove(self, &reason);
        let close_packets = if reason.notifies_peer() {
            encode::close_packets(self.wire, &reason, self.socket.get().is_some())
        } else {
            Vec::new()
        };
        let mut outbox = self.outbox.lock();
        outbox.close(reason.keeps_backlog(), close_packets);
        if reason == CloseReason::Slow {
            // The transport aborts a response that is still being sent.
            outbox.response_finished();
        }
        drop(outbox);
        self.flush();
        self.waker.wake();
        self.drained.notify_waiters();
    }

    /// Queues an update from the hub; the flag is true when the session became dirty.
    pub(super) fn offer(&self, packet: &Packet, delivery: &Delivery<'_>) -> (PushOutcome, bool) {
        let mut outbox = self.outbox.lock();
        let pushed = outbox.push_update(packet, delivery);
        let became_dirty = pushed == PushOutcome::Queued && !outbox.dirty;
        outbox.dirty |= became_dirty;
        (pushed, became_dirty)
    }

    /// Writes what the socket accepts, or wakes the poller. Without a poller, packets made for this session alone count
    /// as backlog immediately; updates shared by many sessions count once no poller came for about a second.
    pub(super) fn flush(self: &Arc<Self>) -> FlushOutcome {
        if self.socket.get().is_none() {
            let mut outbox = self.outbox.lock();
            outbox.dirty = false;
            if !outbox.is_empty() {
                match self.waker.take() {
                    Some(poller) => poller.wake(),
                    None => outbox.set_blocked(true),
                }
            }
        }
        let (flushed, sent) = self.flush_counted();
        self.hub.metrics().sent(self.wire.transport(), sent);
        flushed
    }

    /// As [`Self::flush`], but the caller counts what was sent.
    pub(super) fn flush_counted(self: &Arc<Self>) -> (FlushOutcome, Sent) {
        let mut outbox = self.outbox.lock();
        outbox.dirty = false;
        let Some(socket) = self.socket.get() else {
            let has_packets = !outbox.is_empty();
            drop(outbox);
            if has_packets {
                self.waker.wake();
            }
            return (FlushOutcome::Blocked, Sent::default());
        };
        if outbox.is_blocked() {
            return (FlushOutcome::Blocked, Sent::default());
        }
        // Direct system call: the runtime's own write first checks its readiness flag, which is expensive for a small
        // write. When the send buffer is full, the session's task continues through the runtime, which waits for the
        // socket.
        let socket = socket2::SockRef::from(socket);
        let (sent, stopped) = outbox.write_to(|bytes| socket.send(bytes));
        (self.finish_direct_write(outbox, sent.bytes, stopped), sent)
    }

    /// Records a write that bypassed the runtime: the number of bytes, and why it stopped.
    pub(super) fn finish_direct_write(
        self: &Arc<Self>,
        outbox: MutexGuard<'_, Outbox>,
        bytes: usize,
        stopped: Option<ErrorKind>,
    ) -> FlushOutcome {
        let flushed = self.finish_write(outbox, bytes, stopped);
        if stopped.is_some() {
            self.waker.wake();
        }
        flushed
    }

    /// Writes what the socket accepts through the runtime, which then can wait for the socket. Only for the one task
    /// that waits for the socket.
    pub(super) fn flush_ready(self: &Arc<Self>, socket: &TcpStream) -> FlushOutcome {
        let mut outbox = self.outbox.lock();
        let (sent, stopped) = outbox.write_to(|bytes| socket.try_write(bytes));
        self.hub.metrics().sent(self.wire.transport(), sent);
        self.finish_write(outbox, sent.bytes, stopped)
    }

    fn finish_write(
        self: &Arc<Self>,
        mut outbox: MutexGuard<'_, Outbox>,
        bytes: usize,
        stopped: Option<ErrorKind>,
    ) -> FlushOutcome {
        // With an empty outbox no task waits for the socket, so nothing would reset the flag. The outbox is unlocked
        // before io_uring reports a full socket, so another writer may have emptied it.
        let blocked = stopped.is_some() && !outbox.is_empty();
        outbox.set_blocked(blocked);
        let replay_waiting = bytes > 0 && std::mem::take(&mut outbox.replay_waiting);
        drop(outbox);
        if replay_waiting {
            self.drained.notify_waiters();
        }
        // A successful write is the only sign of life of a client that only reads.
        if bytes > 0 && self.wire.transport() == Transport::Sse {
            self.record_activity();
        }
        match stopped {
            None => FlushOutcome::All,
            Some(ErrorKind::WouldBlock) => FlushOutcome::Blocked,
            Some(_) => {
                self.hub.metrics().send_failed();
                self.end(CloseReason::Lost);
                FlushOutcome::Lost
            }
        }
    }

    /// Waits for payloads of up to `most` bytes (at least one payload). Only for the one poller of a session without a
    /// socket. The payloads count as backlog until [`Self::response_finished`].
    pub fn poll_take(&self, cx: &mut Context<'_>, most: usize) -> Poll<PollOutcome> {
        self.waker.register(cx.waker());
        let mut outbox = self.outbox.lock();
        let (_, before) = outbox.sent_totals();
        let taken = outbox.take(most);
        let count = (outbox.sent_totals().1 - before) as usize;
        let closed = outbox.is_closed();
        let replay_waiting = count > 0 && std::mem::take(&mut outbox.replay_waiting);
        drop(outbox);
        if replay_waiting {
            self.drained.notify_waiters();
        }
        if closed || !taken.is_empty() {
            // This poller no longer waits.
            self.waker.take();
        }
        if !taken.is_empty() {
            let sent = Sent {
                packets: taken.len(),
                bytes: count,
            };
            self.hub.metrics().sent(self.wire.transport(), sent);
            return Poll::Ready(PollOutcome::Payloads(taken));
        }
        // `closed`, not `ended`: an ended session may not have queued its close packets yet.
        if closed {
            Poll::Ready(PollOutcome::Ended)
        } else {
            Poll::Pending
        }
    }

    /// As [`Self::poll_take`], as a future.
    pub async fn take(&self, most: usize) -> PollOutcome {
        std::future::poll_fn(|cx| self.poll_take(cx, most)).await
    }

    /// The payloads taken last were sent completely, or were given up.
    pub fn response_finished(&self) {
        self.outbox.lock().response_finished();
    }

    /// Registers the waker of the task that reads the socket.
    pub(super) fn register(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.hub.dropped();
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

/// The identity as in `connected` and in the answer to `auth`.
pub fn user(identity: &Identity) -> User {
    User {
        channels: identity.channels.clone(),
        expires_at: identity.expires_at_ms,
        role: identity.role.clone(),
        sub: identity.sub.clone(),
    }
}

/// 128 random bits in base64url.
pub(super) fn random_id() -> Box<str> {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    BASE64_URL_SAFE_NO_PAD
        .encode(rand::random::<[u8; 16]>())
        .into()
}
