//! Packets in the order in which they are sent. A packet that was sent in part is always finished.

use std::{collections::VecDeque, ops::Range};

use chaincast_protocol::encode::Packet;

/// Maximum bytes of one write.
pub(super) const WRITE_BYTES: usize = 65_536;

/// The bytes of the next write.
#[derive(Debug)]
pub(super) enum NextBytes<'a> {
    Nothing,
    One(&'a [u8]),
    /// Their range in the buffer passed in.
    Joined(Range<usize>),
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct PacketQueue {
    /// The packet sent first, followed by `rest`. Stored separately because it is mostly the only one; the fan-out then
    /// touches only the session's own memory.
    first: Option<Packet>,
    rest: VecDeque<Packet>,
    /// Bytes of the first packet already sent.
    sent: usize,
    /// Unsent bytes of all packets.
    bytes: usize,
}

impl PacketQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Unsent bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, packet: Packet) {
        self.bytes += packet.len();
        match self.first {
            None => self.first = Some(packet),
            Some(_) => self.rest.push_back(packet),
        }
    }

    /// Finds the bytes to write next; those of several packets are appended to `joined`.
    pub(super) fn gather<'a>(&'a self, joined: &mut Vec<u8>) -> NextBytes<'a> {
        let Some(first) = &self.first else {
            return NextBytes::Nothing;
        };
        if self.rest.is_empty() || first.len() - self.sent >= WRITE_BYTES {
            return NextBytes::One(&first.framed()[self.sent..]);
        }
        let start = joined.len();
        joined.extend_from_slice(&first.framed()[self.sent..]);
        for packet in &self.rest {
            if joined.len() - start + packet.len() > WRITE_BYTES {
                break;
            }
            joined.extend_from_slice(packet.framed());
        }
        NextBytes::Joined(start..joined.len())
    }

    /// Records that the first `count` bytes of [`Self::gather`] were sent; returns the number of finished packets.
    pub(super) fn advance(&mut self, mut count: usize) -> usize {
        self.bytes -= count;
        let mut finished = 0;
        while let Some(first) = &self.first {
            let rest = first.len() - self.sent;
            if count < rest {
                self.sent += count;
                return finished;
            }
            count -= rest;
            self.sent = 0;
            self.remove_first();
            finished += 1;
        }
        finished
    }

    /// The packet that [`Self::pop`] removes. For a queue that is not written to a socket.
    pub(super) fn first(&self) -> Option<&Packet> {
        self.first.as_ref()
    }

    /// Removes the first packet, of which nothing was sent.
    pub(super) fn pop(&mut self) -> Option<Packet> {
        let packet = self.remove_first()?;
        self.bytes -= packet.len();
        Some(packet)
    }

    fn remove_first(&mut self) -> Option<Packet> {
        std::mem::replace(&mut self.first, self.rest.pop_front())
    }

    /// Drops everything except the rest of a partly sent packet.
    pub(super) fn clear(&mut self) {
        self.rest.clear();
        self.first.take_if(|_| self.sent == 0);
        self.bytes = self.first.as_ref().map_or(0, Packet::len) - self.sent;
    }

    /// Frees memory that an empty queue does not need.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() {
            self.rest = VecDeque::new();
        }
    }

    /// Leaks the bytes of the first packet, so that they are never freed.
    pub(super) fn leak_first(&self) {
        #[allow(clippy::mem_forget, reason = "the kernel may still read the bytes")]
        std::mem::forget(self.first.clone());
    }
}
