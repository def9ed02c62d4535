//! A scenario file: a chain, the nodes that serve it with their faults, and a sequence of events.

use std::{io, path::Path};

use serde::Deserialize;

use super::{
    super::scenario_file::{self, ScenarioError},
    block::Contents,
    block_tree::BlockTree,
    fault::Fault,
    serve::FaultyNode,
};
use chaincast_protocol::ChainId;

/// The content of the file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// One sentence: what goes wrong.
    pub about: String,
    /// EIP-155 id; default: 31337.
    #[serde(default = "chain_id")]
    chain_id: ChainId,
    /// Blocks above block 0 at the start.
    #[serde(default)]
    blocks: u64,
    /// Transactions per block, each with one ERC-20 transfer.
    #[serde(default = "transactions")]
    transactions: u64,
    /// In order of preference.
    pub nodes: Vec<NodeScript>,
    /// What happens to the chain and the nodes, one step after the other.
    #[serde(default)]
    pub steps: Vec<Step>,
}

/// One node of a scenario.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeScript {
    /// The role that a client should configure for it; default: `all`.
    #[serde(default)]
    pub role: NodeRole,
    /// If not 0, the node serves another chain with the same id: this value is in its genesis block.
    #[serde(default)]
    pub genesis: u64,
    /// What the node does wrong; the first fault that matches hits a request.
    #[serde(default)]
    faults: Vec<Fault>,
}

/// The configured role of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeRole {
    /// New blocks and history.
    #[default]
    All,
    /// New blocks only.
    Live,
    /// History only.
    History,
}

/// One step: first the reorg, then the blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Step {
    /// Blocks to drop; the blocks mined in this step form the new branch.
    pub drop: u64,
    /// Blocks to mine.
    mine: u64,
    /// The finalized height from now on.
    finalize: Option<u64>,
    /// Removes all faults of these nodes, counted from 0.
    heal: Vec<usize>,
    /// Releases the held answers of these nodes.
    release: Vec<usize>,
    /// The client need not reach the head in this step.
    pub stuck: bool,
}

fn chain_id() -> ChainId {
    31_337
}

fn transactions() -> u64 {
    2
}

impl Scenario {
    /// Reads a file. Errors name the problem and its line.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        scenario_file::read(path)
    }

    /// Creates the chain, and a node for each script.
    pub async fn start(&self) -> io::Result<(BlockTree, Vec<FaultyNode>)> {
        let tree = BlockTree::new(self.chain_id);
        self.mine(&tree, self.blocks);
        let mut nodes = Vec::with_capacity(self.nodes.len());
        for script in &self.nodes {
            let node = match script.genesis {
                0 => FaultyNode::from_tree(&tree).await?,
                salt => {
                    let other = BlockTree::salted(self.chain_id, salt);
                    self.mine(&other, self.blocks);
                    FaultyNode::from_tree(&other).await?
                }
            };
            for fault in &script.faults {
                node.add(fault.clone());
            }
            nodes.push(node);
        }
        Ok((tree, nodes))
    }

    /// Performs a step. Finality never exceeds the head.
    pub fn take(&self, step: &Step, tree: &BlockTree, nodes: &[FaultyNode]) {
        let at = |positions: &[usize]| {
            let nodes = positions.iter().filter_map(|position| nodes.get(*position));
            nodes.collect::<Vec<_>>()
        };
        at(&step.heal).iter().for_each(|node| node.clear_faults());
        if step.drop > 0 {
            // The salt comes from the replaced head, so the new blocks differ from the old ones.
            let salt = salt_of(tree);
            let blocks = (0..step.mine)
                .map(|index| Contents::transfers(self.transactions, salt.wrapping_add(index)));
            tree.reorg(step.drop, &blocks.collect::<Vec<_>>());
        } else {
            self.mine(tree, step.mine);
        }
        if let Some(number) = step.finalize {
            let block = tree.at(number);
            tree.tag(Some(block), Some(block));
        }
        at(&step.release).iter().for_each(|node| node.release());
    }

    fn mine(&self, tree: &BlockTree, blocks: u64) {
        for _ in 0..blocks {
            tree.mine(&Contents::transfers(self.transactions, salt_of(tree)));
        }
    }
}

/// A number that differs between branches, and is the same in every run.
fn salt_of(tree: &BlockTree) -> u64 {
    let hash = tree.head().hash;
    u64::from_be_bytes(hash.0[..8].try_into().unwrap_or_default())
}
