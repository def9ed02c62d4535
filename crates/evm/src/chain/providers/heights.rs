//! The height up to which each provider can serve history: its reported head, if it has that block.

use futures_util::future::join_all;
use tokio::time::Instant;

use super::{Provider, Providers, Work};
use crate::chain::{NodeError, Tag};

/// The height of one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Height {
    /// The name in logs and `/status`.
    pub name: String,
    /// The highest block that it has, or why that is unknown.
    pub head: Result<u64, String>,
}

impl Providers {
    /// Requests the head of every provider for history, and the block at that height: a number alone proves nothing.
    /// Fails only if none of them answers.
    pub async fn heights(&self) -> Result<Vec<Height>, NodeError> {
        let requests = self.suitable(Work::History).into_iter().map(|position| {
            let provider = &self.list[position];
            async move { (provider, self.height(provider).await) }
        });
        let heads = join_all(requests).await;
        if heads.iter().all(|(_, head)| head.is_err()) {
            let errors = heads.into_iter().filter_map(|(provider, head)| {
                head.err().map(|error| (provider.name.as_str(), error))
            });
            return Err(NodeError::from_several(errors.collect()));
        }
        let heights = heads.into_iter().map(|(provider, head)| Height {
            name: provider.name.clone(),
            head: head.map_err(|error| error.to_string()),
        });
        Ok(heights.collect())
    }

    async fn height(&self, provider: &Provider) -> Result<u64, NodeError> {
        let (rests, attempt) = {
            let now = Instant::now();
            let health = provider.health.lock();
            (health.rest_remaining(now), health.next_attempt())
        };
        if let Some(wait) = rests {
            let url = provider.node.redacted_url();
            return Err(NodeError::Resting { url, wait });
        }
        let head = self.run_on(provider, attempt, |node| async move {
            let head = node.tagged(Tag::Latest).await?;
            node.or_missing(head, || "a block".to_owned())
        });
        let number = head.await?.number;
        let there = self.run_on(
            provider,
            attempt,
            |node| async move { node.at(number).await },
        );
        match there.await? {
            Some(_) => Ok(number),
            None => Err(NodeError::Missing {
                url: provider.node.redacted_url(),
                what: format!("block {number}, its reported head,"),
            }),
        }
    }
}
