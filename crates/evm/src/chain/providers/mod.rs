//! The providers of one chain, used as one: when a node cannot answer, or answers incorrectly, another one is tried.
//!
//! Promises that work fails only after every suitable provider was tried, that a provider is used only after it proved
//! which chain it serves, and that no part of a URL but its host is shown. Assumes that any two nodes may disagree at
//! any moment: data of one branch is requested by hash, and heads are taken from one provider at a time, the active
//! one.

mod active;
mod config;
mod failover;
mod health;
mod heights;
mod named;
mod provider;
mod telemetry;
mod work;

#[cfg(test)]
mod tests;

pub use config::{ProviderConfig, Role};
use health::ProviderState;
pub use heights::Height;
pub(super) use provider::Provider;
pub use provider::ProviderStatus;
pub(super) use telemetry::subscription_lost;
pub use work::Work;

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use parking_lot::RwLock;
use tokio::{sync::watch, time::Instant};

use self::health::{Attempt, Limits, Proof};
use super::{ChainConfig, Link, Node, NodeError, Tag, request_metrics};
use chaincast_model::KnownBlock;
use chaincast_protocol::{B256, BlockRef, ChainId};

/// The providers of a chain, the preferred first.
pub struct Providers {
    chain_id: ChainId,
    list: Vec<Provider>,
    /// The position of the provider whose head is followed.
    active: watch::Sender<usize>,
    /// The known blocks that identify the chain: block 0, and later ones for nodes that have no block 0.
    known: RwLock<Vec<KnownBlock>>,
    /// The first block to index.
    first: u64,
    /// A more preferred provider becomes active after it was healthy for this long.
    prefer_back: Duration,
    /// In blocks.
    lag_blocks: u64,
}

impl Providers {
    /// Creates the clients; sends nothing.
    pub fn new(config: &ChainConfig) -> Result<Self, NodeError> {
        let limits = Limits::of(config);
        let list = config
            .named_providers()
            .into_iter()
            .map(|(name, provider)| {
                let node = Arc::new(Node::of(config, &name, &provider)?);
                Ok(Provider::new(name, provider, node, limits))
            })
            .collect::<Result<Vec<_>, NodeError>>()?;
        if list.is_empty() {
            return Err(NodeError::no_provider());
        }
        request_metrics::describe();
        telemetry::describe(config.chain_id, &list);
        let providers = Self {
            chain_id: config.chain_id,
            list,
            active: watch::channel(0).0,
            known: RwLock::default(),
            first: config.start_block,
            prefer_back: Duration::from_millis(config.prefer_back_ms),
            lag_blocks: config.lag_blocks,
        };
        let first = providers.suitable(Work::Live).first().copied().unwrap_or(0);
        providers.active.send_replace(first);
        Ok(providers)
    }

    /// Sets the blocks that identify the indexed chain, in the order in which nodes are checked for them: a node with
    /// another block at the first of these heights that it has is not used. Replaces earlier ones; if empty, the nodes
    /// decide.
    pub fn expect(&self, blocks: &[KnownBlock]) {
        *self.known.write() = blocks.to_vec();
    }

    /// Adds a block that a node returned, unless a block of this height is known. Returns the known one.
    pub(super) fn record_known_block(&self, node: &str, link: Link) -> KnownBlock {
        let block = link.block;
        let mut known = self.known.write();
        if let Some(same) = known
            .iter()
            .find(|other| other.block.number == block.number)
        {
            return *same;
        }
        let parent = (block.number > 0).then_some(link.parent_hash);
        let learned = KnownBlock { block, parent };
        known.push(learned);
        drop(known);
        if block.number > 0 {
            tracing::info!(
                chain_id = self.chain_id,
                node,
                block = block.number,
                hash = %block.hash,
                "the node has no block 0; the first indexed block identifies the chain"
            );
        }
        learned
    }

    /// Checks one provider after the other until one serves the expected chain; returns the block that identifies it.
    /// If no block is expected yet, the block of the majority is taken, on a tie that of the preferred provider.
    pub async fn identity(&self) -> Result<BlockRef, NodeError> {
        if self.list.len() > 1 && self.known.read().is_empty() {
            self.adopt_majority_chain().await;
        }
        let mut errors = Vec::new();
        for provider in &self.list {
            match self.prove(provider, Proof::Repeat).await {
                Ok(block) => return Ok(block),
                Err(error) => errors.push((provider.name.as_str(), error)),
            }
        }
        Err(NodeError::from_several(errors))
    }

    async fn adopt_majority_chain(&self) {
        let requests = self.list.iter().map(|provider| async move {
            let link = provider.node.identity(&[], self.first).await.ok()?;
            Some((provider, link))
        });
        let links: Vec<_> = join_all(requests).await.into_iter().flatten().collect();
        let votes = |link: Link| links.iter().filter(|(_, other)| *other == link).count();
        // `max_by_key` returns the last of equals, so the preferred one must come last.
        let most = links.iter().rev().max_by_key(|(_, link)| votes(*link));
        if let Some((provider, link)) = most {
            self.record_known_block(&provider.node.redacted_url(), *link);
        }
    }

    /// The block at a height from a provider that proved its chain, to check a provider that has no block 0.
    pub(super) async fn proven_block_at(&self, number: u64) -> Option<BlockRef> {
        for provider in &self.list {
            if provider.health.lock().proven
                && let Ok(Some(block)) = provider.node.at(number).await
            {
                return Some(block);
            }
        }
        None
    }

    /// See [`Node::tagged`].
    pub async fn tagged(&self, tag: Tag) -> Result<Option<BlockRef>, NodeError> {
        self.attempt(Work::Live, |node| async move { node.tagged(tag).await })
            .await
    }

    /// See [`Node::link`].
    pub async fn link(&self, hash: B256) -> Result<Link, NodeError> {
        self.attempt(Work::Live, |node| async move { node.link(hash).await })
            .await
    }

    /// Checks that a block is canonical on the active node, whichever node it came from: only then it is the end of
    /// another branch. Otherwise the nodes do not agree yet, which is no reorg. If the active node is not usable, its
    /// successor is checked.
    pub async fn confirm(&self, block: BlockRef) -> Result<(), NodeError> {
        let first = self.order(Work::Live)?.into_iter().next();
        let (position, attempt) = first.unwrap_or((self.active_position(), Attempt::Trial));
        let provider = &self.list[position];
        let found = self
            .run_on(provider, attempt, |node| async move {
                node.at(block.number).await
            })
            .await?;
        if found == Some(block) {
            return Ok(());
        }
        Err(NodeError::Missing {
            url: provider.node.redacted_url(),
            what: format!(
                "block {} {} on its canonical branch",
                block.number, block.hash
            ),
        })
    }

    /// Whether a block is canonical on the provider at this position; `false` if the provider is not usable.
    pub async fn has_canonical(&self, position: usize, block: BlockRef) -> bool {
        let Some(provider) = self.list.get(position) else {
            return false;
        };
        let now = Instant::now();
        let attempt = {
            let health = provider.health.lock();
            if !health.is_usable(now) && !health.is_trial_due(now) {
                return false;
            }
            health.next_attempt()
        };
        let found = self.run_on(provider, attempt, |node| async move {
            node.at(block.number).await
        });
        matches!(found.await, Ok(Some(found)) if found == block)
    }

    /// The status of every provider, the preferred first.
    pub fn status(&self) -> Vec<ProviderStatus> {
        let active = self.active_position();
        let all = self.list.iter().enumerate();
        all.map(|(position, provider)| provider.status(position == active))
            .collect()
    }

    /// The active node's URL without secrets.
    pub fn redacted_url(&self) -> String {
        self.active_provider().node.redacted_url()
    }

    /// The number of providers.
    pub(super) fn count(&self) -> usize {
        self.list.len()
    }

    pub(super) fn provider(&self, position: usize) -> Option<&Provider> {
        self.list.get(position)
    }

    fn active_position(&self) -> usize {
        *self.active.borrow()
    }

    fn active_provider(&self) -> &Provider {
        // Always a valid position; the list is not empty.
        &self.list[self.active_position()]
    }

    /// The positions of the providers for a kind of work.
    fn suitable(&self, work: Work) -> Vec<usize> {
        let select = |suitable: &dyn Fn(&Provider) -> bool| {
            let all = self.list.iter().enumerate();
            all.filter(|(_, provider)| suitable(provider))
                .map(|(position, _)| position)
                .collect::<Vec<_>>()
        };
        let suitable = select(&|provider| provider.role.does(work));
        if suitable.is_empty() {
            select(&|_| true)
        } else {
            suitable
        }
    }
}
