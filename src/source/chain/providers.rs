//! The nodes that serve one chain, as if they were one: what a node cannot answer, or answers wrongly, is asked of
//! another.
//!
//! Promises that work fails only when every node that may do it was tried. Assumes that any two nodes may disagree at
//! any moment: what must be of one branch is asked for by hash.

use std::{future::Future, sync::Arc};

use super::{ChainConfig, Link, Node, NodeError, Tag};
use crate::model::{B256, BlockRef};

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
    nodes: Vec<Arc<Node>>,
}

impl Providers {
    /// Prepares clients; nothing is sent yet.
    pub fn new(config: &ChainConfig) -> Result<Self, NodeError> {
        Ok(Self {
            nodes: vec![Arc::new(Node::new(config)?)],
        })
    }

    /// Does `work` with one node after the other until one succeeds; the last one's error when none does.
    pub async fn attempt<T, F>(
        &self,
        _kind: Work,
        work: impl Fn(Arc<Node>) -> F,
    ) -> Result<T, NodeError>
    where
        F: Future<Output = Result<T, NodeError>>,
    {
        let mut last = None;
        for node in &self.nodes {
            match work(node.clone()).await {
                Ok(done) => return Ok(done),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| NodeError::Url {
            key: "chains.rpc_url",
            reason: "there is none".to_owned(),
            schemes: "http://HOST:PORT or https://HOST/PATH",
        }))
    }

    /// See [`Node::genesis_hash`].
    pub async fn genesis_hash(&self) -> Result<B256, NodeError> {
        self.attempt(Work::Live, |node| async move { node.genesis_hash().await })
            .await
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

    /// The preferred node's address as it may be shown.
    pub fn shown_url(&self) -> String {
        self.nodes
            .first()
            .map(|node| node.shown_url())
            .unwrap_or_default()
    }
}
