//! Stores messages in groups, then publishes them.
//!
//! One task takes the queued messages, up to `group_size`, stores them in one transaction, publishes the updates and
//! answers the callers. So the more messages wait, the more share a commit, and a lone message waits for none.

mod error;
mod group;
mod job;
mod outgoing;
mod task;

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};

use chaincast_base::shutdown::Tasks;
use chaincast_bus::Publisher;
use chaincast_protocol::Channel;
use chaincast_store::{
    Store,
    messages::{MessageStore, Redaction},
};

pub use self::{
    error::PublishError,
    outgoing::{Numbered, Outgoing, Published},
};
use self::{
    job::{Batch, Job, Place, Redact, Work},
    task::Task,
};
use crate::{
    MessagesConfig,
    telemetry::{self, Outcome},
};

/// Delay before a refused message should be sent again, in ms: many groups are stored by then.
const RETRY_AFTER_MS: u64 = 1_000;

/// Stores and publishes messages. Cheap to clone.
#[derive(Clone)]
pub struct MessageWriter {
    jobs: mpsc::Sender<Job>,
    /// A permit for each message that may wait.
    places: Arc<Semaphore>,
}

impl MessageWriter {
    /// Starts the task of the writer. At shutdown it stores the queued messages before it ends.
    pub fn start(
        store: &Store,
        publisher: Publisher,
        config: &MessagesConfig,
        tasks: &Tasks,
    ) -> Self {
        telemetry::describe();
        let (jobs, waiting) = mpsc::channel(config.queue);
        let places = Arc::new(Semaphore::new(config.queue));
        let task = Task::new(
            MessageStore::new(store, config.key_retention()),
            publisher,
            waiting,
            config,
        );
        tasks.spawn_critical("message writer", task.run(tasks.token()));
        Self { jobs, places }
    }

    /// Stores and publishes a message. It is stored even if the caller does not wait for the answer.
    pub async fn publish(&self, message: impl Into<Outgoing>) -> Result<Published, PublishError> {
        let published = self.publish_all(vec![message.into()]).await?;
        published.first().copied().ok_or(PublishError::Closed)
    }

    /// Stores and publishes several messages in one transaction: all or none. Returns their positions, in order.
    pub async fn publish_all(
        &self,
        messages: Vec<Outgoing>,
    ) -> Result<Vec<Published>, PublishError> {
        let (answer, answered) = oneshot::channel();
        let count = messages.len();
        self.send(count, Work::Publish(Batch::new(messages, answer)))?;
        answered.await.unwrap_or(Err(PublishError::Closed))
    }

    /// Removes the payload of a message of a room, and tells its subscribers. `by` is the moderator.
    pub async fn redact(
        &self,
        room: Channel,
        seq: u64,
        by: Arc<str>,
    ) -> Result<Redaction, PublishError> {
        let (answer, answered) = oneshot::channel();
        let redact = Redact {
            room,
            seq,
            by,
            answer,
        };
        self.send(1, Work::Redact(redact))?;
        answered.await.unwrap_or(Err(PublishError::Closed))
    }

    /// Queues work for so many messages.
    fn send(&self, messages: usize, work: Work) -> Result<(), PublishError> {
        let place = u32::try_from(messages)
            .ok()
            .and_then(|messages| self.places.clone().try_acquire_many_owned(messages).ok());
        let Some(place) = place else {
            telemetry::messages(Outcome::Refused, messages);
            return Err(PublishError::QueueFull {
                retry_after_ms: RETRY_AFTER_MS,
            });
        };
        let place = Place::new(place);
        // There is a place for each message, so the queue is never full.
        self.jobs
            .try_send(Job { work, place })
            .map_err(|_| PublishError::Closed)
    }
}
