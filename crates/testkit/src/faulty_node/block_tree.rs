//! An in-memory chain with all its branches.

use std::{collections::BTreeMap, sync::Arc};

use alloy::primitives::B256;
use parking_lot::RwLock;
use tokio::sync::watch;

use super::block::{Contents, TreeBlock};
use chaincast_protocol::{BlockRef, ChainId};

/// Linked blocks, one of which is the head. Cheap to clone: clones, and the nodes that serve them, share one tree.
/// Blocks are never removed.
#[derive(Debug, Clone)]
pub struct BlockTree {
    chain_id: ChainId,
    genesis: BlockRef,
    inner: Arc<RwLock<Inner>>,
    head: watch::Sender<BlockRef>,
}

#[derive(Debug)]
struct Inner {
    blocks: BTreeMap<B256, Arc<TreeBlock>>,
    safe: Option<BlockRef>,
    finalized: Option<BlockRef>,
}

impl BlockTree {
    /// A chain with block 0 only.
    pub fn new(chain_id: ChainId) -> Self {
        Self::salted(chain_id, 0)
    }

    /// A chain whose genesis block depends on `salt`.
    pub fn salted(chain_id: ChainId, salt: u64) -> Self {
        let block = TreeBlock::genesis(salt);
        let genesis = block.block_ref();
        Self {
            chain_id,
            genesis,
            inner: Arc::new(RwLock::new(Inner {
                blocks: BTreeMap::from([(genesis.hash, Arc::new(block))]),
                safe: None,
                finalized: None,
            })),
            head: watch::channel(genesis).0,
        }
    }

    pub(super) fn chain_id(&self) -> ChainId {
        self.chain_id
    }

    /// Block 0.
    pub fn genesis(&self) -> BlockRef {
        self.genesis
    }

    /// Adds a block on `parent`, on any branch. The head does not change.
    ///
    /// # Panics
    ///
    /// If `parent` is not in this tree (a bug in the test).
    pub fn extend(&self, parent: B256, contents: &Contents) -> BlockRef {
        let parent = self
            .block(parent)
            .unwrap_or_else(|| panic!("block {parent} is not in this tree"));
        let block = parent.child(self.chain_id, contents);
        let at = block.block_ref();
        self.inner.write().blocks.insert(at.hash, Arc::new(block));
        at
    }

    /// Adds a block on the head and makes it the head.
    pub fn mine(&self, contents: &Contents) -> BlockRef {
        let block = self.extend(self.head().hash, contents);
        self.set_head(block.hash);
        block
    }

    /// Replaces the newest `depth` canonical blocks by a branch with `contents`, which becomes canonical. Returns the
    /// common ancestor.
    pub fn reorg(&self, depth: u64, contents: &[Contents]) -> BlockRef {
        let ancestor = self.at(self.head().number.saturating_sub(depth));
        let mut tip = ancestor;
        for contents in contents {
            tip = self.extend(tip.hash, contents);
        }
        self.set_head(tip.hash);
        ancestor
    }

    /// The newest canonical block.
    pub fn head(&self) -> BlockRef {
        *self.head.borrow()
    }

    /// Makes a block the head, and its branch canonical.
    ///
    /// # Panics
    ///
    /// If the block is not in this tree (a bug in the test).
    pub fn set_head(&self, hash: B256) {
        let block = self
            .block(hash)
            .unwrap_or_else(|| panic!("block {hash} is not in this tree"));
        self.head.send_replace(block.block_ref());
    }

    /// A receiver of head changes.
    pub(super) fn heads(&self) -> watch::Receiver<BlockRef> {
        self.head.subscribe()
    }

    /// Sets the blocks of the tags `safe` and `finalized`; initially there are none.
    pub fn tag(&self, safe: Option<BlockRef>, finalized: Option<BlockRef>) {
        let mut inner = self.inner.write();
        (inner.safe, inner.finalized) = (safe, finalized);
    }

    pub(super) fn safe(&self) -> Option<BlockRef> {
        self.inner.read().safe
    }

    /// The block of the tag `finalized`; `None` until [`Self::tag`] sets one.
    pub fn finalized(&self) -> Option<BlockRef> {
        self.inner.read().finalized
    }

    /// A block of any branch.
    pub fn block(&self, hash: B256) -> Option<Arc<TreeBlock>> {
        self.inner.read().blocks.get(&hash).cloned()
    }

    /// The canonical blocks, from the head down to the genesis.
    pub fn canonical(&self) -> Vec<Arc<TreeBlock>> {
        self.branch(self.head().hash)
    }

    /// A block and its ancestors, newest first.
    pub fn branch(&self, tip: B256) -> Vec<Arc<TreeBlock>> {
        let inner = self.inner.read();
        let mut branch = Vec::new();
        let mut next = inner.blocks.get(&tip);
        while let Some(block) = next {
            branch.push(block.clone());
            next = inner.blocks.get(&block.parent_hash());
        }
        branch
    }

    /// The canonical block at a height, or the head if it is lower.
    pub fn at(&self, number: u64) -> BlockRef {
        self.below(self.head().hash, number).unwrap_or(self.head())
    }

    /// The block at a height on the branch that ends in `tip`.
    pub(super) fn below(&self, tip: B256, number: u64) -> Option<BlockRef> {
        let inner = self.inner.read();
        let mut block = inner.blocks.get(&tip)?;
        if block.block_ref().number < number {
            return None;
        }
        while block.block_ref().number > number {
            block = inner.blocks.get(&block.parent_hash())?;
        }
        Some(block.block_ref())
    }
}
