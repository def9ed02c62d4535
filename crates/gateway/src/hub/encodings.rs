//! The encodings of one update: each is made for the first lane that needs it and shared with the others.

use chaincast_protocol::encode::{ChannelName, Packet, Wire};

use crate::entry::Entry;

/// See the module's description. They are few, so a list is enough.
#[derive(Default)]
pub(super) struct Encodings(Vec<(Wire, Option<u64>, Packet)>);

impl Encodings {
    pub(super) fn get(
        &mut self,
        wire: Wire,
        name: &ChannelName,
        entry: &Entry,
        prev: Option<u64>,
    ) -> Packet {
        let known = self.0.iter().find(|(w, p, _)| (*w, *p) == (wire, prev));
        if let Some((_, _, packet)) = known {
            return packet.clone();
        }
        let packet = match wire.deflate() {
            // One encoding and one compression for all receivers.
            Some(deflate) => self.get(wire.plain(), name, entry, prev).deflated(deflate),
            None => entry.encode(wire, name, prev),
        };
        self.0.push((wire, prev, packet.clone()));
        packet
    }
}
