//! What an event stream keeps in addition to its queue: its position in each channel, which every message repeats.

use std::sync::Arc;

use chaincast_protocol::encode::{ChannelName, Packet};

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct EventStream {
    /// The position of each channel, for the `id:` lines.
    positions: Vec<(Arc<ChannelName>, u64)>,
    /// Whether each packet is sent as an HTTP/1.1 chunk.
    pub chunked: bool,
}

impl EventStream {
    pub(super) fn set_position(&mut self, name: &Arc<ChannelName>, seq: u64) {
        match self.positions.iter_mut().find(|(known, _)| known == name) {
            Some((_, at)) => *at = seq,
            None => self.positions.push((name.clone(), seq)),
        }
    }

    pub(super) fn forget(&mut self, name: &ChannelName) {
        self.positions.retain(|(known, _)| **known != *name);
    }

    /// The message with the `id:` line that holds the stream's position after it.
    pub(super) fn with_id_line(
        &mut self,
        message: &Packet,
        name: &Arc<ChannelName>,
        seq: Option<u64>,
    ) -> Packet {
        let mut whole = message.framed().to_vec();
        match seq {
            Some(seq) => {
                self.set_position(name, seq);
                whole.extend_from_slice(self.id_line().as_bytes());
            }
            None => whole.push(b'\n'),
        }
        Packet::raw(whole)
    }

    fn id_line(&self) -> String {
        let all: Vec<String> = self
            .positions
            .iter()
            .map(|(name, seq)| format!("{}@{seq}", name.plain))
            .collect();
        format!("id: {}\n\n", all.join(","))
    }
}
