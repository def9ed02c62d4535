//! The entries of the writer's queue.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use chaincast_protocol::Channel;
use chaincast_store::messages::{NewMessage, Redaction};

use super::{Numbered, Outgoing, PublishError, Published};
use crate::telemetry;

/// Work for the task of the writer.
pub(super) struct Job {
    pub work: Work,
    pub place: Place,
}

/// A place in the queue for so many messages. It is free again when it is dropped.
pub(super) struct Place {
    _permits: OwnedSemaphorePermit,
    messages: usize,
}

impl Place {
    pub fn new(permits: OwnedSemaphorePermit) -> Self {
        let messages = permits.num_permits();
        telemetry::queued(messages);
        Self {
            _permits: permits,
            messages,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        telemetry::left_queue(self.messages);
    }
}

pub(super) enum Work {
    Publish(Batch),
    Redact(Redact),
}

/// Messages that are stored together: all or none.
pub(super) struct Batch {
    pub messages: Vec<NewMessage>,
    /// One for each message.
    pub numbered: Vec<Option<Box<dyn Numbered>>>,
    pub answer: oneshot::Sender<Result<Vec<Published>, PublishError>>,
}

impl Batch {
    pub fn new(
        outgoing: Vec<Outgoing>,
        answer: oneshot::Sender<Result<Vec<Published>, PublishError>>,
    ) -> Self {
        let (messages, numbered) = outgoing
            .into_iter()
            .map(|outgoing| (outgoing.message, outgoing.numbered))
            .unzip();
        Self {
            messages,
            numbered,
            answer,
        }
    }

    /// Whether the messages can be stored again without being stored twice.
    pub fn is_repeatable(&self) -> bool {
        self.messages.iter().all(|message| message.key.is_some())
    }
}

/// The redaction of a message.
pub(super) struct Redact {
    pub room: Channel,
    pub seq: u64,
    pub by: Arc<str>,
    pub answer: oneshot::Sender<Result<Redaction, PublishError>>,
}
