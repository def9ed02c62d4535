//! Controls an anvil chain: mine, pause and reorganize on demand.

use alloy::primitives::{B256, U256};

use super::{DevError, Node};

/// Control over an anvil chain.
#[derive(Debug, Clone)]
pub struct ChainControl {
    node: Node,
}

impl ChainControl {
    /// The chain of `node`, which must be an anvil.
    pub fn new(node: Node) -> Self {
        Self { node }
    }

    /// Mines `blocks` blocks now; the first one includes the pending transactions.
    pub async fn mine(&self, blocks: u64) -> Result<(), DevError> {
        self.node.request("anvil_mine", (U256::from(blocks),)).await
    }

    /// Whether each transaction is mined immediately in its own block. If off, transactions wait for
    /// [`ChainControl::mine`], so that one block can contain several.
    pub async fn set_automine(&self, on: bool) -> Result<(), DevError> {
        self.node.request("evm_setAutomine", (on,)).await
    }

    /// Replaces the newest `depth` blocks by as many empty ones: the height stays the same, every hash above the common
    /// ancestor changes, and the transactions of the dropped blocks are lost. `depth` must be less than the number of
    /// blocks mined since anvil started.
    pub async fn reorg(&self, depth: u64) -> Result<(), DevError> {
        let no_transactions: [(); 0] = [];
        self.node
            .request("anvil_reorg", (depth, no_transactions))
            .await
    }

    /// Drops the newest `depth` blocks without mining new ones: the head decreases, as on a node that lags or was
    /// reset.
    pub async fn rollback(&self, depth: u64) -> Result<(), DevError> {
        self.node.request("anvil_rollback", (depth,)).await
    }

    /// Number and hash of the newest block.
    pub async fn head(&self) -> Result<(u64, B256), DevError> {
        let number = self.node.block_number().await?;
        Ok((number, self.node.block_hash(number).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Anvil, AnvilOptions};

    #[tokio::test]
    async fn reorg_keeps_height_and_ancestor() {
        let anvil = Anvil::start(&AnvilOptions::default()).await.unwrap();
        let node = Node::connect(&anvil.http_url()).unwrap();
        let control = ChainControl::new(node.clone());
        control.mine(6).await.unwrap();
        let mut before = Vec::new();
        for number in 0..=6 {
            before.push(node.block_hash(number).await.unwrap());
        }
        for _ in 0..2 {
            control.reorg(2).await.unwrap();
        }
        assert_eq!(node.block_number().await.unwrap(), 6);
        assert_eq!(node.block_hash(4).await.unwrap(), before[4]);
        assert_ne!(node.block_hash(5).await.unwrap(), before[5]);
        assert_ne!(node.block_hash(6).await.unwrap(), before[6]);
        anvil.stop().await.unwrap();
    }

    #[tokio::test]
    async fn rollback_lowers_the_head() {
        let anvil = Anvil::start(&AnvilOptions::default()).await.unwrap();
        let control = ChainControl::new(Node::connect(&anvil.http_url()).unwrap());
        control.mine(2).await.unwrap();
        let before = control.head().await.unwrap();
        control.mine(3).await.unwrap();
        control.rollback(3).await.unwrap();
        assert_eq!(control.head().await.unwrap(), before);
        anvil.stop().await.unwrap();
    }
}
