//! The messages of one transaction.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use chaincast_base::retry::Backoff;
use chaincast_bus::Publisher;
use chaincast_protocol::{Update, now_ms};
use chaincast_store::{
    StoreError,
    messages::{MessageStore, NewMessage, WriteError, Written},
};

use super::{
    PublishError, Published,
    job::{Batch, Place},
};
use crate::telemetry::{self, Outcome};

const FIRST_RETRY: Duration = Duration::from_millis(50);
const MAX_RETRY: Duration = Duration::from_secs(1);

/// Batches that are stored in one transaction, at least one.
pub(super) struct Group {
    batches: Vec<(Batch, Place)>,
    messages: usize,
}

impl Group {
    pub fn new(batch: Batch, place: Place) -> Self {
        Self {
            messages: batch.messages.len(),
            batches: vec![(batch, place)],
        }
    }

    pub fn push(&mut self, batch: Batch, place: Place) {
        self.messages += batch.messages.len();
        self.batches.push((batch, place));
    }

    /// The number of messages.
    pub fn len(&self) -> usize {
        self.messages
    }

    /// Stores the messages, publishes them and answers their callers. While the database is unreachable it is tried again
    /// for `timeout`, unless `stop`.
    pub async fn store(
        mut self,
        store: &MessageStore,
        publisher: &Publisher,
        timeout: Duration,
        stop: &CancellationToken,
    ) {
        let deadline = Instant::now() + timeout;
        let mut backoff = Backoff::new(FIRST_RETRY, MAX_RETRY);
        // Whether an earlier attempt may have stored these messages. All of them have keys then.
        let mut is_unknown = false;
        loop {
            let error = match self.attempt(store).await {
                Ok((written, updates)) => {
                    publisher.publish(updates);
                    return self.answer(&written);
                }
                Err(error) => error,
            };
            let error = match error {
                WriteError::Unknown(error) => {
                    is_unknown = true;
                    let error = Arc::new(error);
                    self.give_up_without_keys(&error);
                    error
                }
                WriteError::Failed(error) if !error.is_transient() && self.batches.len() > 1 => {
                    return self.store_alone(store, publisher, is_unknown).await;
                }
                WriteError::Failed(error) if !error.is_transient() => {
                    return self.fail(&Arc::new(error), is_unknown);
                }
                WriteError::Failed(error) => Arc::new(error),
            };
            if self.batches.is_empty() {
                return;
            }
            let delay = backoff.next_delay();
            if Instant::now() + delay > deadline {
                return self.fail(&error, is_unknown);
            }
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = stop.cancelled() => return self.fail(&error, is_unknown),
            }
        }
    }

    /// Tries once. Reports each seq before the commit, and the failure where a seq was reported.
    async fn attempt(
        &self,
        store: &MessageStore,
    ) -> Result<(Vec<Written>, Vec<Update>), WriteError> {
        let begun = Instant::now();
        let batches = || self.batches.iter().map(|(batch, _)| batch);
        let messages: Vec<NewMessage> = batches()
            .flat_map(|batch| batch.messages.iter().cloned())
            .collect();
        let numbered: Vec<_> = batches().flat_map(|batch| &batch.numbered).collect();
        let mut reported = Vec::new();
        let stored = store
            .write(&messages, now_ms(), &mut |at, seq| {
                if let Some(Some(numbered)) = numbered.get(at) {
                    numbered.numbered(seq);
                    reported.push(at);
                }
            })
            .await;
        match &stored {
            Ok(_) => telemetry::committed(begun.elapsed()),
            Err(error) => {
                tracing::warn!(%error, messages = messages.len(), "cannot store messages");
                let reported = reported.into_iter().filter_map(|at| numbered[at].as_ref());
                reported.for_each(|numbered| numbered.failed());
            }
        }
        stored
    }

    /// Answers every caller with the positions of its messages.
    fn answer(self, written: &[Written]) {
        let mut written = written.iter();
        for (batch, _) in self.batches {
            let count = batch.messages.len();
            let published: Vec<Published> = written
                .by_ref()
                .take(count)
                .map(|written| Published {
                    seq: written.seq,
                    is_repeated: written.is_repeated,
                })
                .collect();
            let repeated = published.iter().filter(|one| one.is_repeated).count();
            telemetry::messages(Outcome::Repeated, repeated);
            telemetry::messages(Outcome::Stored, count - repeated);
            // The caller may be gone.
            let _ = batch.answer.send(Ok(published));
        }
    }

    /// Refuses every message.
    fn fail(self, error: &Arc<StoreError>, is_unknown: bool) {
        for (batch, _) in self.batches {
            refuse(batch, error, is_unknown);
        }
    }

    /// Refuses the batches that cannot be repeated after a commit whose outcome is unknown.
    fn give_up_without_keys(&mut self, error: &Arc<StoreError>) {
        let batches = std::mem::take(&mut self.batches);
        for (batch, place) in batches {
            match batch.is_repeatable() {
                true => self.batches.push((batch, place)),
                false => refuse(batch, error, true),
            }
        }
        self.messages = self
            .batches
            .iter()
            .map(|(batch, _)| batch.messages.len())
            .sum();
    }

    /// Stores each batch in a transaction of its own, once: one that the database does not accept affects no other.
    async fn store_alone(self, store: &MessageStore, publisher: &Publisher, is_unknown: bool) {
        for (batch, place) in self.batches {
            let alone = Self::new(batch, place);
            match alone.attempt(store).await {
                Ok((written, updates)) => {
                    publisher.publish(updates);
                    alone.answer(&written);
                }
                Err(WriteError::Failed(error)) => alone.fail(&Arc::new(error), is_unknown),
                Err(WriteError::Unknown(error)) => alone.fail(&Arc::new(error), true),
            }
        }
    }
}

fn refuse(batch: Batch, error: &Arc<StoreError>, is_unknown: bool) {
    let (outcome, refusal) = match is_unknown {
        true => (Outcome::Unknown, PublishError::Unknown(error.clone())),
        false => (Outcome::Failed, PublishError::Failed(error.clone())),
    };
    telemetry::messages(outcome, batch.messages.len());
    // The caller may be gone.
    let _ = batch.answer.send(Err(refusal));
}
