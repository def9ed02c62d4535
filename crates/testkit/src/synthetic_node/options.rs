//! Options of a synthetic node.

/// Options of a [`SyntheticNode`](super::SyntheticNode).
#[derive(Debug, Clone)]
pub struct SyntheticNodeOptions {
    /// Most logs of one `eth_getLogs`; beyond it, error -32005 as from hosted nodes. `None` for no limit.
    pub max_logs: Option<usize>,
    /// Most calls of a batch; larger batches are rejected with -32600.
    pub max_batch: usize,
    /// The initial head; `None` for the chain's last block.
    pub head: Option<u64>,
}

impl Default for SyntheticNodeOptions {
    fn default() -> Self {
        Self {
            max_logs: None,
            max_batch: 1_000,
            head: None,
        }
    }
}
