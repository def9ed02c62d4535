//! Polls the node for watched transactions that are in no block: at each head and at least every poll interval.
//!
//! Runs concurrently with the indexing and never delays it: a failed request is repeated in the next round.

use std::{convert::Infallible, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::sync::watch;

use super::{super::Parts, transaction_update};
use chaincast_evm::chain::{NodeError, NodeTransaction, NodeView, Work};
use chaincast_model::IndexMode;
use chaincast_protocol::{B256, TransactionUpdate};
use chaincast_store::{
    StoreError, updates,
    watches::{self, PendingWatch},
};

/// Concurrent requests.
const CONCURRENCY: usize = 4;

/// The node's answer for one transaction.
enum Answer {
    Pending(NodeTransaction),
    /// In a block of this height.
    Mined(u64),
    Missing {
        /// Another transaction has its nonce.
        nonce_used: bool,
    },
}

impl Parts {
    /// Polls the node for as long as this future is polled, if transactions are indexed.
    pub(in super::super) async fn poll_watched(
        &self,
        mut node_view: watch::Receiver<NodeView>,
    ) -> Infallible {
        if self.config.index != IndexMode::Blocks {
            // Without indexed transactions, inclusion could never be detected.
            return std::future::pending().await;
        }
        let interval = Duration::from_millis(self.config.poll_interval_ms);
        let mut after = None;
        loop {
            match self.poll_once(after).await {
                Ok(last) => after = last,
                Err(error) => {
                    tracing::debug!(chain_id = self.config.chain_id, %error, "cannot poll watched transactions; retrying");
                }
            }
            // A new head wakes this early; when the follower has ended, only the interval applies.
            if let Ok(Err(_)) = tokio::time::timeout(interval, node_view.changed()).await {
                tokio::time::sleep(interval).await;
            }
        }
    }

    /// One round: the next transactions in order of their hashes. Returns the hash after which the next round begins.
    async fn poll_once(&self, after: Option<B256>) -> Result<Option<B256>, StoreError> {
        let limit = self.config.watch_polls;
        let (pending_watches, head) = {
            let mut connection = self.store.pool().acquire().await?;
            watches::pending_watches(&mut connection, self.config.chain_id, after, limit).await?
        };
        let last = (pending_watches.len() as u64 >= u64::from(limit))
            .then(|| pending_watches.last().map(|one| one.hash))
            .flatten();
        self.metrics.polled(pending_watches.len());
        let mut answers = stream::iter(pending_watches)
            .map(async |one| {
                let answer = self.look_up(&one, head).await;
                (one, answer)
            })
            .buffer_unordered(CONCURRENCY);
        while let Some((one, answer)) = answers.next().await {
            match answer {
                Ok(answer) => self.apply(&one, answer, head).await?,
                Err(error) => {
                    tracing::debug!(chain_id = self.config.chain_id, %error, "cannot look up a watched transaction; retrying");
                }
            }
        }
        Ok(last)
    }

    async fn look_up(&self, one: &PendingWatch, head: Option<u64>) -> Result<Answer, NodeError> {
        let hash = one.hash;
        let seen = self
            .node
            .attempt(
                Work::Live,
                |node| async move { node.transaction(hash).await },
            )
            .await?;
        if let Some(seen) = seen {
            return Ok(match seen.block_number {
                None => Answer::Pending(seen),
                Some(number) => Answer::Mined(number),
            });
        }
        let nonce_used = match (one.sender, head) {
            // As of the indexed head: a later inclusion is published when its block is indexed.
            (Some((sender, nonce)), Some(head)) => {
                let next = self
                    .node
                    .attempt(Work::Live, |node| async move {
                        node.nonce_at(sender, head).await
                    })
                    .await?;
                next > nonce
            }
            _ => false,
        };
        Ok(Answer::Missing { nonce_used })
    }

    /// Commits what an answer changes, and announces it.
    async fn apply(
        &self,
        one: &PendingWatch,
        answer: Answer,
        head: Option<u64>,
    ) -> Result<(), StoreError> {
        let changes = match answer {
            Answer::Pending(_) => true,
            // Otherwise the inclusion is published when the block is indexed.
            Answer::Mined(number) => head.is_some_and(|head| number <= head),
            Answer::Missing { .. } => one.was_seen,
        };
        if !changes {
            return Ok(());
        }
        let mut transaction = self.store.begin().await?;
        watches::lock_shared(&mut transaction).await?;
        let update: Option<TransactionUpdate> = {
            let (chain, hash) = (self.config.chain_id, one.hash);
            match answer {
                Answer::Pending(seen) => {
                    watches::mark_pending(&mut transaction, chain, hash, seen.sender, seen.nonce)
                        .await?
                }
                Answer::Mined(block) => {
                    watches::mark_stored(&mut transaction, chain, hash, block).await?
                }
                Answer::Missing { nonce_used } => {
                    if !one.is_missing {
                        watches::mark_missing(&mut transaction, hash).await?;
                    }
                    let dropped_after = Duration::from_millis(self.config.dropped_after_ms);
                    watches::mark_dropped(&mut transaction, chain, hash, nonce_used, dropped_after)
                        .await?
                }
            }
        };
        let new_updates: Vec<_> = update.into_iter().map(transaction_update).collect();
        self.metrics.watched(new_updates.len());
        let updates = updates::append(&mut transaction, new_updates).await?;
        transaction.commit().await?;
        self.publisher.publish(updates);
        Ok(())
    }
}
