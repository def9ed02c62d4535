//! Whether a chain is followed: how long ago its node answered, and how old its newest block is.

use serde::Serialize;

use super::ChainId;

/// How a chain does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChainStatus {
    Ok,
    /// The node answers, but the index is behind it, or the newest block is older than blocks of this chain get.
    Lagging,
    /// The node does not answer, or no indexer asks it.
    Down,
}

/// How a chain does now, as clients see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChainHealth {
    pub chain_id: ChainId,
    /// Number of the newest indexed block.
    pub head: Option<u64>,
    /// How long ago that block was made, by its own timestamp.
    pub head_age_ms: Option<u64>,
    /// How long ago the node last answered.
    pub node_age_ms: Option<u64>,
    pub status: ChainStatus,
}

/// From when on a chain is not well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainLimits {
    pub chain_id: ChainId,
    /// A node that has not answered for longer is down.
    pub down_after_ms: u64,
    /// An index further behind its node is lagging, in blocks.
    pub lagging_blocks: u64,
    /// An older newest block is lagging; 0 when blocks may be any time apart.
    pub head_age_ms: u64,
}

impl ChainLimits {
    /// Whether a node that last answered so long ago is down; `None` for one that never did.
    pub fn is_down(&self, node_age_ms: Option<u64>) -> bool {
        node_age_ms.is_none_or(|age| age > self.down_after_ms)
    }

    /// How the chain does whose node last said `node_head`.
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
    fn silent_node_is_down_and_late_index_lags() {
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
    fn age_of_the_head_counts_only_where_it_is_bounded() {
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
