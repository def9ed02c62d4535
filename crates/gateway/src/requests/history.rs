//! Queues what precedes the live updates of a subscription: the snapshot, or updates that the client missed.

use std::sync::Arc;

use chaincast_bus::Unacknowledged;
use chaincast_protocol::encode::Wire;

use crate::{
    entry::Entry,
    hub::{ChannelState, Snapshot, WithheldUpdate},
    session::{Batch, Pace},
};

/// The stream of one channel to one session, before it is live.
pub(super) struct Stream<'a, 'b> {
    pub outbox: &'a mut Batch<'b>,
    pub state: &'a ChannelState,
    pub wire: Wire,
    pub pace: Pace,
}

impl Stream<'_, '_> {
    /// Queues one update that the client missed.
    pub(super) fn queue_missed(&mut self, entry: &Entry) {
        let prev = match self.pace {
            Pace::All => None,
            Pace::Latest | Pace::Every(_) => entry.seq.map(|seq| seq.saturating_sub(1)),
        };
        let packet = entry.encode(self.wire, &self.state.name, prev);
        self.outbox
            .append_update(&packet, &self.state.name, entry.seq);
    }

    /// As [`Self::queue_missed`], but an update that is withheld from the client is replaced by the answer to its request.
    pub(super) fn queue_missed_or_answer(
        &mut self,
        entry: &Entry,
        withheld: &mut Vec<WithheldUpdate>,
    ) {
        let is_withheld = match (withheld.is_empty(), entry.seq) {
            (false, Some(seq)) => self.answer_withheld(withheld, seq),
            _ => false,
        };
        if !is_withheld {
            self.queue_missed(entry);
        }
    }

    /// Queues the answers for withheld updates up to `seq`; whether `seq` is one of them.
    pub(super) fn answer_withheld(&mut self, withheld: &mut Vec<WithheldUpdate>, seq: u64) -> bool {
        let mut is_withheld = false;
        for update in withheld.extract_if(.., |update| update.seq <= seq) {
            is_withheld |= update.seq == seq;
            for packet in update.packets(&self.state.name) {
                self.outbox.append(packet);
            }
        }
        is_withheld
    }

    /// Queues the channel's snapshot as the state at `position`; `false` if there is none.
    ///
    /// That is the position of the channel, even when the newest update made no snapshot: the next message has the next seq.
    pub(super) fn queue_snapshot(&mut self, position: u64) -> bool {
        let Snapshot::Newest(entry) = &self.state.snapshot else {
            return false;
        };
        let mut entry = entry.clone();
        entry.seq = entry.seq.map(|_| position);
        self.begin(&entry, position);
        true
    }

    /// Queues the newest unacknowledged updates of a user for which there is room; the REST API has the rest.
    pub(super) fn queue_unacknowledged(&mut self, unacknowledged: &Unacknowledged) {
        let through = unacknowledged.through;
        self.outbox.set_position(&self.state.name, through);
        let mut room = self.outbox.replay_room();
        let fitting = unacknowledged.updates.iter().rev().take_while(|update| {
            let size = self.state.size_of(update.event.as_str(), &update.data);
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        });
        let first = unacknowledged.updates.len() - fitting.count();
        // All at one position, which the next update follows.
        for update in &unacknowledged.updates[first..] {
            let entry = Entry {
                seq: Some(through),
                event: update.event.clone(),
                data: Arc::clone(&update.data),
            };
            self.begin(&entry, through);
        }
    }

    /// Queues a snapshot: the stream begins here, so there is no previous message.
    fn begin(&mut self, snapshot: &Entry, position: u64) {
        let prev = self.pace.first_prev();
        let packet = snapshot.encode_snapshot(self.wire, &self.state.name, prev);
        self.outbox
            .append_update(&packet, &self.state.name, Some(position));
    }
}
