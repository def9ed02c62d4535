//! The task of the writer: takes jobs from the queue until shutdown, and then the rest.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use chaincast_bus::Publisher;
use chaincast_protocol::now_ms;
use chaincast_store::messages::{MessageStore, Redaction, WriteError};

use super::{
    PublishError,
    group::Group,
    job::{Job, Redact, Work},
};
use crate::MessagesConfig;

/// See the module's description.
pub(super) struct Task {
    store: MessageStore,
    publisher: Publisher,
    waiting: mpsc::Receiver<Job>,
    /// Taken from the queue, and not part of the last group.
    next: Option<Job>,
    group_size: usize,
    timeout: Duration,
}

impl Task {
    pub fn new(
        store: MessageStore,
        publisher: Publisher,
        waiting: mpsc::Receiver<Job>,
        config: &MessagesConfig,
    ) -> Self {
        Self {
            store,
            publisher,
            waiting,
            next: None,
            group_size: config.group_size,
            timeout: config.timeout(),
        }
    }

    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        while let Some(job) = self.take(&stop).await {
            let place = job.place;
            match job.work {
                Work::Redact(redact) => self.redact(redact).await,
                Work::Publish(batch) => {
                    let mut group = Group::new(batch, place);
                    self.fill(&mut group);
                    group
                        .store(&self.store, &self.publisher, self.timeout, &stop)
                        .await;
                }
            }
        }
        // Without callers there is nothing to do, but the task may only end at shutdown.
        stop.cancelled().await;
        self.store.close().await;
        Ok(())
    }

    /// The next job; `None` when shutdown has begun and the queue is empty.
    async fn take(&mut self, stop: &CancellationToken) -> Option<Job> {
        if let Some(next) = self.next.take() {
            return Some(next);
        }
        tokio::select! {
            job = self.waiting.recv() => job,
            () = stop.cancelled() => {
                self.waiting.close();
                self.waiting.recv().await
            }
        }
    }

    /// Adds queued batches to a group while there is room for them.
    fn fill(&mut self, group: &mut Group) {
        while group.len() < self.group_size {
            match self.waiting.try_recv() {
                Ok(Job {
                    work: Work::Publish(batch),
                    place,
                }) if group.len() + batch.messages.len() <= self.group_size => {
                    group.push(batch, place);
                }
                Ok(other) => {
                    self.next = Some(other);
                    return;
                }
                Err(_) => return,
            }
        }
    }

    async fn redact(&self, redact: Redact) {
        let Redact {
            room,
            seq,
            by,
            answer,
        } = redact;
        let redaction = self.store.redact(&room, seq, &by, now_ms()).await;
        if let Ok(Redaction::Done(update)) = &redaction {
            self.publisher.publish(vec![update.clone()]);
        }
        let redaction = redaction.map_err(|error| match error {
            WriteError::Failed(error) => PublishError::Failed(Arc::new(error)),
            WriteError::Unknown(error) => PublishError::Unknown(Arc::new(error)),
        });
        // The caller may be gone.
        let _ = answer.send(redaction);
    }
}
