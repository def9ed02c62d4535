//! One client connection, whatever its transport.
//!
//! A session is an outbox, subscriptions, an identity and a clock of when it was last heard. Two kinds of sink
//! drain the outbox: a socket that the session owns ([`Session::own`]) and writes to itself, and a puller, which is a
//! polling request ([`Session::poll_take`]). A session that is pulled can be given a socket
//! later, which is how Socket.IO upgrades. Exactly one function ends a session: [`Session::end`].
//!
//! For a transport:
//! 1. [`Hub::open`](super::hub::Hub::open) makes the session; [`Session::greet`] queues `connected`.
//! 2. [`Session::request`] takes parsed requests. It checks limits and rights, queues the answer through the
//!    transport's [`Reply`], and then what the request makes due (snapshot, replay), in that order.
//! 3. [`Session::queue`] takes the transport's own packets.
//! 4. [`Session::end`] ends it; the transport learns of it from [`Session::ended`] after a wake.

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
    CloseReason, ErrorCode,
    address::Permit,
    auth::Identity,
    channel::{Pace, Seat},
    encode::{self, Packet, Transport, Wire},
    handshakes,
    hub::Hub,
    outbox::{Delivery, Outbox, Pushed, Sent},
    protocol::Answer,
    rate::RateWindow,
    watchers::Charge,
};
use crate::model::{Channel, now_ms};

/// Turns an answer into the packets that carry it, in the session's wire format. Called at most once, while the
/// hub is locked: it must only format.
pub type Reply = Box<dyn FnOnce(&Answer) -> Vec<Packet> + Send>;

/// Where the client is, and the permit that its address gets back with the session.
#[derive(Debug)]
pub struct Hold {
    pub address: IpAddr,
    pub permit: Permit,
}

/// See the module's description.
///
/// In this order: what the fan-out touches stands together, beside the count of references, in as few cache lines
/// as it takes. Between two writes of a session the kernel has worked for all others.
#[repr(C)]
pub struct Session {
    pub(super) outbox: Mutex<Outbox>,
    socket: OnceLock<TcpStream>,
    /// Which of the hub's flushers writes for it.
    pub(super) shard: usize,
    wire: Wire,
    pub(super) hub: Hub,
    pub(super) key: AtomicUsize,
    id: Box<str>,
    /// Changed only while the hub's channels are locked.
    pub(super) subscriptions: Mutex<Vec<Subscription>>,
    pub(super) client: Mutex<Client>,
    /// When the identity's token ends, in ms since the Unix epoch.
    pub(super) expires_at_ms: AtomicI64,
    /// When something last arrived, in ms since the hub started.
    heard_ms: AtomicU64,
    /// A request is being worked on, so nothing is read: silence is ours, not the client's.
    pub(super) busy: AtomicBool,
    /// Wakes the one task that reads the socket or pulls.
    waker: AtomicWaker,
    /// Tells replays that there is room again.
    pub(super) drained: Notify,
    ended: OnceLock<CloseReason>,
    hold: Option<Hold>,
    /// In ms since the hub started.
    opened_ms: u64,
}

/// What one session listens to.
pub struct Subscription {
    pub channel: Channel,
    /// The channel's place in the hub.
    pub slot: usize,
    pub pace: Pace,
    pub state: Attachment,
    /// Where the channel is watched for this client.
    pub charge: Option<Box<Charge>>,
}

/// How far a subscription is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attachment {
    Live(Seat),
    /// History is being replayed under this ticket; another ticket means that it was replaced.
    Replaying(u64),
}

/// What is known of the client, and what it may still ask.
pub struct Client {
    pub identity: Option<Arc<Identity>>,
    pub rate: RateWindow,
    /// Counts the requests that `rate` refused; when it refuses too, the session goes.
    pub abuse: RateWindow,
    /// Whether the client was told that its token expires soon.
    pub warned: bool,
}

/// What [`Session::flush`] left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    All,
    /// The socket takes no more for now.
    Blocked,
    /// The connection is broken: nothing that waits will ever be sent.
    Lost,
}

/// What a puller gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Pulled {
    /// Whole payloads, never none.
    Payloads(Vec<Bytes>),
    /// The session has ended and everything was taken.
    Ended,
}

impl Session {
    pub(super) fn new(
        hub: Hub,
        wire: Wire,
        identity: Option<Arc<Identity>>,
        hold: Option<Hold>,
    ) -> Self {
        let limits = hub.config().limits.clone();
        let window = Duration::from_millis(limits.rate_window_ms);
        let expires = identity.as_ref().map_or(i64::MAX, |i| i.expires_at_ms);
        let heard = hub.clock_ms();
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
            heard_ms: AtomicU64::new(heard),
            busy: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            drained: Notify::new(),
            ended: OnceLock::new(),
            hold,
            opened_ms: heard,
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
        self.hold.as_ref().map(|hold| hold.address)
    }

    /// Ms since the session was made.
    pub(super) fn age_ms(&self) -> u64 {
        self.hub.clock_ms().saturating_sub(self.opened_ms)
    }

    /// Messages and bytes given to the client so far, and bytes that wait.
    pub(super) fn traffic(&self) -> (u64, u64, usize) {
        let outbox = self.outbox.lock();
        let (messages, bytes) = outbox.given();
        (messages, bytes, outbox.bytes())
    }

    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.client.lock().identity.clone()
    }

    /// Sets who the client is, as when a handshake inside the transport brings the token.
    pub fn identify(&self, identity: Option<Identity>) {
        let expires = identity.as_ref().map_or(i64::MAX, |i| i.expires_at_ms);
        let mut client = self.client.lock();
        client.identity = identity.map(Arc::new);
        client.warned = false;
        self.expires_at_ms.store(expires, Ordering::Relaxed);
        drop(client);
        self.hub.watch(self);
    }

    /// A connected client was not let in.
    pub(super) fn refused_to_join(&self, code: Option<ErrorCode>) {
        let reason = handshakes::reason_of(code);
        let transport = self.wire.transport();
        self.hub.metrics().handshake_refused(transport, reason);
        self.hub.journal().join_refused(self, reason);
    }

    /// Notes that something arrived from the client.
    pub fn heard(&self) {
        self.heard_ms.store(self.hub.clock_ms(), Ordering::Relaxed);
    }

    /// How long nothing arrived, in ms; 0 while the server itself is not reading.
    pub(super) fn silence_ms(&self) -> u64 {
        if self.busy.load(Ordering::Relaxed) {
            return 0;
        }
        let heard = self.heard_ms.load(Ordering::Relaxed);
        self.hub.clock_ms().saturating_sub(heard)
    }

    /// The data of `connected`, a JSON object; `id` is what the client is to know itself by.
    fn greeting(&self, id: &str) -> String {
        let config = self.hub.config();
        let user = self.identity().map(|identity| user_json(&identity));
        serde_json::json!({
            "clientId": id,
            "serverTime": now_ms(),
            "epoch": self.hub.epoch(),
            "pingInterval": config.ping_interval_ms,
            "pingTimeout": config.ping_timeout_ms,
            "user": user,
        })
        .to_string()
    }

    /// Queues `connected`, the first event of every session.
    pub fn greet(self: &Arc<Self>) {
        self.greet_as(&self.id);
    }

    /// As [`Self::greet`], with another public id, as for a client that comes back within one connection.
    pub fn greet_as(self: &Arc<Self>, id: &str) {
        let packet = encode::event(self.wire, "connected", &self.greeting(id));
        self.queue(packet);
    }

    /// Sends everything in chunks of HTTP/1.1 from now on; for an event stream, before anything is queued.
    pub fn send_chunks(&self) {
        self.outbox.lock().send_chunks();
    }

    /// Queues a packet that belongs to no channel and writes what can be written. A session without room for
    /// it is slow, and ends.
    pub fn queue(self: &Arc<Self>, packet: Packet) {
        if !self.outbox.lock().push(packet) {
            return self.end(CloseReason::Slow);
        }
        self.flush();
    }

    /// Gives the session the socket that its transport ends in: from now on it writes by itself.
    ///
    /// Returns the socket when it already has one.
    pub fn own(self: &Arc<Self>, socket: TcpStream) -> Result<(), TcpStream> {
        self.socket.set(socket)?;
        // From now on a write shows whether the client takes what waits.
        self.outbox.lock().set_blocked(false);
        self.flush();
        Ok(())
    }

    pub(super) fn socket(&self) -> Option<&TcpStream> {
        self.socket.get()
    }

    /// Whether something waits to be sent.
    pub fn has_backlog(&self) -> bool {
        !self.outbox.lock().is_empty()
    }

    /// Why the session ended, if it did. Its goodbye may not be queued yet: see [`Self::closed`].
    pub fn ended(&self) -> Option<&CloseReason> {
        self.ended.get()
    }

    /// Why the session ended, once its last packets are queued: only then may its transport hang up.
    pub fn closed(&self) -> Option<&CloseReason> {
        self.ended().filter(|_| self.outbox.lock().is_closed())
    }

    /// Ends the session: it leaves the hub at once, and its transport sends what is left and hangs up. Only the
    /// first reason counts.
    pub fn end(self: &Arc<Self>, reason: CloseReason) {
        if self.ended.set(reason.clone()).is_err() {
            return;
        }
        self.hub.remove(self, &reason);
        let farewell = if reason.is_told() {
            encode::farewell(self.wire, &reason, self.socket.get().is_some())
        } else {
            Vec::new()
        };
        let mut outbox = self.outbox.lock();
        outbox.close(reason.keeps_backlog(), farewell);
        if reason == CloseReason::Slow {
            // Its transport gives up an answer that is still being sent.
            outbox.answered();
        }
        drop(outbox);
        self.flush();
        self.waker.wake();
        self.drained.notify_waiters();
    }

    /// Takes an update from the hub; the flag says that the session became dirty.
    pub(super) fn offer(&self, packet: &Packet, delivery: &Delivery<'_>) -> (Pushed, bool) {
        let mut outbox = self.outbox.lock();
        let pushed = outbox.push_update(packet, delivery);
        let woken = pushed == Pushed::Queued && !outbox.dirty;
        outbox.dirty |= woken;
        (pushed, woken)
    }

    /// Writes what the socket takes, or wakes the puller. What was made for this session alone and finds no puller
    /// counts as backlog at once; updates that many sessions share count once it did not come for a while.
    pub(super) fn flush(self: &Arc<Self>) -> Flushed {
        if self.socket.get().is_none() {
            let mut outbox = self.outbox.lock();
            outbox.dirty = false;
            if !outbox.is_empty() {
                match self.waker.take() {
                    Some(puller) => puller.wake(),
                    None => outbox.set_blocked(true),
                }
            }
        }
        let (flushed, sent) = self.flush_counted();
        self.hub.metrics().sent(self.wire.transport(), sent);
        flushed
    }

    /// As [`Self::flush`], but who calls it adds up what was sent.
    pub(super) fn flush_counted(self: &Arc<Self>) -> (Flushed, Sent) {
        let mut outbox = self.outbox.lock();
        outbox.dirty = false;
        let Some(socket) = self.socket.get() else {
            let waits = !outbox.is_empty();
            drop(outbox);
            if waits {
                self.waker.wake();
            }
            return (Flushed::Blocked, Sent::default());
        };
        if outbox.is_blocked() {
            return (Flushed::Blocked, Sent::default());
        }
        // Straight to the kernel: the runtime's own write asks first whether it believes the socket to be ready,
        // which costs what a small write can ill afford. When the kernel takes no more, the task of the session
        // goes on by way of the runtime, which then waits for the socket.
        let socket = socket2::SockRef::from(socket);
        let (sent, stopped) = outbox.write_to(|bytes| socket.send(bytes));
        (self.written(outbox, sent.bytes, stopped), sent)
    }

    /// Notes that so many bytes were written without asking the runtime, and why not more were.
    pub(super) fn written(
        self: &Arc<Self>,
        outbox: MutexGuard<'_, Outbox>,
        bytes: usize,
        stopped: Option<ErrorKind>,
    ) -> Flushed {
        let flushed = self.after_writing(outbox, bytes, stopped);
        if stopped.is_some() {
            self.waker.wake();
        }
        flushed
    }

    /// Writes what the socket takes, and if that is not all lets the runtime know, so that it can be waited for.
    /// For the one task that waits for the socket.
    pub(super) fn flush_ready(self: &Arc<Self>, socket: &TcpStream) -> Flushed {
        let mut outbox = self.outbox.lock();
        let (sent, stopped) = outbox.write_to(|bytes| socket.try_write(bytes));
        self.hub.metrics().sent(self.wire.transport(), sent);
        self.after_writing(outbox, sent.bytes, stopped)
    }

    fn after_writing(
        self: &Arc<Self>,
        mut outbox: MutexGuard<'_, Outbox>,
        bytes: usize,
        stopped: Option<ErrorKind>,
    ) -> Flushed {
        // With nothing left nobody waits for the socket, so nobody would say that it has room again. io_uring learns
        // that a socket was full with its outbox unlocked meanwhile, and another may have written all.
        let blocked = stopped.is_some() && !outbox.is_empty();
        outbox.set_blocked(blocked);
        let awaited = bytes > 0 && std::mem::take(&mut outbox.awaited);
        drop(outbox);
        if awaited {
            self.drained.notify_waiters();
        }
        // All that is ever heard of a client that only reads.
        if bytes > 0 && self.wire.transport() == Transport::Sse {
            self.heard();
        }
        match stopped {
            None => Flushed::All,
            Some(ErrorKind::WouldBlock) => Flushed::Blocked,
            Some(_) => {
                self.hub.metrics().send_failed();
                self.end(CloseReason::Lost);
                Flushed::Lost
            }
        }
    }

    /// Waits for payloads of up to `most` bytes (at least one payload) to send; for the one puller of a session
    /// that has no socket. They count as backlog until [`Self::answered`].
    pub fn poll_take(&self, cx: &mut Context<'_>, most: usize) -> Poll<Pulled> {
        self.waker.register(cx.waker());
        let mut outbox = self.outbox.lock();
        let (_, before) = outbox.given();
        let taken = outbox.take(most);
        let count = (outbox.given().1 - before) as usize;
        let closed = outbox.is_closed();
        let awaited = count > 0 && std::mem::take(&mut outbox.awaited);
        drop(outbox);
        if awaited {
            self.drained.notify_waiters();
        }
        if closed || !taken.is_empty() {
            // It waits no longer.
            self.waker.take();
        }
        if !taken.is_empty() {
            let sent = Sent {
                packets: taken.len(),
                bytes: count,
            };
            self.hub.metrics().sent(self.wire.transport(), sent);
            return Poll::Ready(Pulled::Payloads(taken));
        }
        // Not as soon as the session has ended: its goodbye is still to come then.
        if closed {
            Poll::Ready(Pulled::Ended)
        } else {
            Poll::Pending
        }
    }

    /// As [`Self::poll_take`], to be awaited.
    pub async fn take(&self, most: usize) -> Pulled {
        std::future::poll_fn(|cx| self.poll_take(cx, most)).await
    }

    /// What was taken last was sent whole, or is given up.
    pub fn answered(&self) {
        self.outbox.lock().answered();
    }

    /// The waker of the task that reads the socket.
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

/// What `connected` and the answer to `auth` say of the user.
pub fn user_json(identity: &Identity) -> serde_json::Value {
    serde_json::json!({
        "sub": identity.sub,
        "role": identity.role,
        "channels": identity.channels,
        "expiresAt": identity.expires_at_ms,
    })
}

/// 128 random bits in base64url.
pub(super) fn random_id() -> Box<str> {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    BASE64_URL_SAFE_NO_PAD
        .encode(rand::random::<[u8; 16]>())
        .into()
}
