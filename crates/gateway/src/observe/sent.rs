//! What was written to clients.

use chaincast_protocol::encode::Transport;

/// Packets and bytes written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Packets whose last byte was sent.
    pub packets: usize,
    pub bytes: usize,
}

impl std::ops::AddAssign for Sent {
    fn add_assign(&mut self, more: Self) {
        self.packets += more.packets;
        self.bytes += more.bytes;
    }
}

/// What was written to many sessions, by transport.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally([Sent; 3]);

impl Tally {
    pub fn add(&mut self, transport: Transport, sent: Sent) {
        self.0[transport as usize] += sent;
    }

    pub fn by_transport(&self) -> impl Iterator<Item = (Transport, Sent)> {
        Transport::ALL.into_iter().zip(self.0)
    }
}
