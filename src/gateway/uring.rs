//! Writing to many sockets with one system call, through io_uring (io_uring(7)).
//!
//! The kernel's work of a send stays what it is; entering the kernel once for a batch instead of once a session is
//! what is saved. A batch is submitted and waited for at once: sockets do not block, so every send is over when
//! the call returns. Assumes one user a ring.

use std::{io, ops::Range, os::fd::AsRawFd, sync::Arc};

use io_uring::{IoUring, cqueue, opcode, squeue, types::Fd};
use parking_lot::MutexGuard;

use super::{
    CloseReason,
    metrics::Tally,
    outbox::{Gathered, Outbox, Sent},
    prefetch::prefetch,
    session::Session,
};

/// Sends of one system call.
const BATCH: usize = 64;
/// How many sessions ahead memory is asked for: the kernel does nothing in between that would hide the wait.
const AHEAD: usize = 4;
/// Most bytes of a batch that are joined from several packets.
const JOINED_BYTES: usize = 1_048_576;

/// See the module's description.
pub struct Uring {
    ring: IoUring,
    /// Where the packets of sessions that have several are joined.
    joined: Vec<u8>,
    /// The ring may hold what nobody waits for any more: it is not used again.
    broken: bool,
}

/// A send on its way. The outbox stays locked until its outcome is known, so that what it points at stays.
struct Send<'a> {
    session: &'a Arc<Session>,
    outbox: MutexGuard<'a, Outbox>,
    bytes: Bytes,
    outcome: Option<i32>,
}

enum Bytes {
    /// Of a packet in the outbox.
    One(*const u8, usize),
    /// Of `Uring::joined`.
    Joined(Range<usize>),
}

impl Uring {
    /// Fails where the kernel has no io_uring or does not let this process use it.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            ring: IoUring::new(BATCH as u32)?,
            joined: Vec::new(),
            broken: false,
        })
    }

    /// Writes what waits in these sessions, as [`Session::flush`] does for one.
    pub fn flush(&mut self, sessions: &[Arc<Session>]) -> Tally {
        let mut tally = Tally::default();
        for batch in sessions.chunks(BATCH) {
            self.flush_batch(batch, &mut tally);
        }
        tally
    }

    fn flush_batch(&mut self, sessions: &[Arc<Session>], tally: &mut Tally) {
        let mut sends = Vec::with_capacity(sessions.len());
        // Without a socket, used by another right now, or in this batch twice: written one by one afterwards.
        let mut others = Vec::new();
        self.joined.clear();
        for (at, session) in sessions.iter().enumerate() {
            if let Some(soon) = sessions.get(at + AHEAD) {
                prefetch(soon);
            }
            match (session.outbox.try_lock(), session.socket()) {
                (Some(mut outbox), Some(_)) if !self.broken && self.joined.len() < JOINED_BYTES => {
                    outbox.dirty = false;
                    if outbox.is_blocked() {
                        continue;
                    }
                    let bytes = match outbox.gather(&mut self.joined) {
                        Gathered::Nothing => continue,
                        Gathered::One(bytes) => Bytes::One(bytes.as_ptr(), bytes.len()),
                        Gathered::Joined(range) => Bytes::Joined(range),
                    };
                    sends.push(Send {
                        session,
                        outbox,
                        bytes,
                        outcome: None,
                    });
                }
                _ => others.push(session),
            }
        }
        if let Err(error) = self.submit(&mut sends) {
            tracing::error!(%error, "io_uring failed and is given up; the sessions it was writing for are ended");
            self.broken = true;
            // The kernel may still read them.
            #[allow(clippy::mem_forget, reason = "the kernel may still read the bytes")]
            std::mem::forget(std::mem::take(&mut self.joined));
        }
        // Ended once no outbox is locked any more: that takes the lock on the channels, which comes before.
        let (mut failed, mut lost) = (Vec::new(), Vec::new());
        for send in sends {
            let Send {
                session,
                mut outbox,
                bytes,
                outcome,
            } = send;
            let wanted = bytes.len();
            match outcome {
                Some(count) if count >= 0 => {
                    let count = count as usize;
                    let packets = outbox.advance(count);
                    let sent = Sent {
                        packets,
                        bytes: count,
                    };
                    tally.add(session.wire().transport(), sent);
                    let stopped = (count < wanted).then_some(io::ErrorKind::WouldBlock);
                    let more = stopped.is_none() && !outbox.is_empty();
                    session.written(outbox, count, stopped);
                    if more {
                        others.push(session);
                    }
                }
                Some(error) => match io::Error::from_raw_os_error(-error).kind() {
                    io::ErrorKind::Interrupted => {
                        drop(outbox);
                        others.push(session);
                    }
                    kind => {
                        drop(outbox);
                        failed.push((session, kind));
                    }
                },
                // Nobody knows how much of it was sent.
                None => {
                    outbox.leak_first();
                    drop(outbox);
                    lost.push(session);
                }
            }
        }
        for (session, kind) in failed {
            session.written(session.outbox.lock(), 0, Some(kind));
        }
        for session in lost {
            session.end(CloseReason::Lost);
        }
        for session in others {
            tally.add(session.wire().transport(), session.flush_counted().1);
        }
    }

    /// Submits all and waits for all. After an error some have no outcome, and may still be under way.
    #[allow(
        unsafe_code,
        reason = "the kernel reads the buffers of a submission after the call"
    )]
    fn submit(&mut self, sends: &mut [Send<'_>]) -> io::Result<()> {
        if sends.is_empty() {
            return Ok(());
        }
        for (at, send) in sends.iter().enumerate() {
            let Some(socket) = send.session.socket() else {
                continue;
            };
            let (start, length) = match &send.bytes {
                Bytes::One(start, length) => (*start, *length),
                Bytes::Joined(range) => (self.joined[range.clone()].as_ptr(), range.len()),
            };
            let entry: squeue::Entry =
                opcode::Send::new(Fd(socket.as_raw_fd()), start, length as u32)
                    .flags(send_flags())
                    .build()
                    .user_data(at as u64);
            // SAFETY: the entry's bytes outlive the send. They lie in a packet of an outbox that stays locked, or
            // in `joined`, which is not touched, until the outcome is known; without an outcome both are leaked.
            // The socket lives as long as its session, which `send` borrows.
            unsafe { self.ring.submission().push(&entry) }
                .map_err(|_| io::Error::other("the submission queue is full"))?;
        }
        let mut left = sends.len();
        while left > 0 {
            match self.ring.submit_and_wait(left) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            let completions: Vec<cqueue::Entry> = self.ring.completion().collect();
            for completion in completions {
                if let Some(send) = sends.get_mut(completion.user_data() as usize) {
                    send.outcome = Some(completion.result());
                    left -= 1;
                }
            }
        }
        Ok(())
    }
}

/// A send that would block fails instead of being waited for, and one to a closed socket raises no signal.
fn send_flags() -> i32 {
    use nix::sys::socket::MsgFlags;
    (MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL).bits()
}

impl Bytes {
    fn len(&self) -> usize {
        match self {
            Self::One(_, length) => *length,
            Self::Joined(range) => range.len(),
        }
    }
}
