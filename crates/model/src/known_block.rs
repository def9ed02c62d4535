//! A block that identifies the indexed chain.

use chaincast_protocol::{B256, BlockRef};

/// A stored block that identifies the indexed chain: a node must have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownBlock {
    /// The stored block.
    pub block: BlockRef,
    /// The hash of its parent, if a reorg may still replace the block: then another block with the same parent is
    /// accepted too. `None` for a permanent block, such as block 0 or a final one.
    pub parent: Option<B256>,
}

impl KnownBlock {
    /// A permanent block.
    pub fn fixed(block: BlockRef) -> Self {
        Self {
            block,
            parent: None,
        }
    }

    /// Whether a node that has `block` at this height serves the same chain.
    pub fn is_same_chain(&self, block: BlockRef, parent: B256) -> bool {
        block == self.block || block.number == self.block.number && self.parent == Some(parent)
    }
}
