//! Writes to many sockets with one system call through io_uring (io_uring(7)).
//!
//! Saves entering the kernel per session; the kernel's work per send is the same. A batch is submitted and waited for in
//! one call: sockets do not block, so every send has finished when the call returns. Assumes one user per ring.

use std::{io, os::fd::AsRawFd, sync::Arc};

use chaincast_protocol::CloseReason;
use io_uring::{IoUring, cqueue, opcode, squeue, types::Fd};

use crate::{
    observe::Tally,
    session::{BeginWrite, DirectWrite, Session, WriteBytes},
};

/// Sends per system call.
const BATCH: usize = 64;
/// Prefetch distance in sessions: no kernel work hides the memory latency here.
const PREFETCH_DISTANCE: usize = 4;
/// Maximum bytes of a batch that are joined from several packets.
const JOINED_BYTES: usize = 1_048_576;

/// See the module's description.
pub(crate) struct Uring {
    ring: IoUring,
    /// Buffer for joining the packets of sessions that have several.
    joined: Vec<u8>,
    /// The ring may hold abandoned submissions: it is not used again.
    broken: bool,
}

/// A pending send. The outbox stays locked until the outcome is known, so that the bytes stay valid.
struct Send<'a> {
    session: &'a Arc<Session>,
    write: DirectWrite<'a>,
    outcome: Option<i32>,
}

impl Uring {
    /// Fails when the kernel has no io_uring or does not allow this process to use it.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            ring: IoUring::new(BATCH as u32)?,
            joined: Vec::new(),
            broken: false,
        })
    }

    /// Writes the queued packets of these sessions, as [`Session::flush`] does for one.
    pub(crate) fn flush(&mut self, sessions: &[Arc<Session>]) -> Tally {
        let mut tally = Tally::default();
        for batch in sessions.chunks(BATCH) {
            self.flush_batch(batch, &mut tally);
        }
        tally
    }

    fn flush_batch(&mut self, sessions: &[Arc<Session>], tally: &mut Tally) {
        let mut sends = Vec::with_capacity(sessions.len());
        // Sessions without a socket, locked by another thread, or twice in this batch: written one by one afterwards.
        let mut others = Vec::new();
        self.joined.clear();
        for (at, session) in sessions.iter().enumerate() {
            if let Some(upcoming) = sessions.get(at + PREFETCH_DISTANCE) {
                upcoming.prefetch();
            }
            if self.broken || self.joined.len() >= JOINED_BYTES {
                others.push(session);
                continue;
            }
            match session.begin_write(&mut self.joined) {
                BeginWrite::Started(write) => sends.push(Send {
                    session,
                    write,
                    outcome: None,
                }),
                BeginWrite::Nothing => {}
                BeginWrite::Locked => others.push(session),
            }
        }
        if let Err(error) = self.submit(&mut sends) {
            tracing::error!(%error, "io_uring failed and is no longer used; ending the sessions of the failed batch");
            self.broken = true;
            // The kernel may still read these bytes.
            #[allow(clippy::mem_forget, reason = "the kernel may still read the bytes")]
            std::mem::forget(std::mem::take(&mut self.joined));
        }
        // Sessions are ended after all outboxes are unlocked, because that locks the channels, which come first in the
        // lock order.
        let (mut failed, mut lost) = (Vec::new(), Vec::new());
        for send in sends {
            let Send {
                session,
                write,
                outcome,
            } = send;
            match outcome {
                Some(count) if count >= 0 => {
                    let written = write.accepted(count as usize);
                    tally.add(session.wire().transport(), written.sent);
                    session.finish_direct_write(&written);
                    if written.stopped.is_none() && written.is_unfinished {
                        others.push(session);
                    }
                }
                Some(error) => {
                    drop(write);
                    match io::Error::from_raw_os_error(-error).kind() {
                        io::ErrorKind::Interrupted => others.push(session),
                        kind => failed.push((session, kind)),
                    }
                }
                // It is unknown how much was sent.
                None => {
                    write.leak();
                    lost.push(session);
                }
            }
        }
        for (session, kind) in failed {
            session.fail_direct_write(kind);
        }
        for session in lost {
            session.end(CloseReason::Lost);
        }
        for session in others {
            tally.add(session.wire().transport(), session.flush_counted().1);
        }
    }

    /// Submits all sends and waits for them. After an error some have no outcome and may still be in progress.
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
            let (start, length) = match send.write.bytes() {
                WriteBytes::One(start, length) => (*start, *length),
                WriteBytes::Joined(range) => (self.joined[range.clone()].as_ptr(), range.len()),
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

/// A send that would block fails instead, and a send to a closed socket raises no signal.
fn send_flags() -> i32 {
    use nix::sys::socket::MsgFlags;
    (MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL).bits()
}
