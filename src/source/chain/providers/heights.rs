//! How far each provider can serve history: the head that it names, believed only when it has that block.

use futures_util::future::join_all;
use tokio::time::Instant;

use super::{Provider, Providers, Work};
use crate::source::chain::{NodeError, Tag};

/// How high one provider is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Height {
    /// How logs and `/status` call the provider.
    pub name: String,
    /// The highest block that it has, or why that is not known.
    pub head: Result<u64, String>,
}

impl Providers {
    /// Asks every provider that serves history for its head, and for the block at that height: a number alone is no
    /// block. Fails only when none of them answers.
    pub async fn heights(&self) -> Result<Vec<Height>, NodeError> {
        let asked = self.able(Work::History).into_iter().map(|position| {
            let provider = &self.list[position];
            async move { (provider, self.height(provider).await) }
        });
        let told = join_all(asked).await;
        if told.iter().all(|(_, head)| head.is_err()) {
            let errors = told.into_iter().filter_map(|(provider, head)| {
                head.err().map(|error| (provider.name.as_str(), error))
            });
            return Err(NodeError::of_several(errors.collect()));
        }
        let heights = told.into_iter().map(|(provider, head)| Height {
            name: provider.name.clone(),
            head: head.map_err(|error| error.to_string()),
        });
        Ok(heights.collect())
    }

    async fn height(&self, provider: &Provider) -> Result<u64, NodeError> {
        let (rests, trial) = {
            let now = Instant::now();
            let health = provider.health.lock();
            (health.rests_for(now), health.is_open())
        };
        if let Some(wait) = rests {
            let url = provider.node.shown_url();
            return Err(NodeError::Resting { url, wait });
        }
        let head = self.ask(provider, trial, |node| async move {
            let head = node.tagged(Tag::Latest).await?;
            node.present(head, || "a block".to_owned())
        });
        let number = head.await?.number;
        let there = self.ask(provider, trial, |node| async move { node.at(number).await });
        match there.await? {
            Some(_) => Ok(number),
            None => Err(NodeError::Missing {
                url: provider.node.shown_url(),
                what: format!("block {number}, which it calls its head,"),
            }),
        }
    }
}
