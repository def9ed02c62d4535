//! The nodes that serve one chain, as if they were one: what a node cannot answer, or answers wrongly, is asked of
//! another.
//!
//! Promises that work fails only when every node that may do it was tried, that a node is used only after it proved
//! which chain it serves, and that nothing of a URL but its host is ever shown. Assumes that any two nodes may disagree
//! at any moment: what must be of one branch is asked for by hash, and heads are believed of one node at a time, the
//! active one.

mod active;
mod attempt;
mod config;
mod health;
mod heights;
mod provider;
mod telemetry;

#[cfg(test)]
mod tests;

pub use config::{ProviderConfig, Role};
pub use health::ProviderState;
pub use heights::Height;
pub(super) use provider::Provider;
pub use provider::ProviderStatus;
pub(super) use telemetry::{request_took, subscription_lost};

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use parking_lot::RwLock;
use tokio::{sync::watch, time::Instant};

use self::health::Limits;
use super::{ChainConfig, Link, Node, NodeError, Tag};
use crate::model::{B256, BlockRef, ChainId, KnownBlock};

/// What a node is asked for, which decides who is asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// The head and the blocks that just came.
    Live,
    /// Many blocks that are long there.
    History,
}

/// The nodes of a chain, the preferred first.
pub struct Providers {
    chain_id: ChainId,
    list: Vec<Provider>,
    /// The position of the one whose head is believed.
    active: watch::Sender<usize>,
    /// The blocks by which nodes prove which chain they serve, as far as they are known: block 0, and later ones for nodes
    /// that have no block 0.
    known: RwLock<Vec<KnownBlock>>,
    /// The first block that is to be indexed.
    first: u64,
    /// A provider preferred to the active one takes over when it was well for this long.
    prefer_back: Duration,
    /// In blocks.
    lag_blocks: u64,
}

impl Providers {
    /// Prepares clients; nothing is sent yet.
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
        let first = providers.able(Work::Live).first().copied().unwrap_or(0);
        providers.active.send_replace(first);
        Ok(providers)
    }

    /// Blocks of the chain that is indexed, in the order in which a node is asked for them: nodes that have another at the
    /// height of the first one that they have are not used. They replace what was known; without any, the nodes tell.
    pub fn expect(&self, blocks: &[KnownBlock]) {
        *self.known.write() = blocks.to_vec();
    }

    /// Adds what a node told, unless a block of this height is known. The one that is known now.
    pub(super) fn learn(&self, node: &str, link: Link) -> KnownBlock {
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
                "the node has no block 0: the first indexed block tells the chain from others of its id"
            );
        }
        learned
    }

    /// Asks one provider after the other which chain it serves, until one serves the expected one; the block by which it
    /// is known. When no block is expected yet, it is the one that most serve, the preferred one's among equals.
    pub async fn identity(&self) -> Result<BlockRef, NodeError> {
        if self.list.len() > 1 && self.known.read().is_empty() {
            self.agree().await;
        }
        let mut errors = Vec::new();
        for provider in &self.list {
            match self.prove(provider, true).await {
                Ok(block) => return Ok(block),
                Err(error) => errors.push((provider.name.as_str(), error)),
            }
        }
        Err(NodeError::of_several(errors))
    }

    async fn agree(&self) {
        let asked = self.list.iter().map(|provider| async move {
            let link = provider.node.identity(&[], self.first).await.ok()?;
            Some((provider, link))
        });
        let told: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
        let votes = |link: Link| told.iter().filter(|(_, other)| *other == link).count();
        // Of equals the last is taken, so the preferred one has to come last.
        let most = told.iter().rev().max_by_key(|(_, link)| votes(*link));
        if let Some((provider, link)) = most {
            self.learn(&provider.node.shown_url(), *link);
        }
    }

    /// The block at a height by a provider that proved which chain it serves, for one that cannot prove it by block 0.
    pub(super) async fn vouched(&self, number: u64) -> Option<BlockRef> {
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

    /// Checks that the active node holds a block canonical, whichever node it came from: only then it is the end of
    /// another branch. If not, the nodes do not agree yet, which is no reorg. When the active one is not to be asked,
    /// the one is that would follow it.
    pub async fn confirm(&self, block: BlockRef) -> Result<(), NodeError> {
        let first = self.order(Work::Live)?.into_iter().next();
        let (position, trial) = first.unwrap_or((self.active_position(), true));
        let provider = &self.list[position];
        let found = self
            .ask(provider, trial, |node| async move {
                node.at(block.number).await
            })
            .await?;
        if found == Some(block) {
            return Ok(());
        }
        Err(NodeError::Missing {
            url: provider.node.shown_url(),
            what: format!(
                "block {} {} on the branch that it follows",
                block.number, block.hash
            ),
        })
    }

    /// Whether the provider at this position holds a block canonical; `false` when it cannot be asked.
    pub async fn shows(&self, position: usize, block: BlockRef) -> bool {
        let Some(provider) = self.list.get(position) else {
            return false;
        };
        let now = Instant::now();
        let trial = {
            let health = provider.health.lock();
            if !health.is_usable(now) && !health.is_due(now) {
                return false;
            }
            health.is_open()
        };
        let found = self.ask(provider, trial, |node| async move {
            node.at(block.number).await
        });
        matches!(found.await, Ok(Some(found)) if found == block)
    }

    /// How every provider does, the preferred first.
    pub fn status(&self) -> Vec<ProviderStatus> {
        let active = self.active_position();
        let all = self.list.iter().enumerate();
        all.map(|(position, provider)| provider.status(position == active))
            .collect()
    }

    /// The active node's address as it may be shown.
    pub fn shown_url(&self) -> String {
        self.active_provider().node.shown_url()
    }

    /// How many there are.
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
        // It is always the position of one, and there is at least one.
        &self.list[self.active_position()]
    }

    /// The positions of those that do a kind of work.
    fn able(&self, work: Work) -> Vec<usize> {
        let of = |able: &dyn Fn(&Provider) -> bool| {
            let all = self.list.iter().enumerate();
            all.filter(|(_, provider)| able(provider))
                .map(|(position, _)| position)
                .collect::<Vec<_>>()
        };
        let able = of(&|provider| provider.role.does(work));
        if able.is_empty() { of(&|_| true) } else { able }
    }
}
