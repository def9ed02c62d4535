//! The outcome of one fan-out: the sessions to flush or to end.

use std::sync::Arc;

use chaincast_protocol::encode::{ChannelName, Packet};

use crate::session::{Delivery, PushOutcome, Session};

/// See the module's description.
pub(crate) struct Fanout {
    /// Sessions that became dirty, by flusher.
    pub dirty: Vec<Vec<Arc<Session>>>,
    /// One bit per flusher: packets were queued for a session that was dirty already.
    pub already_dirty: u64,
    /// Sessions whose outbox overflowed; they must end.
    pub slow: Vec<Arc<Session>>,
    pub conflated: u64,
}

impl Fanout {
    pub(crate) fn new(flushers: usize) -> Self {
        Self {
            dirty: vec![Vec::new(); flushers],
            already_dirty: 0,
            slow: Vec::new(),
            conflated: 0,
        }
    }

    /// Queues an update for one subscriber.
    pub(crate) fn offer(
        &mut self,
        session: &Arc<Session>,
        packet: &Packet,
        delivery: &Delivery<'_>,
    ) {
        let (outcome, became_dirty) = session.offer(packet, delivery);
        let shard = session.shard();
        match outcome {
            PushOutcome::Queued => self.already_dirty |= u64::from(!became_dirty) << shard,
            PushOutcome::Conflated => self.conflated += 1,
            PushOutcome::Overflow => self.slow.push(session.clone()),
        }
        if became_dirty {
            self.dirty[shard].push(session.clone());
        }
    }

    /// Queues a live message for one subscriber; without room it counts as conflated.
    pub(crate) fn offer_live(
        &mut self,
        session: &Arc<Session>,
        packet: &Packet,
        name: &Arc<ChannelName>,
    ) {
        match session.offer_live(packet, name) {
            (true, became_dirty) => self.queued(session, became_dirty),
            (false, _) => self.conflated += 1,
        }
    }

    /// Queues packets that belong to no channel for one session.
    pub(crate) fn queue(&mut self, session: &Arc<Session>, packets: Vec<Packet>) {
        for packet in packets {
            match session.offer_packet(packet) {
                (true, became_dirty) => self.queued(session, became_dirty),
                (false, _) => return self.slow.push(session.clone()),
            }
        }
    }

    fn queued(&mut self, session: &Arc<Session>, became_dirty: bool) {
        let shard = session.shard();
        match became_dirty {
            true => self.dirty[shard].push(session.clone()),
            false => self.already_dirty |= 1 << shard,
        }
    }
}
