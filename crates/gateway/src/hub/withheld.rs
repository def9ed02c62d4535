//! Updates that are withheld from the session that published them (`echo: false`). It gets the answer to its request in
//! their place, so the answer precedes every later update of the channel.
//!
//! An update is withheld before it is committed, and so before it can arrive.

use std::sync::Arc;

use chaincast_protocol::{
    control::{Ack, Published},
    encode::{ChannelName, Packet},
    request::Answer,
};
use parking_lot::Mutex;

use crate::session::{Reply, Session};

/// The answer to a request, given once: by the hub in the place of an update, or by the request itself.
pub(crate) struct PendingAnswer(Mutex<Option<Reply>>);

/// See the module's description.
pub(crate) struct WithheldUpdate {
    pub seq: u64,
    pub session: Arc<Session>,
    pub answer: Arc<PendingAnswer>,
}

impl PendingAnswer {
    pub(crate) fn new(reply: Reply) -> Self {
        Self(Mutex::new(Some(reply)))
    }

    /// The packets of the answer; none when it was given already.
    pub(crate) fn give(&self, answer: &Answer) -> Vec<Packet> {
        let reply = self.0.lock().take();
        reply.map_or_else(Vec::new, |reply| reply(answer))
    }
}

impl WithheldUpdate {
    pub(crate) fn is_of(&self, session: &Session) -> bool {
        std::ptr::eq(&*self.session, session)
    }

    /// The packets of the answer, in the place of the update in this channel.
    pub(crate) fn packets(&self, name: &ChannelName) -> Vec<Packet> {
        self.answer.give(&Answer::Ack(Ack::Published(Published {
            channel: name.plain.clone(),
            success: true,
            seq: self.seq,
        })))
    }
}
