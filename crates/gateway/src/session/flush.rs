//! Writes the packets of a session to its socket, or wakes its poller.
//!
//! Any task may write. When the kernel's send buffer is full, only the task that waits for the socket writes again.

use std::{io::ErrorKind, sync::Arc};

use chaincast_protocol::{
    CloseReason,
    encode::{Packet, Transport},
};
use tokio::net::TcpStream;

use super::{
    Session,
    outbox::{Absence, BeginWrite, Written},
};
use crate::observe::Sent;

/// The outcome of [`Session::flush`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushOutcome {
    All,
    /// The kernel's send buffer is full, or the session has no socket.
    Blocked,
    /// The connection is broken: queued packets are never sent.
    Lost,
}

impl Session {
    /// Queues a packet that belongs to no channel and writes what the socket accepts. Ends the session as slow when the
    /// outbox has no room.
    pub fn queue(self: &Arc<Self>, packet: Packet) {
        if !self.outbox.push(packet) {
            return self.end(CloseReason::Slow);
        }
        self.flush();
    }

    /// Gives the session its socket: from now on it writes to it directly.
    ///
    /// Returns the socket as an error when the session already has one.
    pub fn attach_socket(self: &Arc<Self>, socket: TcpStream) -> Result<(), TcpStream> {
        self.socket.set(socket)?;
        self.outbox.attach();
        self.flush();
        Ok(())
    }

    /// Writes what the socket accepts, or wakes the poller. Without a poller, packets made for this session alone count
    /// as backlog immediately; updates shared by many sessions count once no poller came for about a second.
    pub fn flush(self: &Arc<Self>) -> FlushOutcome {
        if self.socket.get().is_none() {
            self.wake_poller(Absence::CountsAsUnread);
            return FlushOutcome::Blocked;
        }
        let (flushed, sent) = self.flush_counted();
        self.count_sent(sent);
        flushed
    }

    fn wake_poller(&self, absence: Absence) {
        let poller = self.outbox.offer_to_poller(|| self.waker.take(), absence);
        if let Some(poller) = poller {
            poller.wake();
        }
    }

    /// As [`Self::flush`], but the caller counts what was sent, and a missing poller has no effect.
    pub fn flush_counted(self: &Arc<Self>) -> (FlushOutcome, Sent) {
        let blocked = (FlushOutcome::Blocked, Sent::default());
        let Some(socket) = self.socket.get() else {
            self.wake_poller(Absence::IsIgnored);
            return blocked;
        };
        // Direct system call: the runtime's own write first checks its readiness flag, which is expensive for a small
        // write. When the send buffer is full, the session's task continues through the runtime, which waits for the
        // socket.
        let socket = socket2::SockRef::from(socket);
        match self.outbox.write(|bytes| socket.send(bytes)) {
            Some(written) => (self.finish_direct_write(&written), written.sent),
            None => blocked,
        }
    }

    /// Locks the outbox for a write by io_uring; the session counts as locked while it has no socket.
    pub fn begin_write(&self, joined: &mut Vec<u8>) -> BeginWrite<'_> {
        match self.socket.get() {
            Some(_) => self.outbox.begin_write(joined),
            None => BeginWrite::Locked,
        }
    }

    /// A write by io_uring failed after the outbox was unlocked.
    pub fn fail_direct_write(self: &Arc<Self>, error: ErrorKind) {
        let written = self.outbox.end_write(Sent::default(), Some(error));
        self.finish_direct_write(&written);
    }

    /// Records a write that bypassed the runtime.
    pub fn finish_direct_write(self: &Arc<Self>, written: &Written) -> FlushOutcome {
        let flushed = self.finish_write(written);
        if written.stopped.is_some() {
            self.waker.wake();
        }
        flushed
    }

    /// Writes what the socket accepts through the runtime, which then can wait for the socket. Only for the one task
    /// that waits for the socket.
    pub fn flush_ready(self: &Arc<Self>, socket: &TcpStream) -> FlushOutcome {
        let written = self.outbox.write_ready(|bytes| socket.try_write(bytes));
        self.count_sent(written.sent);
        self.finish_write(&written)
    }

    fn finish_write(self: &Arc<Self>, written: &Written) -> FlushOutcome {
        if written.wakes_replay {
            self.drained.notify_waiters();
        }
        // A successful write is the only sign of life of a client that only reads.
        if written.sent.bytes > 0 && self.wire.transport() == Transport::Sse {
            self.record_activity();
        }
        match written.stopped {
            None => FlushOutcome::All,
            Some(ErrorKind::WouldBlock) => FlushOutcome::Blocked,
            Some(_) => {
                self.shared.metrics.send_failed();
                self.end(CloseReason::Lost);
                FlushOutcome::Lost
            }
        }
    }

    pub(super) fn count_sent(&self, sent: Sent) {
        self.shared.metrics.sent(self.wire.transport(), sent);
    }
}
