//! Asks the node about watched transactions that are in no block: at each head and at least every poll interval.
//!
//! Beside the indexing, and never in its way: what fails is asked again at the next turn.

use std::{convert::Infallible, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::sync::watch;

use super::{super::Parts, told};
use crate::{
    model::{B256, IndexMode, TransactionUpdate},
    source::chain::{NodeError, NodeView, SeenTransaction, Work},
    store::{
        StoreError, updates,
        watches::{self, Waiting},
    },
};

/// Transactions asked about at once.
const AT_ONCE: usize = 4;

/// What a node said of one transaction.
enum Answer {
    Pending(SeenTransaction),
    /// In a block of this height.
    Mined(u64),
    Missing {
        /// Another transaction has its nonce.
        used_up: bool,
    },
}

impl Parts {
    /// Asks for as long as it is polled, where transactions are indexed.
    pub(in super::super) async fn poll_watched(
        &self,
        mut seen: watch::Receiver<NodeView>,
    ) -> Infallible {
        if self.config.index != IndexMode::Blocks {
            // Whatever the node said, nothing stored would ever tell that it is included.
            return std::future::pending().await;
        }
        let interval = Duration::from_millis(self.config.poll_interval_ms);
        let mut after = None;
        loop {
            match self.ask_watched(after).await {
                Ok(last) => after = last,
                Err(error) => {
                    tracing::debug!(chain_id = self.config.chain_id, %error, "watched transactions were not asked about");
                }
            }
            // A head is news; when nobody follows the node any more, the time alone counts.
            if let Ok(Err(_)) = tokio::time::timeout(interval, seen.changed()).await {
                tokio::time::sleep(interval).await;
            }
        }
    }

    /// One turn: the next transactions in order of their hashes. Returns where the turn after it begins.
    async fn ask_watched(&self, after: Option<B256>) -> Result<Option<B256>, StoreError> {
        let limit = self.config.watch_polls;
        let (waiting, head) = {
            let mut connection = self.store.pool().acquire().await?;
            watches::waiting(&mut connection, self.config.chain_id, after, limit).await?
        };
        let last = (waiting.len() as u64 >= u64::from(limit))
            .then(|| waiting.last().map(|one| one.hash))
            .flatten();
        self.metrics.polled(waiting.len());
        let mut answers = stream::iter(waiting)
            .map(async |one| {
                let answer = self.ask(&one, head).await;
                (one, answer)
            })
            .buffer_unordered(AT_ONCE);
        while let Some((one, answer)) = answers.next().await {
            match answer {
                Ok(answer) => self.note(&one, answer, head).await?,
                Err(error) => {
                    tracing::debug!(chain_id = self.config.chain_id, %error, "a watched transaction was not found out about");
                }
            }
        }
        Ok(last)
    }

    async fn ask(&self, one: &Waiting, head: Option<u64>) -> Result<Answer, NodeError> {
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
        let used_up = match (one.sender, head) {
            // As of the indexed head: what a later block has is told when that block is indexed.
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
        Ok(Answer::Missing { used_up })
    }

    /// Commits what an answer changes, and announces it.
    async fn note(
        &self,
        one: &Waiting,
        answer: Answer,
        head: Option<u64>,
    ) -> Result<(), StoreError> {
        let changes = match answer {
            Answer::Pending(_) => true,
            // Otherwise the block is yet to be indexed, and tells it then.
            Answer::Mined(number) => head.is_some_and(|head| number <= head),
            Answer::Missing { .. } => one.was_seen,
        };
        if !changes {
            return Ok(());
        }
        let mut transaction = self.store.begin().await?;
        watches::hold(&mut transaction).await?;
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
                Answer::Missing { used_up } => {
                    if !one.is_missing {
                        watches::mark_missing(&mut transaction, hash).await?;
                    }
                    let patience = Duration::from_millis(self.config.dropped_after_ms);
                    watches::mark_dropped(&mut transaction, chain, hash, used_up, patience).await?
                }
            }
        };
        let news: Vec<_> = update.into_iter().map(told).collect();
        self.metrics.watched(news.len());
        let updates = updates::append(&mut transaction, news).await?;
        transaction.commit().await?;
        self.publisher.publish(updates);
        Ok(())
    }
}
