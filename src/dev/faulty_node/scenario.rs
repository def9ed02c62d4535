//! A scenario in a file: a chain, the nodes that serve it with what is wrong with each, and what happens.

use std::{io, path::Path};

use serde::Deserialize;

use super::{
    super::scenario_file::{self, ScenarioError},
    block::Contents,
    fault::Fault,
    serve::FaultyNode,
    tree::Tree,
};
use crate::model::ChainId;

/// What is in the file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What goes wrong, in a sentence.
    pub about: String,
    #[serde(default = "chain_id")]
    pub chain_id: ChainId,
    /// Blocks that are there at the start, on top of block 0.
    #[serde(default)]
    pub blocks: u64,
    /// Transactions a block, each with one ERC-20 transfer.
    #[serde(default = "transactions")]
    pub transactions: u64,
    /// The preferred first.
    pub nodes: Vec<NodeScript>,
    #[serde(default)]
    pub steps: Vec<Step>,
}

/// One node of a scenario.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeScript {
    #[serde(default)]
    pub role: NodeRole,
    /// Serves a chain of its own, with this in its genesis block: another chain of the same id.
    #[serde(default)]
    pub genesis: u64,
    #[serde(default)]
    pub faults: Vec<Fault>,
}

/// What a node is configured for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeRole {
    #[default]
    All,
    Live,
    History,
}

/// What happens next; first the reorg, then the blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Step {
    /// Blocks that the chain drops; those mined in this step are of the other branch.
    pub drop: u64,
    /// Blocks that come.
    pub mine: u64,
    /// The height that is final from now on.
    pub finalize: Option<u64>,
    /// Withdraws every fault of these nodes, counted from 0.
    pub heal: Vec<usize>,
    /// Answers what these nodes hold.
    pub release: Vec<usize>,
    /// The client need not follow in this step: it may be unable to.
    pub stuck: bool,
}

fn chain_id() -> ChainId {
    31_337
}

fn transactions() -> u64 {
    2
}

impl Scenario {
    /// Reads a file; the error names what is wrong with it, and the line.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        scenario_file::read(path)
    }

    /// The chain as it is at the start, and a node in front of it for each script.
    pub async fn start(&self) -> io::Result<(Tree, Vec<FaultyNode>)> {
        let tree = Tree::new(self.chain_id);
        self.mine(&tree, self.blocks);
        let mut nodes = Vec::with_capacity(self.nodes.len());
        for script in &self.nodes {
            let node = match script.genesis {
                0 => FaultyNode::of_tree(&tree).await?,
                salt => {
                    let other = Tree::salted(self.chain_id, salt);
                    self.mine(&other, self.blocks);
                    FaultyNode::of_tree(&other).await?
                }
            };
            for fault in &script.faults {
                node.add(fault.clone());
            }
            nodes.push(node);
        }
        Ok((tree, nodes))
    }

    /// Lets a step happen. Finality never moves above the head.
    pub fn take(&self, step: &Step, tree: &Tree, nodes: &[FaultyNode]) {
        let at = |positions: &[usize]| {
            let nodes = positions.iter().filter_map(|position| nodes.get(*position));
            nodes.collect::<Vec<_>>()
        };
        at(&step.heal).iter().for_each(|node| node.heal());
        if step.drop > 0 {
            // Told apart from what it replaces by what it replaces.
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

    fn mine(&self, tree: &Tree, blocks: u64) {
        for _ in 0..blocks {
            tree.mine(&Contents::transfers(self.transactions, salt_of(tree)));
        }
    }
}

/// A number that differs from branch to branch, and is the same in every run.
fn salt_of(tree: &Tree) -> u64 {
    let hash = tree.head().hash;
    u64::from_be_bytes(hash.0[..8].try_into().unwrap_or_default())
}
