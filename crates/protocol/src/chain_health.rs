//! Health of a chain: when its node last answered, and how old its newest block is.

use serde::{Deserialize, Serialize};

use super::ChainId;

/// Health status of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ChainStatus {
    /// The node answers, and the index is close to it.
    Ok,
    /// The node answers, but the index is behind it, or the newest block is older than `head_age_ms`.
    Lagging,
    /// The node does not answer, or no indexer polls it.
    Down,
}

/// Current health of a chain, as reported to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ChainHealth {
    /// EIP-155 chain id.
    pub chain_id: ChainId,
    /// Number of the newest indexed block; null before the first.
    pub head: Option<u64>,
    /// Age of that block, by its own timestamp.
    pub head_age_ms: Option<u64>,
    /// Time since the node last answered; null if it never did.
    pub node_age_ms: Option<u64>,
    /// Whether its node answers and its index keeps up.
    pub status: ChainStatus,
}

/// Limits beyond which a chain is unhealthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainLimits {
    /// EIP-155 chain id.
    pub chain_id: ChainId,
    /// The node is down if it has not answered for longer.
    pub down_after_ms: u64,
    /// The chain is lagging if the index is more blocks behind its node.
    pub lagging_blocks: u64,
    /// The chain is lagging if its newest block is older; 0 disables.
    pub head_age_ms: u64,
}

impl ChainLimits {
    /// Whether a node that last answered `node_age_ms` ago is down; `None` if it never answered.
    pub fn is_down(&self, node_age_ms: Option<u64>) -> bool {
        node_age_ms.is_none_or(|age| age > self.down_after_ms)
    }

    /// The health of a chain whose node last reported `node_head`.
    pub fn health(
        &self,
        head: Option<u64>,
        head_age_ms: Option<u64>,
        node_head: Option<u64>,
        node_age_ms: Option<u64>,
    ) -> ChainHealth {
        let behind = match (head, node_head) {
            (Some(head), Some(node)) => node.saturating_sub(head) > self.lagging_blocks,
            (head, _) => head.is_none(),
        };
        let old = self.head_age_ms > 0 && head_age_ms.is_some_and(|age| age > self.head_age_ms);
        let status = match self.is_down(node_age_ms) {
            true => ChainStatus::Down,
            false if behind || old => ChainStatus::Lagging,
            false => ChainStatus::Ok,
        };
        ChainHealth {
            chain_id: self.chain_id,
            head,
            head_age_ms,
            node_age_ms,
            status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(
        head: Option<u64>,
        head_age: Option<u64>,
        node_head: Option<u64>,
        node_age: Option<u64>,
    ) -> ChainStatus {
        let limits = ChainLimits {
            chain_id: 1,
            down_after_ms: 15_000,
            lagging_blocks: 10,
            head_age_ms: 120_000,
        };
        limits.health(head, head_age, node_head, node_age).status
    }

    #[test]
    fn status_reflects_node_and_index_age() {
        use ChainStatus::*;
        for (head, head_age, node_head, node_age, expected) in [
            (Some(100), Some(5_000), Some(100), Some(1_000), Ok),
            (Some(100), Some(5_000), Some(110), Some(15_000), Ok),
            (Some(100), Some(5_000), Some(90), Some(0), Ok),
            (Some(100), Some(5_000), Some(111), Some(0), Lagging),
            (Some(100), Some(120_001), Some(100), Some(0), Lagging),
            (None, None, Some(7), Some(0), Lagging),
            (Some(100), Some(5_000), Some(100), Some(15_001), Down),
            (Some(100), Some(5_000), None, None, Down),
            (None, None, None, None, Down),
        ] {
            assert_eq!(
                status(head, head_age, node_head, node_age),
                expected,
                "{head:?} {head_age:?} {node_head:?} {node_age:?}"
            );
        }
    }

    #[test]
    fn zero_head_age_limit_is_disabled() {
        let limits = ChainLimits {
            chain_id: 1,
            down_after_ms: 15_000,
            lagging_blocks: 10,
            head_age_ms: 0,
        };
        let health = limits.health(Some(1), Some(u64::MAX), Some(1), Some(0));
        assert_eq!(health.status, ChainStatus::Ok);
    }
}
